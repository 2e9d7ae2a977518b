"""The console port without an engine: shows what is, and says how to start one for the rest."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import msgspec

from victor_engine import __version__
from victor_engine.api import (
    AliasInfo,
    Answer,
    BackfillInfo,
    BackfillSpec,
    EngineInfo,
    EventInfo,
    MigrationReport,
    MigrationSpec,
    ProblemInfo,
    RequestInfo,
    RunInfo,
    ScheduleAdded,
    ScheduleInfo,
    ScheduleSpec,
    TrustInfo,
    VersionInfo,
)
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


class ReadOnlyPort(Reading):
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

    def _refuse(self) -> NoReturn:
        raise EngineUnavailableError(
            "this is a view without an engine: nothing can be changed here; start one with "
            "`victor scheduler start`, or open victor-tui without --read-only"
        )

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

    async def start_run(
        self, workflow: str, version: str | None = None, state: dict[str, Any] | None = None, note: str = ""
    ) -> RunInfo:
        self._refuse()

    async def cancel_run(self, run_id: str, note: str = "") -> RunInfo:
        self._refuse()

    async def pause_run(self, run_id: str, note: str = "") -> RunInfo:
        self._refuse()

    async def resume_run(self, run_id: str, note: str = "") -> RunInfo:
        self._refuse()

    async def retry_run(self, run_id: str, note: str = "") -> RunInfo:
        self._refuse()

    async def redrive_run(
        self,
        run_id: str,
        from_node: str | None = None,
        state: dict[str, Any] | None = None,
        version: str | None = None,
        revision: int | None = None,
        note: str = "",
        rewind: bool = False,
    ) -> RunInfo:
        self._refuse()

    async def rerun(
        self,
        run_id: str,
        version: str | None = None,
        state: dict[str, Any] | None = None,
        note: str = "",
    ) -> RunInfo:
        self._refuse()

    async def override_node(
        self,
        run_id: str,
        node_id: str,
        timeout: float | None = None,
        max_attempts: int | None = None,
        retry_now: bool = False,
        note: str = "",
    ) -> RunInfo:
        self._refuse()

    async def discard_run(self, run_id: str, note: str = "") -> RunInfo:
        self._refuse()

    async def add_schedule(self, spec: ScheduleSpec, note: str = "") -> ScheduleAdded:
        self._refuse()

    async def edit_schedule(self, schedule_id: str, spec: ScheduleSpec, note: str = "") -> ScheduleInfo:
        self._refuse()

    async def remove_schedule(self, schedule_id: str, note: str = "") -> None:
        self._refuse()

    async def trigger_schedule(
        self, schedule_id: str, state: dict[str, Any] | None = None, note: str = ""
    ) -> RunInfo:
        self._refuse()

    async def pause_schedule(
        self, schedule_id: str, note: str = "", until: datetime | None = None
    ) -> ScheduleInfo:
        self._refuse()

    async def resume_schedule(self, schedule_id: str, note: str = "") -> ScheduleInfo:
        self._refuse()

    async def skip_next(self, schedule_id: str, note: str = "") -> ScheduleInfo:
        self._refuse()

    async def start_backfill(self, spec: BackfillSpec, note: str = "") -> BackfillInfo:
        self._refuse()

    async def pause_backfill(self, backfill_id: int, note: str = "") -> BackfillInfo:
        self._refuse()

    async def resume_backfill(self, backfill_id: int, note: str = "") -> BackfillInfo:
        self._refuse()

    async def cancel_backfill(self, backfill_id: int, note: str = "") -> BackfillInfo:
        self._refuse()

    async def drain(self, note: str = "") -> EngineInfo:
        self._refuse()

    async def undrain(self, note: str = "") -> EngineInfo:
        self._refuse()

    async def answer(self, request_id: str, revision: int, answer: Answer) -> RequestInfo:
        self._refuse()

    async def claim(self, request_id: str) -> RequestInfo:
        self._refuse()

    async def release(self, request_id: str) -> RequestInfo:
        self._refuse()

    async def reassign(
        self, request_id: str, revision: int, assignees: list[str], note: str = ""
    ) -> RequestInfo:
        self._refuse()

    async def delegate(self, request_id: str, revision: int, to: str, note: str = "") -> RequestInfo:
        self._refuse()

    async def undo_answer(self, request_id: str) -> RequestInfo:
        self._refuse()

    async def push_back(self, request_id: str, revision: int, to_node: str, comment: str) -> RequestInfo:
        self._refuse()

    async def ask_requester(self, request_id: str, question: str) -> RequestInfo:
        self._refuse()

    async def reply(self, request_id: str, text: str) -> RequestInfo:
        self._refuse()

    async def deprecate(
        self,
        workflow: str,
        version: str,
        message: str,
        successor: str | None = None,
        removal: datetime | None = None,
    ) -> VersionInfo:
        self._refuse()

    async def remove_version(self, workflow: str, version: str, message: str = "") -> VersionInfo:
        self._refuse()

    async def restore_version(self, workflow: str, version: str) -> VersionInfo:
        self._refuse()

    async def set_alias(
        self,
        workflow: str,
        alias: str,
        version: str,
        other: str | None = None,
        weight: int = 0,
        note: str = "",
    ) -> AliasInfo:
        self._refuse()

    async def remove_alias(self, workflow: str, alias: str, note: str = "") -> None:
        self._refuse()

    async def promote_alias(
        self, workflow: str, alias: str, onto: str | None = None, note: str = ""
    ) -> AliasInfo:
        self._refuse()

    async def roll_back_alias(self, workflow: str, alias: str, note: str = "") -> AliasInfo:
        self._refuse()

    async def migrate_runs(self, spec: MigrationSpec, note: str = "") -> MigrationReport:
        self._refuse()

    async def unmigrate_run(self, run_id: str, note: str = "") -> RunInfo:
        self._refuse()

    async def reload(self) -> list[ProblemInfo]:
        self._refuse()

    async def trust(self) -> TrustInfo:
        self._refuse()

    async def stop_engine(self) -> None:
        self._refuse()

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
