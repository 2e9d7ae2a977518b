"""Execution of committed commands on runs: cancel, pause, resume, override."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from victor_engine.api import Actor, EventInfo
from victor_engine.domain.statuses import RunStatus
from victor_engine.errors import VictorError
from victor_engine.events import EventKind
from victor_engine.graph_walk.stopwatch import committed, first_of
from victor_engine.runs import transitions
from victor_engine.runs.command_handler import Handler, Outcome
from victor_engine.runs.commands import (
    Cancel,
    Command,
    Discard,
    Override,
    Pause,
    Redrive,
    Resume,
    Retry,
)
from victor_engine.runs.completion import Completion
from victor_engine.runs.run_plans import Expect
from victor_engine.runs.slots import ActiveRun, Slots
from victor_engine.runs.transitions import RunRef
from victor_engine.store.db import Store, Tx
from victor_engine.store.repositories import attempt_rows, run_rows
from victor_engine.store.stored_ending import ending_from
from victor_engine.work.migration_functions import Calls, MigrationFunctions
from victor_engine.work.process import end_process_group

log = logging.getLogger(__name__)

T = TypeVar("T")


async def _ended(task: asyncio.Task[None]) -> None:
    await asyncio.wait({task})


def _is_to_end(connection: sqlite3.Connection, ref: RunRef) -> bool:
    """Return whether a cancelled run has not ended, and no handler of its end follows.

    The run may have been about to pause when the cancellation was committed. While its handlers are executed, its
    status is `cancelling` too.
    """
    row = run_rows.read(connection, ref.key)
    return row.status == RunStatus.CANCELLING and not ending_from(row.ending).continues


class Control:
    """Executes the commands of operators, and ends or pauses the runs that are stored as cancelling or pausing."""

    def __init__(
        self,
        store: Store,
        slots: Slots,
        completion: Completion,
        handler: Handler,
        functions: MigrationFunctions,
    ) -> None:
        self._store = store
        self._slots = slots
        self._completion = completion
        self._handler = handler
        self._functions = functions
        self._exclusive: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()
        """The locks of runs to which a caller has exclusive access."""
        self.tasks: set[asyncio.Task[None]] = set()
        """The tasks that execute committed commands."""

    async def command(self, command: Command, actor: Actor, expect: Expect | None = None) -> None:
        """Execute a command on a run: decide it from the stored row, commit it with its event, and act on it.

        `Cancel` ends the active attempts and withdraws the requests of the run. The processes of its nodes get
        SIGTERM, and SIGKILL after their grace period; a second `Cancel` force-kills them.

        `Pause` makes a queued or waiting run `paused` immediately. A run with an active node becomes `pausing`, and
        `paused` when the node is done. The status is stored, so it is kept after a restart or a crash.

        Raise NotFoundError, UsageError or ConflictError, with nothing changed, if the command is refused.
        """
        if isinstance(command, Redrive):
            await self._functions.settled(
                lambda calls: self._requeued(self._commit(command, actor, expect, calls))
            )
            return
        commit = self._commit(command, actor, expect)
        match command:
            case Cancel():
                await self._carry_out(commit, lambda done: self.carry_out_cancel(done.ref, again=True))
            case Pause():
                await self._carry_out(commit, lambda done: self._hold(done.ref, done.status))
            case Resume():
                await committed(commit, self._enqueue)
            case Retry():
                await self._requeued(commit)
            case Override():
                await committed(commit, lambda done: self._apply_limits(done, command.retry_now))
            case Discard():
                await commit

    def _commit(
        self, command: Command, actor: Actor, expect: Expect | None, calls: Calls | None = None
    ) -> asyncio.Future[Outcome]:
        load = None if calls is None else calls.load
        return self._store.write(lambda tx: self._handler.commit(tx, command, actor, expect, load))

    async def _requeued(self, commit: asyncio.Future[Outcome]) -> None:
        await committed(commit, lambda done: self._slots.enqueue(done.ref.key, done.priority, True))

    async def _carry_out(
        self, commit: asyncio.Future[T], work: Callable[[T], Coroutine[Any, Any, None]]
    ) -> None:
        """Wait for the commit and act on it, even if the caller is cancelled."""
        begun: list[asyncio.Task[None]] = []
        await committed(commit, lambda result: begun.append(self._spawn(work(result))))
        await asyncio.shield(begun[0])

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self._spawned_done)
        return task

    def _spawned_done(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # The command is stored, so the next start executes it.
            log.error(
                "a committed command could not be executed; the next start of the engine does it: %s",
                error,
            )

    async def carry_out_cancel(self, ref: RunRef, *, again: bool = False) -> None:
        """End the active attempts of a run that is stored as cancelling, and then the run. `again` also ends
        attempts that did not end at the first cancellation."""
        live = self._slots.live.get(ref.key)
        if live is None:
            self._slots.dequeue(ref.key)
            await self._end_processes(ref)
            await self.end_cancelled(ref, 0.0)
            return
        already, live.cancelling = live.cancelling, True
        if again or not already:
            live.interrupt()
        await asyncio.wait({live.task})
        if await self._store.read(lambda connection: _is_to_end(connection, ref)):
            await self.end_cancelled(ref, 0.0)

    async def end_cancelled(self, ref: RunRef, seconds: float) -> None:
        """Commit the end of a cancelled run, after the ends of the children that it waits for."""
        await self._cancel_children(ref)
        await self._completion.cancelled(ref, seconds)

    async def rest(self, ref: RunRef, seconds: float) -> None:
        """Commit the pause of a pausing run, unless it was cancelled or resumed."""
        status = await self._completion.rest(ref)
        if status == "cancelling":
            await self.end_cancelled(ref, seconds)
        elif status in ("queued", "running", "waiting"):  # it was resumed before the pause was committed
            self._slots.enqueue(ref.key, 0, True)

    async def _cancel_children(self, ref: RunRef) -> None:
        """Cancel the children of a run, before the run itself ends."""
        children = await self._store.read(lambda connection: run_rows.living_children(connection, ref.key))
        if not children:
            return

        def transition(tx: Tx) -> None:
            for child in children:
                transitions.cancel_child(tx, ref, child)

        await self._store.persist(transition)
        await asyncio.gather(*(self.carry_out_cancel(child) for child in children))

    def on_events(self, events: list[EventInfo]) -> None:
        """Cancel the runs that a parent or a run with the same concurrency key has ended, after the commit."""
        for event in events:
            by_engine = "by_parent" in event.data or "by_run" in event.data
            if event.kind == EventKind.RUN_CANCELLING and by_engine and event.run_id:
                self._spawn(self._cancel_by_id(event.run_id))

    async def _cancel_by_id(self, run_id: str) -> None:
        ref = await self._store.read(lambda connection: run_rows.find_ref(connection, run_id))
        if ref is None:
            return  # it has been deleted
        try:
            await self.carry_out_cancel(ref)
        except VictorError as error:
            # The status is stored, so the next start cancels it.
            log.error(
                "run %s could not be cancelled with its parent; the next start of the engine cancels it: %s",
                run_id,
                error,
            )

    def _hold(self, ref: RunRef, status: str) -> Coroutine[Any, Any, None]:
        """Pause a run whose command is committed. Return the rest of the work."""
        live = self._slots.live.get(ref.key)
        if live is None:
            self._slots.dequeue(ref.key)
        else:
            live.pausing = True
            if live.effects is not None:
                live.effects.pausing = True
        ends = live is not None and live.is_idle and live.begun
        if ends and live is not None:
            live.interrupt()
        return self._held(ref, status, live, ends)

    async def _held(self, ref: RunRef, status: str, live: ActiveRun | None, ends: bool) -> None:
        if live is None:
            await self._completion.claim_waiting(ref)
        else:
            if not ends and not live.detached:
                return  # it pauses after its node
            await asyncio.wait({live.task})
        if status == "pausing" and (live is None or live.detached):
            # It has no task: an earlier engine left it as running, or a migration has detached it.
            await self._end_processes(ref)
            await self.rest(ref, 0.0)

    async def _end_processes(self, ref: RunRef) -> None:
        """End the processes that an earlier engine left for a run without a task."""
        for pid, pgid, start_ticks in await self._store.read(lambda c: attempt_rows.processes(c, ref.key)):
            await end_process_group(pid, pgid, start_ticks)

    @asynccontextmanager
    async def exclusive(self, key: int) -> AsyncIterator[bool]:
        """Get exclusive access to a run. Yield False, with nothing changed, if the run is active.

        A concurrent caller waits. The caller must enqueue the run again afterwards, even if its change failed.
        """
        lock = self._exclusive.get(key)
        if lock is None:
            lock = self._exclusive[key] = asyncio.Lock()
        async with lock:
            self._slots.hold(key)
            try:
                yield await self.detach(key)
            finally:
                self._slots.release(key)

    async def detach(self, key: int) -> bool:
        """End the task of an idle run without a change of the store. Return False if the run is active.

        The caller must enqueue the run again afterwards, even if its change failed.
        """
        live = self._slots.live.get(key)
        if live is None:
            self._slots.dequeue(key)
            return True
        if live.detached:
            await asyncio.wait({live.task})
            return True
        if not live.is_idle and await self._store.read(
            lambda connection: run_rows.status_of(connection, key) == "waiting"
        ):
            # It is being claimed; its task finds that it still waits.
            await first_of(live.became_idle.wait(), _ended(live.task))
        if not live.is_idle or not live.begun or live.cancelling or live.pausing:
            return False
        live.detached = True
        live.interrupt()
        await asyncio.wait({live.task})
        return True

    def _enqueue(self, done: Outcome) -> None:
        """Enqueue a run whose resumption is committed."""
        live = self._slots.live.get(done.ref.key)
        if live is not None:
            live.pausing = False
            if live.effects is not None:
                live.effects.pausing = False
        if done.status == "queued" or live is None:
            self._slots.enqueue(done.ref.key, done.priority, True)

    def _apply_limits(self, done: Outcome, retry_now: bool) -> None:
        """Apply a committed override to an active run."""
        live, new = self._slots.live.get(done.ref.key), done.limits
        if live is None or new is None:
            return
        live.overrides[new.node_id] = new
        if retry_now and live.effects is not None:
            live.effects.retry_now(new.node_id)
        elif retry_now:
            live.skip_retry_wait.add(new.node_id)
