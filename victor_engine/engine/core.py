"""The embedded engine: store, scheduler and runtime in one loop, behind the console port."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from victor_engine import __version__
from victor_engine.api import (
    Answer,
    DefinitionInfo,
    EngineInfo,
    EngineMode,
    EventInfo,
    EventQuery,
    FireInfo,
    LogLine,
    MigrationPreview,
    ProblemInfo,
    RequestInfo,
    RequestQuery,
    RunDetail,
    RunInfo,
    RunQuery,
    ScheduleAdded,
    ScheduleInfo,
    SchedulePreview,
    ScheduleSpec,
    TrustInfo,
    VersionInfo,
    WorkflowInfo,
)
from victor_engine.clock import Clock, SystemClock
from victor_engine.config import is_trusted, load_config, trust
from victor_engine.definition.model import WorkflowDefinition
from victor_engine.engine.feed import Broadcast
from victor_engine.engine.workspace import Workspace, load_workspace, register
from victor_engine.errors import DefinitionError, EngineUnavailableError, UntrustedError, VictorError
from victor_engine.events import EventKind
from victor_engine.hitl.requests import answer_request, claim_request, release_request
from victor_engine.identity import acting
from victor_engine.runtime.journal import RunRef
from victor_engine.runtime.manager import Runtime
from victor_engine.scheduler import operations
from victor_engine.scheduler.loop import SchedulerLoop
from victor_engine.scheduler.timing import Timing
from victor_engine.store import queries
from victor_engine.store.db import Store, Tx, open_store
from victor_engine.store.runs import NewRun, insert_run
from victor_engine.versioning import catalog

log = logging.getLogger(__name__)
T = TypeVar("T")


class Engine:
    """`api.Port` in this process. Made by `Engine.open`, under the lock of its state directory."""

    def __init__(
        self,
        *,
        workspace: Path,
        state_dir: Path,
        store: Store,
        clock: Clock,
        mode: EngineMode,
        config_file: Path | None,
    ) -> None:
        self.workspace_path = workspace
        self.state_dir = state_dir
        self.store = store
        self.clock = clock
        self.mode: EngineMode = mode
        self.config_file = config_file
        self.trusted = is_trusted(workspace)
        self.started_at = clock.now()
        self.stop_requested = asyncio.Event()
        self.workspace: Workspace
        self.runtime: Runtime
        self.scheduler: SchedulerLoop
        self.overrides: dict[str, Any] = {}
        self._broadcast = Broadcast(store)
        self._working = False
        self._fires = True
        self._unbound: dict[int, str | None] = {}
        self._closed = False
        self.on_closed: Callable[[], None] | None = None
        self.closers: list[Callable[[], Awaitable[None]]] = []
        self._tasks: set[asyncio.Task[Any]] = set()

    @classmethod
    async def open(
        cls,
        workspace: Path,
        state_dir: Path,
        *,
        mode: EngineMode = "embedded",
        clock: Clock | None = None,
        config_file: Path | None = None,
        overrides: dict[str, Any] | None = None,
        work: bool = True,
        fire: bool = True,
    ) -> Engine:
        """Open the store, take over, load the workspace, and start.

        With `work=False` nothing is recovered, run or fired: the command line writes under the
        lock. With `fire=False` runs are run, and schedules are left alone.
        """
        clock = clock or SystemClock()
        store = open_store(state_dir / "victor.db", clock=clock)
        store.begin_epoch()
        store.start()
        engine = cls(
            workspace=workspace,
            state_dir=state_dir,
            store=store,
            clock=clock,
            mode=mode,
            config_file=config_file,
        )
        engine.overrides = overrides or {}
        engine._fires = fire
        try:
            await engine._start(work)
        except BaseException:
            await store.close()
            raise
        return engine

    async def _start(self, work: bool) -> None:
        self.store.listen(self._broadcast.publish)
        self.workspace = self._load()
        config = self.workspace.config
        self.runtime = Runtime(
            self.store,
            self.clock,
            load_definition=catalog.load_definition,
            bindings=lambda: self.workspace.bindings,
            functions=lambda: self.workspace.functions,
            max_concurrent_runs=config.scheduler.max_concurrent_runs,
            on_finished=self._run_finished,
        )
        self.scheduler = SchedulerLoop(
            self.store,
            self.clock,
            resolve=self._resolve,
            on_runs=self._take_up,
            on_cancel=self._cancel_key,
            poll_interval=config.scheduler.poll_interval,
        )
        await register(self.store, self.workspace)
        if work:
            await self.store.write(
                lambda tx: tx.event(
                    EventKind.ENGINE_STARTED,
                    actor=acting(),
                    data={"pid": os.getpid(), "mode": self.mode, "epoch": self.store.epoch},
                )
            )
            if self.trusted:
                await self._work()

    async def _work(self) -> None:
        self._working = True
        await self.runtime.start()
        if self._fires:
            await self.scheduler.start()

    def _load(self) -> Workspace:
        config = load_config(self.workspace_path, cli=self.overrides, config_file=self.config_file)
        return load_workspace(config, trusted=self.trusted)

    async def close(self) -> None:
        """Stop firing, end what runs (it is tried again at the next start), close the store."""
        if self._closed:
            return
        self._closed = True
        for closer in self.closers:
            await closer()
        if self._working:
            await self.scheduler.stop()
            await self.runtime.stop()
            for task in self._tasks:
                task.cancel()
            try:
                await self.store.write(
                    lambda tx: tx.event(EventKind.ENGINE_STOPPED, actor=acting(), data={"pid": os.getpid()})
                )
            except VictorError as error:
                log.warning("the end could not be recorded: %s", error)
        await self.workspace.bindings.close()
        self._broadcast.close()
        await self.store.close()
        if self.on_closed is not None:
            self.on_closed()

    # --- inner workings ------------------------------------------------------------------------

    def _take_up(self, runs: list[tuple[int, int]]) -> None:
        for key, priority in runs:
            self.runtime.enqueue(key, priority)

    def _later(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _run_finished(self, schedule_id: str | None, status: str) -> None:
        if schedule_id is not None and not self._closed:
            self._later(self.scheduler.run_finished(schedule_id))

    def _cancel_key(self, key: int) -> None:
        async def cancel() -> None:
            ref = await self.store.read(lambda c: self._ref_of_key(c, key))
            await self.runtime.cancel(
                ref, acting(), "a newer fire takes its place (overlap is cancel_running)"
            )

        self._later(cancel())

    @staticmethod
    def _ref_of_key(connection: sqlite3.Connection, key: int) -> RunRef:
        row = connection.execute(
            "SELECT key, id, workflow, definition_id, schedule_id FROM runs WHERE key = ?", (key,)
        ).fetchone()
        return RunRef(*row)

    async def _ref(self, run_id: str) -> RunRef:
        def find(connection: sqlite3.Connection) -> RunRef:
            full = queries.run_id(connection, run_id)
            row = connection.execute(
                "SELECT key, id, workflow, definition_id, schedule_id FROM runs WHERE id = ?", (full,)
            ).fetchone()
            return RunRef(*row)

        return await self.store.read(find)

    def _resolve(self, tx: Tx, workflow: str, spec: str | None) -> tuple[int, str]:
        """The definition to start on; DefinitionError if somebody's work in it is bound to nothing."""
        found = catalog.resolve(tx, workflow, spec)
        if found.id not in self._unbound:
            definition, _ = self.runtime.definition(tx.connection, found.id)
            self._unbound[found.id] = self._unbound_work(definition)
        fault = self._unbound[found.id]
        if fault is not None:
            raise DefinitionError(f"{workflow} {found.version} cannot run here: {fault}")
        return found.id, found.start_node

    def _unbound_work(self, definition: WorkflowDefinition) -> str | None:
        errors = [p for p in self.workspace.bindings.check(definition) if p.severity == "error"]
        if not errors:
            return None
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        return f"{errors[0].message}. {errors[0].remedy}{more}"

    def _may_run(self) -> None:
        if not self.trusted:
            raise UntrustedError(
                f"{self.workspace_path} is not trusted, so nothing in it is executed; look at what it would run "
                "and say `victor trust`"
            )

    async def _read(self, query: Callable[..., T], *arguments: Any, **keywords: Any) -> T:
        return await self.store.read(lambda connection: query(connection, *arguments, **keywords))

    # --- queries -------------------------------------------------------------------------------

    async def engine(self) -> EngineInfo:
        now = self.clock.now()
        counts = await self._read(queries.engine_counts, now)
        return EngineInfo(
            mode=self.mode,
            pid=os.getpid(),
            epoch=self.store.epoch,
            user=acting().user,
            host=socket.gethostname(),
            state_dir=str(self.state_dir),
            workspace=str(self.workspace_path),
            product_version=__version__,
            started_at=self.started_at,
            now=now,
            trusted=self.trusted,
            problems=tuple(self.workspace.problems),
            **msgspec.structs.asdict(counts),
        )

    async def trust_info(self) -> TrustInfo:
        commands, functions, urls = self.workspace.bindings.summary()
        return TrustInfo(
            workspace=str(self.workspace_path),
            trusted=self.trusted,
            commands=tuple(commands),
            functions=tuple(functions),
            urls=tuple(urls),
        )

    @staticmethod
    def _summary(spec: ScheduleSpec, schedule_id: str, created_at: datetime) -> str:
        return Timing(spec, schedule_id, created_at).summary

    @staticmethod
    def _version(connection: sqlite3.Connection, workflow: str, wanted: str | None) -> str | None:
        try:
            return catalog.resolve(connection, workflow, wanted).version
        except VictorError:
            return None

    async def schedules(self) -> list[ScheduleInfo]:
        return await self._read(
            queries.schedules, self.clock.now(), summarise=self._summary, resolve=self._version
        )

    async def schedule(self, schedule_id: str) -> ScheduleInfo:
        return await self._read(
            queries.schedule, schedule_id, self.clock.now(), summarise=self._summary, resolve=self._version
        )

    async def fires(
        self, schedule_id: str | None = None, limit: int = 100, workflow: str | None = None
    ) -> list[FireInfo]:
        return await self._read(queries.fires, schedule_id, limit, workflow)

    async def preview_schedule(
        self, spec: ScheduleSpec, count: int = 10, after: datetime | None = None
    ) -> SchedulePreview:
        now = after or self.clock.now()
        try:
            timing = Timing(spec, "0" * 12, now)
        except VictorError as error:
            return SchedulePreview(summary="", problem=error.message)
        return SchedulePreview(summary=timing.summary, fires=tuple(timing.upcoming(min(count, 1000), now)))

    async def runs(self, query: RunQuery) -> list[RunInfo]:
        return await self._read(queries.runs, query, self.clock.now())

    async def run(self, run_id: str) -> RunDetail:
        return await self._read(queries.run_detail, run_id, self.clock.now())

    async def run_log(
        self, run_id: str, after: int = 0, limit: int = 2000, node_id: str | None = None
    ) -> list[LogLine]:
        return await self._read(queries.run_log, run_id, after, limit, node_id)

    async def requests(self, query: RequestQuery) -> list[RequestInfo]:
        return await self._read(queries.requests, query)

    async def request(self, request_id: str) -> RequestInfo:
        return await self._read(queries.request, request_id)

    async def events(self, query: EventQuery) -> list[EventInfo]:
        return await self._read(queries.events, query)

    async def workflows(self) -> list[WorkflowInfo]:
        found = await self._read(queries.workflows)
        faults = self.workspace.by_workflow
        return [
            msgspec.structs.replace(info, problems=tuple(faults[info.name])) if info.name in faults else info
            for info in found
        ]

    async def definition(self, workflow: str, version: str | None = None) -> DefinitionInfo:
        return await self._read(queries.definition_info, workflow, version)

    async def preview_migration(
        self, workflow: str, from_version: str, to_version: str, state: dict[str, Any]
    ) -> MigrationPreview:
        return await self._read(catalog.preview_migration, workflow, from_version, to_version, state)

    # --- runs ----------------------------------------------------------------------------------

    async def _run_info(self, run_id: str) -> RunInfo:
        return await self._read(queries.run_info, run_id, self.clock.now())

    async def start_run(
        self, workflow: str, version: str | None = None, state: dict[str, Any] | None = None, note: str = ""
    ) -> RunInfo:
        self._may_run()
        actor = acting()

        def transition(tx: Tx) -> tuple[int, str]:
            definition_id, start_node = self._resolve(tx, workflow, version)
            new = NewRun(
                workflow=workflow,
                definition_id=definition_id,
                start_node=start_node,
                state=state or {},
                trigger="manual",
                actor=actor,
                note=note,
            )
            return insert_run(tx, new)

        key, run_id = await self.store.write(transition)
        if self._working:
            self.runtime.enqueue(key)
        return await self._run_info(run_id)

    async def cancel_run(self, run_id: str, note: str = "") -> RunInfo:
        ref = await self._ref(run_id)
        await self.runtime.cancel(ref, acting(), note)
        return await self._run_info(ref.id)

    async def pause_run(self, run_id: str, note: str = "") -> RunInfo:
        ref = await self._ref(run_id)
        await self.runtime.pause(ref, acting(), note)
        return await self._run_info(ref.id)

    async def resume_run(self, run_id: str, note: str = "") -> RunInfo:
        ref = await self._ref(run_id)
        await self.runtime.resume(ref, acting(), note)
        return await self._run_info(ref.id)

    async def retry_run(self, run_id: str, note: str = "") -> RunInfo:
        ref = await self._ref(run_id)
        await self.runtime.retry(ref, acting(), note)
        return await self._run_info(ref.id)

    # --- schedules -----------------------------------------------------------------------------

    async def _schedule_changed(self, schedule_id: str) -> ScheduleInfo:
        if self._working:
            await self.scheduler.refresh(schedule_id)
        return await self.schedule(schedule_id)

    async def add_schedule(self, spec: ScheduleSpec, note: str = "") -> ScheduleAdded:
        actor = acting()
        origin = actor.via if actor.via in ("console", "cli") else "python"

        def transition(tx: Tx) -> ScheduleAdded:
            catalog.resolve(tx, spec.workflow, spec.version)
            return operations.add(tx, spec, actor=actor, origin=origin, note=note)

        added = await self.store.write(transition)
        await self._schedule_changed(added.id)
        return added

    async def edit_schedule(self, schedule_id: str, spec: ScheduleSpec, note: str = "") -> ScheduleInfo:
        actor = acting()
        full = await self.store.write(
            lambda tx: operations.edit(tx, schedule_id, spec, actor=actor, note=note)
        )
        return await self._schedule_changed(full)

    async def remove_schedule(self, schedule_id: str, note: str = "") -> None:
        actor = acting()
        await self.store.write(lambda tx: operations.remove(tx, schedule_id, actor=actor, note=note))
        if self._working:
            await self.scheduler.refresh()

    async def trigger_schedule(
        self, schedule_id: str, state: dict[str, Any] | None = None, note: str = ""
    ) -> RunInfo:
        self._may_run()
        actor = acting()
        key, run_id = await self.store.write(
            lambda tx: operations.trigger(tx, schedule_id, self._resolve, actor=actor, state=state, note=note)
        )
        if self._working:
            self.runtime.enqueue(key)
        return await self._run_info(run_id)

    async def pause_schedule(
        self, schedule_id: str, note: str = "", until: datetime | None = None
    ) -> ScheduleInfo:
        actor = acting()
        full = await self.store.write(
            lambda tx: operations.pause(tx, schedule_id, actor=actor, note=note, until=until)
        )
        return await self._schedule_changed(full)

    async def resume_schedule(self, schedule_id: str, note: str = "") -> ScheduleInfo:
        actor = acting()
        full = await self.store.write(lambda tx: operations.resume(tx, schedule_id, actor=actor, note=note))
        return await self._schedule_changed(full)

    async def skip_next(self, schedule_id: str, note: str = "") -> ScheduleInfo:
        actor = acting()
        full = await self.store.write(
            lambda tx: operations.skip_next(tx, schedule_id, actor=actor, note=note)
        )
        return await self._schedule_changed(full)

    # --- people --------------------------------------------------------------------------------

    def _members(self, role: str) -> frozenset[str]:
        return frozenset(self.workspace.config.roles.get(role, ()))

    async def answer(self, request_id: str, revision: int, answer: Answer) -> RequestInfo:
        actor = acting()
        full = await self._read(queries.request_id, request_id)
        decision = await self.store.write(
            lambda tx: answer_request(tx, full, revision, answer, actor, self._members)
        )
        if decision is not None:
            self.runtime.deliver(full, decision)
        return await self.request(full)

    async def claim(self, request_id: str) -> RequestInfo:
        actor = acting()
        full = await self._read(queries.request_id, request_id)
        await self.store.write(lambda tx: claim_request(tx, full, actor, self._members))
        return await self.request(full)

    async def release(self, request_id: str) -> RequestInfo:
        actor = acting()
        full = await self._read(queries.request_id, request_id)
        await self.store.write(lambda tx: release_request(tx, full, actor))
        return await self.request(full)

    # --- versions, workspace, engine -----------------------------------------------------------

    async def deprecate(
        self, workflow: str, version: str, message: str, successor: str | None = None
    ) -> VersionInfo:
        actor = acting()
        await self.store.write(lambda tx: catalog.deprecate(tx, workflow, version, message, successor, actor))
        wanted = catalog.normal_version(version)
        for info in await self._read(queries.workflows):
            for found in info.versions:
                if info.name == workflow and found.version == wanted:
                    return found
        raise EngineUnavailableError(f"{workflow} {version} is gone")

    async def reload(self) -> list[ProblemInfo]:
        """Read the workspace again; what runs keeps the definition that it started with."""
        workspace = self._load()
        await register(self.store, workspace)
        old, self.workspace = self.workspace, workspace
        self._unbound.clear()
        self._later(old.bindings.close())
        await self.store.write(
            lambda tx: tx.event(
                EventKind.WORKSPACE_LOADED,
                actor=acting(),
                data={"workflows": len(workspace.workflows), "problems": len(workspace.problems)},
            )
        )
        if self._working:
            await self.scheduler.refresh()
        return list(workspace.problems)

    async def trust(self) -> TrustInfo:
        """Trust the workspace from now on, and start what waits in it."""
        actor = acting()
        trust(self.workspace_path)
        if not self.trusted:
            self.trusted = True
            await self.reload()
            await self.store.write(
                lambda tx: tx.event(
                    EventKind.WORKSPACE_TRUSTED, actor=actor, data={"workspace": str(self.workspace_path)}
                )
            )
            if not self._working:
                await self._work()
        return await self.trust_info()

    async def stop_engine(self) -> None:
        self.stop_requested.set()

    def subscribe(self, after: int) -> AsyncIterator[EventInfo]:
        return self._broadcast.subscribe(after)
