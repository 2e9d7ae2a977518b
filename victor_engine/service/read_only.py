"""The port without an engine: queries read the store, and actions are refused."""

from __future__ import annotations

import asyncio
import os
import socket
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import msgspec

from victor_engine import __version__
from victor_engine.api import (
    Actor,
    CallerInfo,
    DeploymentInfo,
    DeploymentPlan,
    EngineInfo,
    EventInfo,
    EventQuery,
    ProblemInfo,
    SecretInfo,
    TrustInfo,
)
from victor_engine.api.port import Port, PortMethod, derive
from victor_engine.api.roles import Role
from victor_engine.clock import Clock, SystemClock
from victor_engine.config import Config, load_config
from victor_engine.config.judging import judge_configuration
from victor_engine.config.trust_list import service_environ, service_of
from victor_engine.engine.content_trust import trust_info
from victor_engine.engine.current_workspace import read_files
from victor_engine.engine.deployments import prepare
from victor_engine.engine.facade import delegate
from victor_engine.engine.loaded_workspace import Workspace
from victor_engine.engine.queries import Queries, stored_problems
from victor_engine.engine.secret_list import secret_list
from victor_engine.errors import EngineUnavailableError, VictorError
from victor_engine.identity import acting
from victor_engine.people.groups import Groups
from victor_engine.scheduling.calendars.workspace_calendars import Calendars
from victor_engine.service.daemon_settings import settings_of_daemon
from victor_engine.service.engine_lock import engine_owner
from victor_engine.store import queries, schema
from victor_engine.store.repositories import deployments as stored_deployments
from victor_engine.store.snapshot import SnapshotReader

T = TypeVar("T")

POLL_SECONDS = 0.5
"""Seconds between two checks for new events."""


class StoreView:
    """The reader of a store without an engine. It writes nothing, and an engine may use the store concurrently."""

    def __init__(self, db_path: Path) -> None:
        self._db_path = db_path
        self._snapshots = SnapshotReader(db_path)
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="victor-look")
        self._closed = False

    async def read(self, query: Callable[..., T], *arguments: Any, **keywords: Any) -> T:
        if self._closed:
            raise EngineUnavailableError(f"{self._db_path}: this port is closed")

        def snapshot() -> T:
            return self._snapshots.read(lambda connection: query(connection, *arguments, **keywords))

        return await asyncio.get_running_loop().run_in_executor(self._pool, snapshot)

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await asyncio.get_running_loop().run_in_executor(None, self._pool.shutdown)
            self._snapshots.close()


async def _anyone(actor: Actor) -> bool:
    """Return True: the roles on a running engine are not known here."""
    return True


def answer_or_refuse(method: PortMethod) -> Callable[..., Awaitable[Any]]:
    """Return a method that delegates a query to `queries`, or that refuses an action."""
    if method.kind == "query":
        return delegate(method, "queries", Queries)

    async def refuse(self: Port, *given: Any, **named: Any) -> NoReturn:
        method.arguments(given, named)
        raise EngineUnavailableError(
            f"{method.name}: this read-only port has no engine and cannot change anything; start an engine with "
            "`victor scheduler start`, or open victor-tui without --read-only"
        )

    return refuse


