"""The active parts of an engine: the runtime, the scheduler and the notifier, and their mutual calls."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from victor_engine.clock import Clock
from victor_engine.engine.current_workspace import CurrentWorkspace
from victor_engine.engine.queries.schedules import exclusion
from victor_engine.engine.removal_dates import RemovalDates
from victor_engine.engine.retention import HistoryPruner
from victor_engine.engine.start_resolution import StartResolver
from victor_engine.errors import StorageError, VictorError
from victor_engine.events import EventKind
from victor_engine.graph_walk.stopwatch import committed
from victor_engine.identity import acting
from victor_engine.notify import Notifier, Sender
from victor_engine.runs.commands import Cancel
from victor_engine.runs.supervisor import RunSupervisor
from victor_engine.scheduling import run_endings
from victor_engine.scheduling.fires import Firing
from victor_engine.scheduling.loop import SchedulerLoop
from victor_engine.store.db import Store, Tx
from victor_engine.store.repositories import meta
from victor_engine.store.repositories.run_rows import RunRef, ref_of
from victor_engine.store.savepoints import savepoint
from victor_engine.versioning import catalog

log = logging.getLogger(__name__)

T = TypeVar("T")


class Execution:
    """The runtime, the scheduler and the notifier of an engine, active from `start` to `stop`.

    Before `start`, and in an engine that only writes, the methods that react to a commit do nothing, and the
    next engine continues from the store. With `fires=False` schedules do not fire, and with `recovers=False`
    the runs of earlier engines are not recovered.
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
        excluded = store.excluded = exclusion(current.calendars)
        self._store = store
        self._fires = fires
        self._recovers = recovers
        self._closing = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self.working = False
        """Whether `start` was called."""
        self.starting = StartResolver(current.bindings, current.problems, self._definition)
        self.runtime = RunSupervisor(
            store,
            clock,
            load_definition=catalog.load_definition,
            bindings=current.bindings,
            functions=lambda: current.loaded.functions,
            resolve=self.starting.resolve,
            max_concurrent_runs=config.scheduler.max_concurrent_runs,
            mask=lambda text: current.bindings().secrets.masker.text(text),
            migration_functions=current.migration_functions,
            before_completion=run_endings.lock,
            on_completion=self._run_ending,
            on_finished=self._run_finished,
            directory=store.path.parent,
        )
        self.scheduler = SchedulerLoop(
            store,
            clock,
            resolve=self.starting.resolve,
            on_runs=self._enqueue,
            on_cancel=self._cancel,
            excluded=excluded,
            poll_interval=config.scheduler.poll_interval,
        )
        self.removals = RemovalDates(store, clock)
        self.pruner = HistoryPruner(store, clock, lambda: current.loaded.config.retention)
        self.notifier = Notifier(
            store,
            clock,
            rules=lambda: current.loaded.config.notify,
            roles=current.roles,
            secrets=lambda: current.bindings().secrets,
            sender=sender,
            guard=lambda: current.bindings().guard,
        )

    # --- start and stop ------------------------------------------------------------------------

    async def start(self) -> None:
        """Recover the runs of earlier engines, continue them, and fire due schedules."""
        self.working = True
        self.runtime.drain(await self._store.read(meta.draining) is not None)
        await self.notifier.start()
        await self.removals.apply()
        self.start_task(self.removals.watch())
        self.start_task(self.pruner.watch())
        await self.runtime.start(recover=self._recovers)
        if self._fires:
            await self.scheduler.start()

    def closing(self) -> None:
        """Ignore finished runs from now on, because the engine is about to stop."""
        self._closing = True

    async def wind_down(self, seconds: float) -> None:
        """Fire no schedule, start no run and no node, and wait for the active nodes, at most `seconds`."""
        if self.working and seconds > 0:
            await self.scheduler.stop()
            await self.runtime.wind_down(seconds)

    async def stop(self) -> None:
        """Stop the scheduler and the active runs, which the next engine continues."""
        if not self.working:
            return
        await self.scheduler.stop()
        await self.runtime.stop()
        await self.notifier.stop()
        for task in self._tasks:
            task.cancel()

    def start_task(self, work: Coroutine[Any, Any, Any]) -> None:
        """Start a task in the background. It is cancelled when the engine stops."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- reactions to commits ------------------------------------------------------------------

    def enqueue(self, key: int, priority: int) -> None:
        """Give a run to the runtime."""
        if self.working:
            self.runtime.enqueue(key, priority)

    async def refresh(self, schedule_id: str | None = None) -> None:
        """Let the scheduler read a schedule again, or all schedules. Queued runs start that may start by now."""
        if self.working:
            await self.scheduler.refresh(schedule_id)
            if self._fires:
                await self.scheduler.start_queued(schedule_id)

    async def fire(self, action: Callable[[Firing], T]) -> T:
        """Commit an action in one transition, and give the runs that it starts to the runtime."""

        def transition(tx: Tx) -> tuple[Firing, T]:
            firing = self.scheduler.firing(tx)
            return firing, action(firing)

        def react(done: tuple[Firing, T]) -> None:
            if self.working:
                self.scheduler.committed(done[0])

        _, result = await committed(self._store.write(transition), react)
        return result

    async def workspace_changed(self) -> None:
        """Use the new notification rules, and read all schedules again."""
        if self.working:
            await self.notifier.changed()
            self.removals.changed()
            self.removals.changed()
            await self.scheduler.refresh()
            if self._fires:
                await self.scheduler.release_held()

    def drain(self) -> None:
        """Start no new runs."""
        if self.working:
            self.runtime.drain(True)

    async def undrain(self) -> None:
        """Start queued runs, and continue backfills."""
        if self.working:
            self.runtime.drain(False)
            if self._fires:
                await self.scheduler.advance_backfills()

    # --- calls between the runtime and the scheduler ------------------------------------------

    def _definition(self, connection: sqlite3.Connection, definition_id: int) -> Any:
        return self.runtime.definition(connection, definition_id)

    def _enqueue(self, runs: list[tuple[int, int]]) -> None:
        # The first runs get the free slots, so enqueue the runs of a batch by priority.
        for key, priority in sorted(runs, key=lambda run: (-run[1], run[0])):
            self.runtime.enqueue(key, priority)

    def _run_ending(self, tx: Tx, run: RunRef, status: str) -> Firing | None:
        """Apply the end of a run to schedules, in the transition that ends it. Return the fires, if any."""
        if not run_endings.is_relevant(tx, run.schedule_id, run.workflow):
            return None
        tx.apart()
        firing = self.scheduler.firing(tx)
        try:
            with savepoint(tx):
                run_endings.run_ended(firing, run.key, status)
        except sqlite3.Error:
            raise
        except Exception as error:
            # An error in the handling of schedules must not affect the end of the run.
            log.exception("run %s: its effect on schedules could not be determined", run.id)
            firing = self.scheduler.firing(tx)
            text = error.message if isinstance(error, VictorError) else f"{type(error).__name__}: {error}"
            message = f"the effect of this run on schedules could not be determined: {text}"
            tx.event(EventKind.ENGINE_PROBLEM, run_key=run.key, run_id=run.id, data={"message": message})
        return firing

    def _run_finished(self, schedule_id: str | None, ending: Firing | None) -> None:
        if self._closing:
            return
        if ending is not None and self.working and self._fires:
            self.scheduler.committed(ending)
        if schedule_id is not None:
            self.start_task(self.scheduler.start_queued(schedule_id))

    def _cancel(self, key: int) -> None:
        async def cancel() -> None:
            ref = await self._store.read(lambda c: ref_of(c, key))
            note = "replaced by a newer fire (overlap is cancel_running)"
            while True:
                try:
                    return await self.runtime.command(Cancel(ref.id, note), acting())
                except StorageError:
                    await self._store.writable()

        self.start_task(cancel())
