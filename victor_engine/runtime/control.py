"""What an operator does to a run: each a compare-and-set with an event that names its actor."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from victor_engine import jsonio
from victor_engine.api import Actor, NodeOverride
from victor_engine.definition.model import WorkflowDefinition
from victor_engine.domain.transitions import RunCommand, next_status
from victor_engine.errors import ConflictError, UsageError
from victor_engine.events import EventKind
from victor_engine.runtime import journal
from victor_engine.runtime.conflicts import why_no_dead_letter
from victor_engine.runtime.effects import Position
from victor_engine.runtime.journal import RunRef
from victor_engine.runtime.overrides import check_override, override_node
from victor_engine.runtime.places import Live, Places
from victor_engine.runtime.process import end_process_group
from victor_engine.runtime.redrive import Redrive, redrive
from victor_engine.runtime.stopwatch import committed, first_of
from victor_engine.store.db import Store, Tx
from victor_engine.store.progress import position_of
from victor_engine.store.repositories import attempts, runs
from victor_engine.store.repositories.deadletters import remove_dead_letter
from victor_engine.versioning.catalog import Load

log = logging.getLogger(__name__)

T = TypeVar("T")


async def _ended(task: asyncio.Task[None]) -> None:
    await asyncio.wait({task})


class Control(ABC):
    """The part of the runtime that people steer."""

    store: Store
    places: Places
    _tasks: set[asyncio.Task[None]]
    _aside: WeakValueDictionary[int, asyncio.Lock]
    """Who has a run to themselves."""

    @abstractmethod
    def definition(
        self, connection: sqlite3.Connection, definition_id: int
    ) -> tuple[WorkflowDefinition, str]:
        """A pinned definition and its version."""

    @abstractmethod
    async def _end_cancelled(self, ref: RunRef, seconds: float) -> None:
        """Commit the end of a cancelled run."""

    @abstractmethod
    async def _rest(self, ref: RunRef, seconds: float) -> None:
        """Commit that a run that was told to pause has come to rest, unless it was told otherwise since."""

    async def cancel(self, ref: RunRef, actor: Actor, note: str) -> None:
        """Cancel a run: what it started is ended, its questions are withdrawn.

        Commands are asked to end (SIGTERM to their process group) and killed after their grace. Who
        cancels again while that lasts has them killed at once.
        """
        commit = self.store.write(lambda tx: journal.cancel(tx, ref, actor, note))
        await self._carry_out(commit, lambda _: self.carry_out_cancel(ref, again=True))

    async def _carry_out(
        self, commit: asyncio.Future[T], work: Callable[[T], Coroutine[Any, Any, None]]
    ) -> None:
        """Wait for a commit and do what it asks for, also if the caller was cancelled meanwhile."""
        begun: list[asyncio.Task[None]] = []
        await committed(commit, lambda result: begun.append(self._later(work(result))))
        await asyncio.shield(begun[0])

    def _later(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done_later)
        return task

    def _done_later(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # It is on record, so the next start sees to it.
            log.error("a committed command could not be carried out: %s", error)

    async def carry_out_cancel(self, ref: RunRef, *, again: bool = False) -> None:
        """End what a run that is on record as cancelling has at work, and then the run; with `again` also
        what did not end when it was told before."""
        live = self.places.live.get(ref.key)
        if live is None:
            self.places.forget(ref.key)
            await self._end_processes(ref)
            await self._end_cancelled(ref, 0.0)
            return
        told, live.cancelling = live.cancelling, True
        if again or not told:
            live.interrupt()
        await asyncio.wait({live.task})
        # Its task may have been on its way to rest when the cancellation was committed.
        if await self.store.read(lambda connection: runs.status_of(connection, ref.key) == "cancelling"):
            await self._end_cancelled(ref, 0.0)

    async def pause(self, ref: RunRef, actor: Actor, note: str) -> None:
        """Hold a run before its next node.

        A run that is queued or waits is `paused` at once. One that has a node at work becomes `pausing`, and
        `paused` when that node is done; the status is stored, so it holds after a restart or a crash too.
        Raise ConflictError if the run is in another status.
        """
        commit = self.store.write(lambda tx: journal.pause(tx, ref, actor, note))
        await self._carry_out(commit, lambda status: self._hold(ref, status))

    def _hold(self, ref: RunRef, status: str) -> Coroutine[Any, Any, None]:
        """Hold a run whose pause is committed. Return what remains to be waited for."""
        live = self.places.live.get(ref.key)
        if live is None:
            self.places.forget(ref.key)
        else:
            live.pausing = True
            if live.effects is not None:
                live.effects.pausing = True
        ends = live is not None and live.rests and live.begun
        if ends and live is not None:
            live.interrupt()
        return self._held(ref, status, live, ends)

    async def _held(self, ref: RunRef, status: str, live: Live | None, ends: bool) -> None:
        if live is not None:
            if not ends and not live.parking:
                return  # it comes to rest after its node
            await asyncio.wait({live.task})
        if status == "pausing" and (live is None or live.parking):
            # No task drives it: a dead engine left it as running, or a migration has let go of it.
            await self._end_processes(ref)
            await self._rest(ref, 0.0)

    async def _end_processes(self, ref: RunRef) -> None:
        """End what a dead engine left running for a run that no task drives."""
        for pid, pgid, start_ticks in await self.store.read(lambda c: attempts.processes(c, ref.key)):
            await end_process_group(pid, pgid, start_ticks)

    @asynccontextmanager
    async def aside(self, key: int) -> AsyncIterator[bool]:
        """Have a run to oneself: parked, taken up by nobody. False, and as it was, if it is at work.

        Who comes second waits. Afterwards the run is to be enqueued again, whatever came of it.
        """
        lock = self._aside.get(key)
        if lock is None:
            lock = self._aside[key] = asyncio.Lock()
        async with lock:
            self.places.hold(key)
            try:
                yield await self.park(key)
            finally:
                self.places.release(key)

    async def park(self, key: int) -> bool:
        """Let go of a run that rests, without a trace, so that its row can be changed; False if it is at work.

        Whoever parks a run enqueues it again, whatever came of the change.
        """
        live = self.places.live.get(key)
        if live is None:
            self.places.forget(key)
            return True
        if live.parking:
            await asyncio.wait({live.task})
            return True
        if not live.rests and await self.store.read(
            lambda connection: runs.status_of(connection, key) == "waiting"
        ):
            # It is being taken up, and will find that it still waits.
            await first_of(live.rested.wait(), _ended(live.task))
        if not live.rests or not live.begun or live.cancelling or live.pausing:
            return False
        live.parking = True
        live.interrupt()
        await asyncio.wait({live.task})
        return True

    async def resume(self, ref: RunRef, actor: Actor, note: str) -> None:
        """Let a paused run go on, or take back a pause that has not taken hold yet.

        Raise ConflictError if the run is neither `paused` nor `pausing`.
        """

        def let_go(result: tuple[str, int]) -> None:
            status, priority = result
            live = self.places.live.get(ref.key)
            if live is not None:
                live.pausing = False
                if live.effects is not None:
                    live.effects.pausing = False
            if status == "queued" or live is None:
                self.places.enqueue(ref.key, priority, True)

        await committed(self.store.write(lambda tx: journal.resume(tx, ref, actor, note)), let_go)

    async def retry(self, ref: RunRef, actor: Actor, note: str) -> None:
        """Go on with a failed or cancelled run from the node at which it stopped."""

        def transition(tx: Tx) -> int:
            stored = runs.lock(tx, ref.key)
            next_status(ref.id, stored.status, RunCommand.RETRY)
            position = Position.from_data(position_of(tx, ref.key))
            if not position.frontier:
                raise ConflictError(f"run {ref.id} has no node left to go on from")
            # Whoever lets it go on gives it its limits anew; else it would meet them again at once.
            position = replace(position, mark=attempts.last(tx, ref.key), floor=sum(position.counts.values()))
            runs.requeue(tx, ref.key, jsonio.dumps_text(position.to_data()), stored.definition_id)
            remove_dead_letter(tx, ref.key)
            tx.event(
                EventKind.RUN_RESUMED,
                actor=actor,
                run_key=ref.key,
                run_id=ref.id,
                workflow=ref.workflow,
                data={"from": position.frontier[0], **({"note": note} if note else {})},
            )
            return stored.priority

        await committed(
            self.store.write(transition), lambda priority: self.places.enqueue(ref.key, priority, True)
        )

    async def redrive(
        self,
        ref: RunRef,
        actor: Actor,
        *,
        from_node: str | None = None,
        state: Mapping[str, Any] | None = None,
        rewind: bool = False,
        resolve: Callable[[Tx], int] | None = None,
        revision: int | None = None,
        note: str = "",
        load: Load | None = None,
    ) -> None:
        """Let a run go on from a node, with another state or definition; see `runtime.redrive`.

        `resolve` gives the id of the definition to go on with; None keeps the run's own. `load` loads the
        functions of the migrations that lead to it.
        """
        if rewind and state is not None:
            raise UsageError("give a state, or take the one from before the node (rewind), not both")

        def transition(tx: Tx) -> int:
            old_id = runs.lock(tx, ref.key).definition_id
            new_id = old_id if resolve is None else resolve(tx)
            _, old_version = self.definition(tx.connection, old_id)
            definition, version = self.definition(tx.connection, new_id)
            wanted = Redrive(
                new_id, definition, version, old_version, from_node, state, rewind, revision, note, load
            )
            return redrive(tx, ref, actor, wanted)

        await committed(
            self.store.write(transition), lambda priority: self.places.enqueue(ref.key, priority, True)
        )

    async def discard(self, ref: RunRef, actor: Actor, note: str) -> None:
        """Take a dead letter off the list; the run stays failed."""

        def transition(tx: Tx) -> None:
            if not remove_dead_letter(tx, ref.key):
                raise ConflictError(f"run {ref.id} {why_no_dead_letter(tx, ref.key)}")
            runs.revise(tx, ref.key)
            tx.event(
                EventKind.RUN_DISCARDED,
                actor=actor,
                run_key=ref.key,
                run_id=ref.id,
                workflow=ref.workflow,
                data={"note": note} if note else None,
            )

        await self.store.write(transition)

    async def override(
        self, ref: RunRef, actor: Actor, wanted: NodeOverride, *, retry_now: bool = False, note: str = ""
    ) -> None:
        """Set a node's time limit or attempts for this run, from its next attempt on, also while it waits
        for it; `retry_now` ends that wait."""

        def transition(tx: Tx) -> NodeOverride:
            definition_id = runs.lock(tx, ref.key).definition_id
            check_override(self.definition(tx.connection, definition_id)[0], wanted, retry_now)
            return override_node(tx, ref, actor, wanted, retry_now, note)

        def tell(new: NodeOverride) -> None:
            live = self.places.live.get(ref.key)
            if live is None:
                return
            live.overrides[new.node_id] = new
            if retry_now and live.effects is not None:
                live.effects.retry_now(new.node_id)
            elif retry_now:
                live.hurried.add(new.node_id)

        await committed(self.store.write(transition), tell)
