"""The console port without an engine: shows what is, and says how to start one for the rest."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import msgspec

from victor_engine import __version__
from victor_engine.api import EngineInfo, EventInfo, RequestInfo, TrustInfo
from victor_engine.api.port import Port, PortMethod, derive
from victor_engine.clock import Clock, SystemClock
from victor_engine.config import load_config
from victor_engine.engine.reading import Reading
from victor_engine.errors import EngineUnavailableError, VictorError
from victor_engine.hitl.viewing import Viewing
from victor_engine.identity import acting
from victor_engine.notify import notify_problems
from victor_engine.scheduler.calendars import Calendars
from victor_engine.service.lock import engine_owner
from victor_engine.store import queries
from victor_engine.store.snapshot import SnapshotReader

T = TypeVar("T")

POLL_SECONDS = 0.5
"""How often a view without an engine looks whether something was written."""


def refusal_of(method: PortMethod) -> Callable[..., Awaitable[Any]]:
    """Return the refusal of an action. Raise TypeError for a query: a view without an engine answers it."""
    if method.kind != "action":
        raise TypeError(f"the query {method.name} has no implementation; write it in ReadOnlyPort or Reading")

    async def refuse(self: Port, *given: Any, **named: Any) -> NoReturn:
        method.arguments(given, named)
        raise EngineUnavailableError(
            "this is a view without an engine: nothing can be changed here; start one with "
            "`victor scheduler start`, or open victor-tui without --read-only"
        )

    return refuse


@derive(refusal_of)
class ReadOnlyPort(Reading, Port):
    """`api.Port` on a store that is only read, without a trace. Every action raises EngineUnavailableError.

    An engine may start, write, die and be recovered meanwhile: each call sees one committed state.
    """

    def __init__(self, db_path: Path, *, workspace: Path, clock: Clock | None = None) -> None:
        self._watched = False
        self.clock = clock or SystemClock()
        self.workspace = workspace
        self.db_path = db_path
        self._reader = SnapshotReader(db_path)
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="victor-look")
        self._closed = False
        self._viewing = Viewing(self._roles, self.clock)
        self._known_calendars: Calendars | None = None
        self.started_at = self.clock.now()

    @classmethod
    def open(cls, db_path: Path, *, workspace: Path) -> Port:
        """Return the port of a store without an engine."""
        return cls(db_path, workspace=workspace)

    async def _read(self, query: Callable[..., T], *arguments: Any, **keywords: Any) -> T:
        if self._closed:
            raise EngineUnavailableError(f"{self.db_path}: this view is closed")

        def snapshot() -> T:
            return self._reader.read(lambda connection: query(connection, *arguments, **keywords))

        return await asyncio.get_running_loop().run_in_executor(self._pool, snapshot)

    def _roles(self) -> Mapping[str, tuple[str, ...]]:
        """The roles of the workspace; none where its configuration cannot be read."""
        try:
            return load_config(self.workspace).roles
        except VictorError:
            return {}

    async def engine(self) -> EngineInfo:
        now = self.clock.now()
        counts = await self._read(queries.engine_counts, now)
        owner = await asyncio.to_thread(engine_owner, self.db_path.parent)
        return EngineInfo(
            mode="readonly",
            pid=os.getpid(),
            epoch=await self._read(queries.epoch),
            user=acting().user,
            host=socket.gethostname(),
            state_dir=str(self.db_path.parent),
            workspace=str(self.workspace),
            product_version=__version__,
            started_at=self.started_at,
            now=now,
            beside=owner.pid if owner is not None else None,
            problems=tuple(await self._read(notify_problems, now)),
            **msgspec.structs.asdict(counts),
        )

    async def trust_info(self) -> TrustInfo:
        return TrustInfo(workspace=str(self.workspace), trusted=False, commands=(), functions=(), urls=())

    def _calendars(self) -> Calendars:
        if self._known_calendars is None:
            self._known_calendars = Calendars(load_config(self.workspace).calendars, self.workspace)
        return self._known_calendars

    async def request(self, request_id: str) -> RequestInfo:
        return (await self._viewing.see([await super().request(request_id)]))[0]

    async def subscribe(self, after: int) -> AsyncIterator[EventInfo]:
        """Events above `after`, as somebody else writes them."""
        last = after
        while True:
            found = await self._read(queries.events_after, last)
            for event in found:
                last = event.seq
                yield event
            if not found:
                await self.clock.sleep(POLL_SECONDS)

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await asyncio.get_running_loop().run_in_executor(None, self._pool.shutdown)
            self._reader.close()
