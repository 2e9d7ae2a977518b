"""The engine in this process: store, scheduler and runtime in one event loop, behind the port."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from victor_engine import __version__, jsonio
from victor_engine.api import (
    Actor,
    CallerInfo,
    DeploymentInfo,
    DeploymentPlan,
    EngineInfo,
    EngineMode,
    EventInfo,
    EventQuery,
    Port,
    ProblemInfo,
    SecretInfo,
    StorageInfo,
    TrustInfo,
)
from victor_engine.api.port import PortMethod, derive
from victor_engine.api.roles import Role
from victor_engine.clock import Clock, SystemClock
from victor_engine.config.layers import ENGINE_ENVIRONMENT
from victor_engine.engine.current_workspace import CurrentWorkspace, Source
from victor_engine.engine.execution import Execution
from victor_engine.engine.facade import delegate
from victor_engine.engine.feed import Broadcast
from victor_engine.engine.file_differences import FileDifferences
from victor_engine.engine.loaded_workspace import Workspace
from victor_engine.engine.measures import Measures
from victor_engine.engine.queries import Queries, StoreReader, stored_problems
from victor_engine.engine.requests import RequestService
from victor_engine.engine.run_mover import RunMover
from victor_engine.engine.runs import RunService
from victor_engine.engine.schedules import ScheduleService
from victor_engine.engine.secret_list import secret_list
from victor_engine.engine.services import Services
from victor_engine.engine.versions import VersionService
from victor_engine.engine.workspace_files import WorkspaceFiles
from victor_engine.errors import FencedError, VictorError
from victor_engine.events import EventKind
from victor_engine.identity import acting, user_name
from victor_engine.loading.loader import Loader
from victor_engine.notify import Apprise, Sender
from victor_engine.people.groups import Groups
from victor_engine.people.reach import Reach
from victor_engine.people.rights import Rights
from victor_engine.people.secret_answers import key_problems
from victor_engine.private import close_to_others, make_directory
from victor_engine.scheduling import schedule_commands
from victor_engine.store import queries
from victor_engine.store.db import Store, Tx, open_store
from victor_engine.store.repositories import deployments as stored_deployments
from victor_engine.store.repositories import meta
from victor_engine.work.withheld_variables import inheriting

log = logging.getLogger(__name__)


def _record_start(tx: Tx, mode: EngineMode, epoch: int, config_file: Path | None) -> None:
    """Write the event of the start. A daemon also stores its configuration, for commands without an engine."""
    if mode == "daemon":
        meta.put(tx, meta.ENGINE_CONFIG, str(Path(config_file).absolute()) if config_file is not None else "")
        given = {name: text for name, text in os.environ.items() if name.startswith(ENGINE_ENVIRONMENT)}
        meta.put(tx, meta.ENGINE_ENVIRON, jsonio.dumps(given).decode())
    tx.event(
        EventKind.ENGINE_STARTED, actor=acting(), data={"pid": os.getpid(), "mode": mode, "epoch": epoch}
    )


def _to_part(method: PortMethod) -> Callable[..., Awaitable[Any]]:
    """Return a method that delegates a call to the queries or to the services."""
    if method.kind == "query":
        return delegate(method, "queries", Queries)
    return delegate(method, "services", Services)


@derive(_to_part)
class Engine(Port):
    """The port in this process. `Engine.open` creates it; the caller holds the lock of the state directory.

    The engine implements `EnginePort` itself; `queries` and `services` implement the rest.
    """

    def __init__(
        self,
        *,
        state_dir: Path,
        store: Store,
        clock: Clock,
        mode: EngineMode,
        current: CurrentWorkspace,
        execution: Execution,
    ) -> None:
        self.state_dir = state_dir
        self.store = store
        self.clock = clock
        self.mode: EngineMode = mode
        self.started_at = clock.now()
        self.stop_requested = asyncio.Event()
        self.stopped_by: Actor | None = None
        self.socket = ""
        """The path of the socket on which clients reach this engine; empty without one."""
        self.stop_signal = ""
        """The name of the signal that stopped the engine; empty if an action stopped it."""
        self.drain_seconds = 0.0
        """Seconds that active nodes get to finish when the engine closes, before their commands are ended."""
        self.fenced: FencedError | None = None
        """Set if the engine stops because another engine has taken over."""
        self.on_closed: Callable[[], None] | None = None
        self.alive: Callable[[], bool] = lambda: True
        """Returns whether the event loop makes turns, in any thread. A watchdog sets it."""
        self.measures = Measures()
        self.deployment: DeploymentInfo | None = None
        """The deployment of the start; None if it changed nothing."""
        self.socket_problems: tuple[ProblemInfo, ...] = ()
        self.closers: list[Callable[[], Awaitable[None]]] = []
        self.runtime = execution.runtime
        self.scheduler = execution.scheduler
        self.notifier = execution.notifier
        self.files = WorkspaceFiles(store, clock, current, execution)
        self._differences = FileDifferences(
            clock, lambda: current.loaded, lambda: self.files.plan(False), execution.start_task
        )
        self._current = current
        self._execution = execution
        self._broadcast = Broadcast(store)
        self._reader = StoreReader(store)
        self._closed = False
        groups = Groups(clock)
        self.rights = Rights(lambda: current.loaded.config, groups)
        self.queries = Queries.over(
            self._reader,
            clock,
            calendars=current.calendars,
            config=lambda: current.loaded.config,
            roles=current.roles,
            groups=groups,
            anyone=self.rights.may_answer_anyones,
            watched=True,
            problems=current.problems,
            migration_functions=current.migration_functions,
            declared=current.declared,
            check_start=execution.starting.check,
            untrusted=lambda: current.untrusted,
            none_of=Reach(lambda: current.loaded.config, clock).none_of,
        )
        runs = self.queries.runs
        mover = RunMover(store, clock, current, execution, runs)
        self.services = Services(
            RunService(store, clock, current, execution, runs),
            ScheduleService(store, current, execution, self.queries.schedules, runs),
            RequestService(store, self._reader, current, execution.runtime, self.queries.requests),
            VersionService(store, clock, current, self.queries.versions, mover, execution.removals),
        )

    @classmethod
    async def open(
        cls,
        workspace: Path,
        state_dir: Path,
        *,
        mode: EngineMode = "embedded",
        clock: Clock | None = None,
        config_file: Path | None = None,
        environ: Mapping[str, str] | None = None,
        problems: tuple[ProblemInfo, ...] = (),
        overrides: dict[str, Any] | None = None,
        work: bool = True,
        fire: bool = True,
        recover: bool = True,
        deploy: bool = True,
        functions: Mapping[str, Callable[..., Any]] | None = None,
        sender: Sender | None = None,
    ) -> Engine:
        """Open the store, begin a new epoch, load the workspace, and start.

        With `work=False` the engine only writes to the store, without recovery, execution and schedules; the
        command line uses this. With `fire=False` it does not fire schedules, with `recover=False` it does not
        recover the runs of earlier engines, and with `deploy=False` it deploys no files. Expressions can call
        `functions` in addition to those of the workspace. `environ` is the environment of its settings, by default that of
        this process, and `problems` are reported with those of the files. `sender` sends notifications instead of Apprise.
        """
        clock = clock or SystemClock()
        make_directory(state_dir)
        closed = close_to_others(state_dir, workspace)
        source = Source(workspace, config_file, overrides or {}, functions=dict(functions or {}))
        source.environ = environ
        source.problems += problems
        if closed is not None:
            source.problems.append(ProblemInfo("warning", closed, path=str(state_dir)))
        store = open_store(state_dir / "victor.db", clock=clock)
        store.begin_epoch()
        store.start(patient=work)
        try:
            # The command line need not keep its event loop free, and is faster without a worker process.
            loader = Loader(here=not work)
            try:
                current = await CurrentWorkspace.open(source, loader)
                execution = Execution(
                    store, clock, current, sender=sender or Apprise(), fires=fire, recovers=recover
                )
                engine = cls(
                    state_dir=state_dir,
                    store=store,
                    clock=clock,
                    mode=mode,
                    current=current,
                    execution=execution,
                )
                try:
                    await engine._start(work, deploy)
                except BaseException:
                    await execution.stop()  # recovered runs may be active already
                    raise
            except BaseException:
                await loader.close()
                raise
        except BaseException:
            await store.close()
            raise
        return engine

    async def _start(self, work: bool, deploy: bool) -> None:
        self.store.listen(self._broadcast.publish)
        self.store.on_fenced = self.stop_fenced
        self.store.on_storage = self._storage_changed
        if deploy:
            self.deployment = await self.files.apply_at_start()
        if work:
            await self.files.record_first_content()
            mode, file = self.mode, self._current.source.config_file
            await self.store.write(lambda tx: _record_start(tx, mode, self.store.epoch, file))
            if self.trusted:
                await self._execution.start()

    async def close(self) -> None:
        """Stop the scheduler and the active runs, which the next engine continues, and close the store."""
        if self._closed:
            return
        self._closed = True
        self._execution.closing()
        if self.store.outage is None:
            await self._execution.wind_down(self.drain_seconds)
        self.store.hurry()
        for closer in self.closers:
            await closer()
        if self._execution.working:
            await self._execution.stop()
            try:
                data = {"pid": os.getpid(), **({"signal": self.stop_signal} if self.stop_signal else {})}
                actor = self.stopped_by or acting()
                await self.store.write(lambda tx: tx.event(EventKind.ENGINE_STOPPED, actor=actor, data=data))
            except VictorError as error:
                log.warning("the stop of the engine could not be recorded: %s", error)
        await self._current.close()
        self._broadcast.close()
        await self.store.close()
        if self.on_closed is not None:
            self.on_closed()

    def force_kill(self) -> None:
        """Force-kill the commands that still run while the engine closes. Their grace periods are ignored."""
        if self._closed and self._execution.working:
            self.runtime.force_kill()

    def stop_fenced(self, error: FencedError) -> None:
        """Stop this engine because another engine has taken over. Subscribers then attach to the other one."""
        log.critical("this engine stops: %s", error)
        self.fenced = error
        self._broadcast.close()
        self.stop_requested.set()

    def _storage_changed(self, info: StorageInfo | None) -> None:
        """Notify subscribers of a storage outage. Its end is a stored event."""
        self.notifier.storage_changed(info)
        if info is not None:
            self._broadcast.storage_lost(info)

    # --- the workspace -------------------------------------------------------------------------

    @property
    def workspace_path(self) -> Path:
        return self._current.path

    @property
    def workspace(self) -> Workspace:
        """Return the loaded content of the workspace."""
        return self._current.loaded

    @property
    def trusted(self) -> bool:
        return self._current.trusted

    def add_functions(self, functions: Mapping[str, Callable[..., Any]]) -> None:
        """Let expressions call functions of this process until the engine closes.

        Raise UsageError if another function has the name already.
        """
        self._current.add_functions(functions)

    async def reload(self) -> list[ProblemInfo]:
        """Read the workspace again. Active runs keep their definitions."""
        return [*await self.files.reload(), *self.socket_problems]

    async def plan_deployment(self, undo: bool = False) -> DeploymentPlan:
        return await self.files.plan(undo)

    async def secrets(self) -> list[SecretInfo]:
        return await asyncio.to_thread(secret_list, self.workspace)

    async def deployments(self, limit: int = 20) -> list[DeploymentInfo]:
        return await self._reader.read(stored_deployments.listed, limit)

    async def deploy(self, plan: str | None = None, undo: bool = False) -> DeploymentInfo:
        return await self.files.deploy(plan, undo)

    async def trust(self, content: str = "") -> TrustInfo:
        return await self.files.trust(content)

    async def trust_info(self) -> TrustInfo:
        return await self.files.trust_info()

    # --- the engine itself ---------------------------------------------------------------------

    async def engine(self) -> EngineInfo:
        now = self.clock.now()
        counts = await self._reader.read(queries.engine_counts, now)
        stored = await self._reader.read(stored_problems, now, self.workspace.config)
        asks_secrets = any(piece.asks_secrets for piece in self.workspace.workflows)
        keys = await asyncio.to_thread(key_problems) if asks_secrets else []
        last = await self._reader.read(stored_deployments.listed, 1)
        number, undone = (last[0].number, last[0].how == "undo") if last else (0, False)
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
            untrusted=self._current.untrusted,
            storage=self.store.outage,
            socket=self.socket,
            inheriting=inheriting(self.workspace.config),
            engine_user=user_name(os.geteuid()),
            files=self._differences.known(number, undone=undone),
            permissions=self.rights.granted(),
            problems=(
                *self.workspace.problems,
                *self.socket_problems,
                *self.files.open_problems(),
                *stored,
                *keys,
            ),
            **msgspec.structs.asdict(counts),
        )

    async def whoami(self) -> CallerInfo:
        actor = acting()
        roles = await self.rights.of(actor)
        return CallerInfo(actor.user, actor.uid, tuple(role for role in Role if role in roles))

    async def events(self, query: EventQuery) -> list[EventInfo]:
        return await self._reader.read(queries.events, query)

    def subscribe(self, after: int) -> AsyncIterator[EventInfo]:
        return self._broadcast.subscribe(after)

    async def drain(self, note: str = "") -> EngineInfo:
        """Drain the engine until `undrain`, also after restarts."""
        actor = acting()
        await self.store.write(lambda tx: schedule_commands.drain(tx, actor=actor, note=note))
        self._execution.drain()
        return await self.engine()

    async def undrain(self, note: str = "") -> EngineInfo:
        actor = acting()
        await self.store.write(lambda tx: schedule_commands.undrain(tx, actor=actor, note=note))
        await self._execution.undrain()
        return await self.engine()

    async def stop_engine(self) -> None:
        self.stopped_by = self.stopped_by or acting()
        self.stop_requested.set()
