"""What executes in an engine: the runtime, the scheduler and the notifier, and how they call each other."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from victor_engine.clock import Clock
from victor_engine.engine.current_workspace import CurrentWorkspace
from victor_engine.engine.queries.schedules import exclusion
from victor_engine.engine.start_resolution import Starting
from victor_engine.errors import StorageError, VictorError
from victor_engine.events import EventKind
from victor_engine.graph_walk.stopwatch import committed
from victor_engine.identity import acting
from victor_engine.notify import Notifier, Sender
from victor_engine.runs.commands import Cancel
from victor_engine.runs.supervisor import Runtime
from victor_engine.scheduling import run_endings
from victor_engine.scheduling.fires import Firing
from victor_engine.scheduling.loop import SchedulerLoop
from victor_engine.store.db import Store, Tx
from victor_engine.store.repositories import meta
from victor_engine.store.repositories.runs import RunRef, ref_of
from victor_engine.store.savepoints import savepoint
from victor_engine.versioning import catalog

log = logging.getLogger(__name__)

T = TypeVar("T")


class Execution:
    """The runtime, the scheduler and the notifier of an engine. They work from `start` to `stop`.

    Until `start`, and in an engine that only writes, what is committed is left to the next engine: the
    methods that react to a commit do nothing then. With `fires=False` schedules are left alone, with
    `recovers=False` the runs of earlier engines.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        current: CurrentWorkspace,
        *,
        sender: Sender,
        fires: bool,
        recovers: bool,
    ) -> None:
        config = current.loaded.config
        self._store = store
        self._fires = fires
        self._recovers = recovers
        self._closing = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self.working = False
        """Whether they were started."""
        self.starting = Starting(current.bindings, self._definition)
        self.runtime = Runtime(
            store,
            clock,
            load_definition=catalog.load_definition,
            bindings=current.bindings,
            functions=lambda: current.loaded.functions,
            resolve=self.starting.resolve,
            max_concurrent_runs=config.scheduler.max_concurrent_runs,
            mask=lambda text: current.bindings().secrets.masker.text(text),
            load_functions=current.load_function,
            before_ending=run_endings.lock,
            on_ending=self._run_ending,
            on_finished=self._run_finished,
        )
        self.scheduler = SchedulerLoop(
            store,
            clock,
            resolve=self.starting.resolve,
            on_runs=self._take_up,
            on_cancel=self._cancel,
            excluded=exclusion(current.calendars),
            poll_interval=config.scheduler.poll_interval,
        )
        self.notifier = Notifier(
            store,
            clock,
            rules=lambda: current.loaded.config.notify,
            roles=current.roles,
            secrets=lambda: current.bindings().secrets,
            sender=sender,
        )

    # --- beginning and end ---------------------------------------------------------------------

    async def start(self) -> None:
        """Recover what a dead engine left, take up its runs, and fire what is due."""
        self.working = True
        self.runtime.drain(await self._store.read(meta.draining) is not None)
        await self.notifier.start()
        await self.runtime.start(recover=self._recovers)
        if self._fires:
            await self.scheduler.start()

    def closing(self) -> None:
        """React to no end of a run any more: the engine is about to stop."""
        self._closing = True

    async def stop(self) -> None:
        """Stop firing, and end what runs; it is tried again at the next start."""
        if not self.working:
            return
        await self.scheduler.stop()
        await self.runtime.stop()
        await self.notifier.stop()
        for task in self._tasks:
            task.cancel()

    def later(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do something without waiting for it; it is ended with the engine."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- reactions to what was committed -------------------------------------------------------

    def enqueue(self, key: int, priority: int) -> None:
        """Take up a run."""
        if self.working:
            self.runtime.enqueue(key, priority)

    async def refresh(self, schedule_id: str | None = None) -> None:
        """Look at a schedule, or at all of them, again."""
        if self.working:
            await self.scheduler.refresh(schedule_id)

    async def fire(self, action: Callable[[Firing], T]) -> T:
        """Commit an action that may start runs in one transition, and take these up."""

        def transition(tx: Tx) -> tuple[Firing, T]:
            firing = self.scheduler.firing(tx)
            return firing, action(firing)

        def react(done: tuple[Firing, T]) -> None:
            if self.working:
                self.scheduler.committed(done[0])

        _, result = await committed(self._store.write(transition), react)
        return result

    async def workspace_changed(self) -> None:
        """Announce by the new rules, and look at all schedules again."""
        if self.working:
            await self.notifier.changed()
            await self.scheduler.refresh()

    def drain(self) -> None:
        """Start nothing new."""
        if self.working:
            self.runtime.drain(True)

    async def undrain(self) -> None:
        """Start what waits, and let backfills go on."""
        if self.working:
            self.runtime.drain(False)
            if self._fires:
                await self.scheduler.go_on()

    # --- what the runtime and the scheduler ask of each other ----------------------------------

    def _definition(self, connection: sqlite3.Connection, definition_id: int) -> Any:
        return self.runtime.definition(connection, definition_id)

    def _take_up(self, runs: list[tuple[int, int]]) -> None:
        # The first ones take the places that are free: of a crowd, those that matter most.
        for key, priority in sorted(runs, key=lambda run: (-run[1], run[0])):
            self.runtime.enqueue(key, priority)

    def _run_ending(self, tx: Tx, run: RunRef, status: str) -> Firing | None:
        """In the transition in which a run ends: what that means to schedules, if anything."""
        if not run_endings.matters(tx, run.schedule_id, run.workflow):
            return None
        tx.apart()
        firing = self.scheduler.firing(tx)
        try:
            with savepoint(tx):
                run_endings.run_ended(firing, run.key, status)
        except sqlite3.Error:
            raise
        except Exception as error:
            # The run has ended whatever its schedules make of it.
            log.exception("run %s: what comes after it could not be decided", run.id)
            firing = self.scheduler.firing(tx)
            text = error.message if isinstance(error, VictorError) else f"{type(error).__name__}: {error}"
            message = f"what comes after this run could not be decided: {text}"
            tx.event(EventKind.ENGINE_PROBLEM, run_key=run.key, run_id=run.id, data={"message": message})
        return firing

    def _run_finished(self, schedule_id: str | None, ending: Firing | None) -> None:
        if self._closing:
            return
        if ending is not None and self.working and self._fires:
            self.scheduler.committed(ending)
        if schedule_id is not None:
            self.later(self.scheduler.run_finished(schedule_id))

    def _cancel(self, key: int) -> None:
        async def cancel() -> None:
            ref = await self._store.read(lambda c: ref_of(c, key))
            note = "a newer fire takes its place (overlap is cancel_running)"
            while True:
                try:
                    return await self.runtime.command(Cancel(ref.id, note), acting())
                except StorageError:
                    await self._store.writable()

        self.later(cancel())
