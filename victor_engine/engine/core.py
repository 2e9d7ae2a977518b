"""The embedded engine: store, scheduler and runtime in one loop, behind the console port."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from victor_engine.api import (
    ENGINE_ACTOR,
    Actor,
    EngineMode,
    EventInfo,
    ProblemInfo,
    StorageInfo,
    TrustInfo,
)
from victor_engine.clock import Clock, SystemClock
from victor_engine.config import is_trusted, load_config, trust
from victor_engine.engine.feed import Broadcast
from victor_engine.engine.loaded import Workspace
from victor_engine.engine.moving import MovingActions
from victor_engine.engine.people import PeopleActions
from victor_engine.engine.schedules import ScheduleActions
from victor_engine.engine.versions import VersionActions
from victor_engine.engine.workspace import load_workspace, register
from victor_engine.errors import FencedError, StorageError, UsageError, VictorError
from victor_engine.events import EventKind
from victor_engine.hitl.viewing import Viewing
from victor_engine.identity import acting
from victor_engine.notify import Apprise, Notifier, Sender
from victor_engine.private import close_to_others, make_directory
from victor_engine.runtime.journal import RunRef
from victor_engine.runtime.manager import Runtime
from victor_engine.scheduler import endings
from victor_engine.scheduler.firing import Firing
from victor_engine.scheduler.loop import SchedulerLoop
from victor_engine.scheduler.rows import draining
from victor_engine.store.db import Store, Tx, open_store
from victor_engine.versioning import catalog

log = logging.getLogger(__name__)


class Engine(ScheduleActions, PeopleActions, VersionActions, MovingActions):
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
        self.stopped_by: Actor | None = None
        self.stopped_how = ""
        """What ended it, where that is not an action: the name of a signal."""
        self.overtaken: FencedError | None = None
        self.workspace: Workspace
        self.runtime: Runtime
        self.scheduler: SchedulerLoop
        self.notifier: Notifier
        self.overrides: dict[str, Any] = {}
        self._functions: dict[str, Callable[..., Any]] = {}
        self._broadcast = Broadcast(store)
        self._working = False
        self._fires = True
        self._recovers = True
        self._found: list[ProblemInfo] = []
        self._sender: Sender = Apprise()
        self._unbound: dict[int, str | None] = {}
        self._viewing = Viewing(lambda: self.workspace.config.roles, clock)
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
        recover: bool = True,
        functions: Mapping[str, Callable[..., Any]] | None = None,
        sender: Sender | None = None,
    ) -> Engine:
        """Open the store, take over, load the workspace, and start.

        With `work=False` nothing is recovered, run or fired: the command line writes under the
        lock. With `fire=False` runs are run, and schedules are left alone. With
        `recover=False` so are the runs of earlier engines. `functions` are called by
        expressions, beside those of the workspace. `sender` sends announcements in Apprise's place.
        """
        clock = clock or SystemClock()
        make_directory(state_dir)
        closed = close_to_others(state_dir, workspace)
        store = open_store(state_dir / "victor.db", clock=clock)
        store.begin_epoch()
        store.start(patient=work)
        engine = cls(
            workspace=workspace,
            state_dir=state_dir,
            store=store,
            clock=clock,
            mode=mode,
            config_file=config_file,
        )
        engine.overrides = overrides or {}
        engine._functions = dict(functions or {})
        engine._fires = fire
        engine._recovers = recover
        engine._sender = sender or Apprise()
        if closed is not None:
            engine._found.append(ProblemInfo("warning", closed, path=str(state_dir)))
        try:
            await engine._start(work)
        except BaseException:
            # What was recovered may be at work already.
            if engine._working:
                await engine.scheduler.stop()
                await engine.runtime.stop()
                await engine.notifier.stop()
            await store.close()
            raise
        return engine

    async def _start(self, work: bool) -> None:
        self.store.listen(self._broadcast.publish)
        self.store.on_fenced = self.give_way
        self.store.on_storage = self._storage_changed
        self.workspace = self._load()
        config = self.workspace.config
        self.runtime = Runtime(
            self.store,
            self.clock,
            load_definition=catalog.load_definition,
            bindings=lambda: self.workspace.bindings,
            functions=lambda: self.workspace.functions,
            resolve=self._resolve,
            max_concurrent_runs=config.scheduler.max_concurrent_runs,
            mask=lambda text: self.workspace.bindings.secrets.masker.text(text),
            before_ending=endings.lock,
            on_ending=self._run_ending,
            on_finished=self._run_finished,
        )
        self.scheduler = SchedulerLoop(
            self.store,
            self.clock,
            resolve=self._resolve,
            on_runs=self._take_up,
            on_cancel=self._cancel_key,
            excluded=self._excluded,
            poll_interval=config.scheduler.poll_interval,
        )
        self.notifier = Notifier(
            self.store,
            self.clock,
            rules=lambda: self.workspace.config.notify,
            roles=lambda: self.workspace.config.roles,
            secrets=lambda: self.workspace.bindings.secrets,
            sender=self._sender,
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
        self.runtime.drain(await self.store.read(draining) is not None)
        await self.notifier.start()
        await self.runtime.start(recover=self._recovers)
        if self._fires:
            await self.scheduler.start()

    def _load(self) -> Workspace:
        config = load_config(self.workspace_path, cli=self.overrides, config_file=self.config_file)
        workspace = load_workspace(config, trusted=self.trusted)
        for name, function in self._functions.items():
            workspace.functions.register(name, function)
        for problem in self._found:
            workspace.add(problem)
        return workspace

    def add_functions(self, functions: Mapping[str, Callable[..., Any]]) -> None:
        """Let expressions call functions of this process, for as long as the engine lives.

        Raises UsageError where another function has the name already.
        """
        for name, function in functions.items():
            known = self.workspace.functions.get(name)
            if known is not None and known is not function:
                raise UsageError(
                    f"expressions call another function {name!r} already; give this one its own name"
                )
        self._functions.update(functions)
        for name, function in functions.items():
            self.workspace.functions.register(name, function)

    async def close(self) -> None:
        """Stop firing, end what runs (it is tried again at the next start), close the store."""
        if self._closed:
            return
        self._closed = True
        self.store.hurry()
        for closer in self.closers:
            await closer()
        if self._working:
            await self.scheduler.stop()
            await self.runtime.stop()
            await self.notifier.stop()
            for task in self._tasks:
                task.cancel()
            try:
                data = {"pid": os.getpid(), **({"signal": self.stopped_how} if self.stopped_how else {})}
                actor = self.stopped_by or acting()
                await self.store.write(lambda tx: tx.event(EventKind.ENGINE_STOPPED, actor=actor, data=data))
            except VictorError as error:
                log.warning("the end could not be recorded: %s", error)
        await self.workspace.bindings.close()
        self._broadcast.close()
        await self.store.close()
        if self.on_closed is not None:
            self.on_closed()

    def hurry(self) -> None:
        """While the engine closes: kill the commands that have not ended yet, whatever their grace."""
        if self._closed and self._working:
            self.runtime.hurry()

    # --- inner workings ------------------------------------------------------------------------

    def give_way(self, error: FencedError) -> None:
        """End this engine because another one works here now. Those who listen to it turn to the other."""
        log.critical("this engine ends: %s", error)
        self.overtaken = error
        self._broadcast.close()
        self.stop_requested.set()

    def _storage_changed(self, info: StorageInfo | None) -> None:
        """Tell who listens that nothing can be recorded; that it can be again is an event of the store."""
        self.notifier.storage_changed(info)
        if info is not None:
            self._broadcast.notice(
                EventInfo(
                    seq=0,
                    at=info.since,
                    kind=EventKind.ENGINE_STORAGE_LOST,
                    actor=ENGINE_ACTOR,
                    data={"message": info.message},
                )
            )

    def _take_up(self, runs: list[tuple[int, int]]) -> None:
        # The first ones take the places that are free: of a crowd, those that matter most.
        for key, priority in sorted(runs, key=lambda run: (-run[1], run[0])):
            self.runtime.enqueue(key, priority)

    def _run_ending(self, tx: Tx, run: RunRef, status: str) -> Firing | None:
        """In the transition in which a run ends: what that means to schedules, if anything."""
        if not endings.matters(tx, run.schedule_id, run.workflow):
            return None
        tx.apart()
        firing = self.scheduler.firing(tx)
        mark = tx.mark()
        tx.execute("SAVEPOINT ending")
        try:
            endings.run_ended(firing, run.key, status)
        except sqlite3.Error:
            raise
        except Exception as error:
            # The run has ended whatever its schedules make of it.
            log.exception("run %s: what comes after it could not be decided", run.id)
            tx.execute("ROLLBACK TO ending")
            tx.rewind(mark)
            firing = self.scheduler.firing(tx)
            text = error.message if isinstance(error, VictorError) else f"{type(error).__name__}: {error}"
            message = f"what comes after this run could not be decided: {text}"
            tx.event(EventKind.ENGINE_PROBLEM, run_key=run.key, run_id=run.id, data={"message": message})
        tx.execute("RELEASE ending")
        return firing

    def _run_finished(self, schedule_id: str | None, ending: Firing | None) -> None:
        if self._closed:
            return
        if ending is not None and self._working and self._fires:
            self.scheduler.committed(ending)
        if schedule_id is not None:
            self._later(self.scheduler.run_finished(schedule_id))

    def _cancel_key(self, key: int) -> None:
        async def cancel() -> None:
            ref = await self.store.read(lambda c: self._ref_of_key(c, key))
            note = "a newer fire takes its place (overlap is cancel_running)"
            while True:
                try:
                    return await self.runtime.cancel(ref, acting(), note)
                except StorageError:
                    await self.store.writable()

        self._later(cancel())

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
            await self.notifier.changed()
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
        self.stopped_by = self.stopped_by or acting()
        self.stop_requested.set()

    def subscribe(self, after: int) -> AsyncIterator[EventInfo]:
        return self._broadcast.subscribe(after)