@derive(answer_or_refuse)
class ReadOnlyPort(Port):
    """The port on a store without an engine. Every action raises EngineUnavailableError.

    Each query reads one committed state.
    """

    def __init__(self, db_path: Path, *, workspace: Path, clock: Clock | None = None) -> None:
        self.clock = clock or SystemClock()
        self.workspace = workspace
        self.db_path = db_path
        self.started_at = self.clock.now()
        self._view = StoreView(db_path)
        self._known_calendars: Calendars | None = None
        self.queries = Queries.over(
            self._view,
            self.clock,
            calendars=self._calendars,
            config=self._load_config,
            roles=self._roles,
            groups=Groups(self.clock),
            anyone=_anyone,
            watched=False,
            untrusted=self._untrusted,
        )

    @classmethod
    def open(cls, db_path: Path, *, workspace: Path) -> Port:
        """Return the port of a store without an engine."""
        return cls(db_path, workspace=workspace)

    def _roles(self) -> Mapping[str, tuple[str, ...]]:
        """Return the roles of the workspace; empty if its configuration cannot be read."""
        config = self._config()
        return {} if config is None else config.roles

    def _load_config(self) -> Config:
        """Return the configuration of the workspace, with the settings of the last daemon."""
        user, file = service_of(self.workspace)
        daemon = settings_of_daemon(self.db_path)
        environ = service_environ(user) if user is not None else daemon.environ
        return load_config(self.workspace, config_file=file or daemon.config, environ=environ)

    async def _files(self) -> Workspace:
        """Read the files of the workspace, with the settings of the last daemon."""
        user, file = service_of(self.workspace)
        daemon = await asyncio.to_thread(settings_of_daemon, self.db_path)
        return await read_files(self.workspace, user, file or daemon.config, daemon.environ)

    async def _setting_problems(self) -> tuple[ProblemInfo, ...]:
        """Return the settings of this process that differ from those of the last daemon."""
        try:
            return (await asyncio.to_thread(settings_of_daemon, self.db_path)).problems
        except VictorError as error:
            return (ProblemInfo("error", error.message),)

    def _config(self) -> Config | None:
        """Return the configuration of the workspace; None if it cannot be read."""
        try:
            return self._load_config()
        except VictorError:
            return None

    def _untrusted(self) -> str:
        """Return why the workspace is not trusted; empty if it is, or if the lists of its user cannot be read here."""
        try:
            user, _ = service_of(self.workspace)
            if user is None and self.db_path.parent.stat().st_uid != os.geteuid():
                return ""
            verdict = judge_configuration(self._load_config(), user)
        except (OSError, VictorError):
            return ""
        return "" if verdict.trusted else verdict.reason

    def _calendars(self) -> Calendars:
        if self._known_calendars is None:
            self._known_calendars = Calendars(self._load_config().calendars, self.workspace)
        return self._known_calendars

    async def engine(self) -> EngineInfo:
        now = self.clock.now()
        counts = await self._view.read(queries.engine_counts, now)
        owner = await asyncio.to_thread(engine_owner, self.db_path.parent)
        untrusted = await asyncio.to_thread(self._untrusted)
        return EngineInfo(
            mode="readonly",
            pid=os.getpid(),
            epoch=await self._view.read(queries.epoch),
            user=acting().user,
            host=socket.gethostname(),
            state_dir=str(self.db_path.parent),
            workspace=str(self.workspace),
            product_version=__version__,
            started_at=self.started_at,
            now=now,
            trusted=not untrusted,
            untrusted=untrusted,
            beside=owner.pid if owner is not None else None,
            problems=(
                *await self._view.read(stored_problems, now, self._config()),
                *await self._setting_problems(),
            ),
            **msgspec.structs.asdict(counts),
        )

    async def whoami(self) -> CallerInfo:
        """Return the user of this process. The mode of the store decides who can read it."""
        actor = acting()
        return CallerInfo(actor.user, actor.uid, tuple(Role))

    async def trust_info(self) -> TrustInfo:
        return trust_info(await self._files())

    async def plan_deployment(self, undo: bool = False) -> DeploymentPlan:
        workspace = await self._files()
        return (await self._view.read(prepare, workspace, self.clock.now(), undo=undo)).plan

    async def secrets(self) -> list[SecretInfo]:
        """Return the secrets of the files, as this process can read them."""
        return await asyncio.to_thread(secret_list, await self._files())

    async def deployments(self, limit: int = 20) -> list[DeploymentInfo]:
        return await self._view.read(stored_deployments.listed, limit)

    async def events(self, query: EventQuery) -> list[EventInfo]:
        return await self._view.read(queries.events, query)

    async def subscribe(self, after: int) -> AsyncIterator[EventInfo]:
        """Yield the events with a sequence number above `after`, as an engine writes them."""
        last = after
        while True:
            found = await self._view.read(queries.events_after, last)
            for event in found:
                last = event.seq
                yield event
            if not found:
                await self.clock.sleep(POLL_SECONDS)

    async def close(self) -> None:
        await self._view.close()


async def plan_without_store(workspace: Path, *, undo: bool = False) -> DeploymentPlan:
    """Return the plan of a workspace that no engine has opened: all of its workflows are new."""
    loaded = await read_files(workspace, *service_of(workspace))
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        schema.migrate(connection, ":memory:")
        return prepare(connection, loaded, SystemClock().now(), undo=undo).plan
    finally:
        connection.close()
