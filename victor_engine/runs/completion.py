"""Completion of runs: the transitions to an end or a pause, and the notifications after the commit."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, unique
from typing import Any

import msgspec

from victor_engine.api import FINAL_RUN_STATUSES, Actor
from victor_engine.definition.model import WorkflowDefinition
from victor_engine.domain.statuses import RunStatus
from victor_engine.errors import VictorError
from victor_engine.events import EventKind
from victor_engine.people.requests import withdraw_requests
from victor_engine.runs import endings, transitions
from victor_engine.runs.child_runs import ChildRuns
from victor_engine.runs.claims import LoadDefinition
from victor_engine.runs.concurrency import cancelled_for
from victor_engine.runs.transitions import RunEnd, RunRef
from victor_engine.store.db import Store, Tx, actor_from_json
from victor_engine.store.queries.events import last_of_run
from victor_engine.store.repositories import run_rows, runs
from victor_engine.store.repositories.concurrency import Waiting, next_waiting, others
from victor_engine.store.stored_ending import ending_from
from victor_engine.work.attempt_log import LogWriter

OnCompletion = Callable[[Tx, RunRef, str], Any]
"""Called with the final status in the transition that ends a run. It may be plain, see `Tx.apart`."""

BeforeCompletion = Callable[[Tx, RunRef], None]
"""Called in the transition that ends a run, before its rows change. It locks the schedules that `OnCompletion`
changes, because schedules are locked before runs."""

OnFinished = Callable[[str | None, Any], None]
"""Called after the commit with the schedule of the run and the result of `OnCompletion`."""


_ENDED_WORDS = {
    RunStatus.SUCCEEDED: "has succeeded",
    RunStatus.FAILED: "has failed",
    RunStatus.CANCELLED: "was cancelled",
    RunStatus.REJECTED: "was rejected",
}


def withdrawal_reason(status: str) -> str:
    """Return the reason for which the requests of a run with a final status are withdrawn."""
    return f"the run {_ENDED_WORDS[RunStatus(status)]}"


@unique
class _Effect(Enum):
    """The effect of the transition that ends a run, its body or a handler of its end."""

    NONE = "none"  # it has ended before
    CONTINUES = "continues"  # a handler of its end follows
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class _Outcome:
    """The outcome of the transition that ends a run, its body or a handler of its end."""

    effect: _Effect
    priority: int = 0
    """The priority of a run that continues."""
    result: Any = None
    """The result of `OnCompletion` for a run that has ended."""
    waiting: Sequence[Waiting] = ()
    """The runs that waited with the concurrency key of a run that has ended."""


class Completion:
    """Ends runs. `commit` commits each end of a run.

    `claim` queues a run by its key and priority, and says whether it has begun: one whose handlers of its end are to be
    executed, or one that waited for the end of a run with its concurrency key.
    """

    def __init__(
        self,
        store: Store,
        log_writer: LogWriter,
        children: ChildRuns,
        run_completed: Callable[[int], None],
        claim: Callable[[int, int, bool], None],
        definition: LoadDefinition,
        before_completion: BeforeCompletion,
        on_completion: OnCompletion,
        on_finished: OnFinished,
    ) -> None:
        self._store = store
        self._log_writer = log_writer
        self._children = children
        self._run_completed = run_completed
        self._claim = claim
        self._definition = definition
        self._before_completion = before_completion
        self._on_completion = on_completion
        self._on_finished = on_finished

    def commit(
        self, run: RunRef, end: RunEnd, *, opened: bool, last: Callable[[Tx], None] | None = None
    ) -> asyncio.Future[Any]:
        """Commit the end of a run, or of a part of it after which a handler of its end follows.

        The observers are notified after the commit, even if the caller no longer waits.

        Args:
            run: The run.
            end: Its final status, error and counts.
            opened: The run may have open attempts or requests. If it has none, and no other run
                follows it, the transition is plain.
            last: Writes the last step of the run in the same transition.
        """

        def transition(tx: Tx) -> _Outcome:
            self._before_completion(tx, run)
            definition = self._definition_of(tx, run)
            if definition is not None:
                tx.apart()
            if opened or definition is not None:
                decided = _already_decided(tx, run, end)
                if decided is not None:
                    return decided
            if last is not None:
                last(tx)
            if opened:
                _end_open_work(tx, run, end)
            return self._end(tx, run, definition, _with_reason(tx, run, end))

        commit = self._store.persist(transition, plain=not opened)
        commit.add_done_callback(lambda done: self._committed(run, done))
        return commit

    def _end(self, tx: Tx, run: RunRef, definition: WorkflowDefinition | None, end: RunEnd) -> _Outcome:
        """Commit the end of a run, or the begin of the handler that follows."""
        if definition is None:
            final = end
        else:
            tx.flush()
            proceeded = endings.proceed(tx, run, definition, end)
            if proceeded is None:
                return _Outcome(_Effect.CONTINUES, priority=run_rows.status_and_priority(tx, run.key)[1])
            final = proceeded
        transitions.finish(tx, run, final)
        waiting = _next_waiting(tx, run, definition)
        return _Outcome(_Effect.ENDED, result=self._on_completion(tx, run, final.status), waiting=waiting)

    def _committed(self, run: RunRef, done: asyncio.Future[_Outcome]) -> None:
        if done.cancelled() or done.exception() is not None:
            return
        outcome = done.result()
        if outcome.effect is _Effect.CONTINUES:
            self._claim(run.key, outcome.priority, True)
            return
        self._run_completed(run.key)
        self._children.notify_ended(run.key)
        if outcome.effect is _Effect.ENDED:
            self._on_finished(run.schedule_id, outcome.result)
        self._claim_all(outcome.waiting)

    def _claim_all(self, waiting: Sequence[Waiting]) -> None:
        for each in waiting:
            self._claim(each.run_key, each.priority, each.begun)

    async def claim_waiting(self, run: RunRef) -> None:
        """Claim the next run that waits with the concurrency key of a run that no longer waits."""
        self._claim_all(await self._store.read(lambda connection: next_waiting(connection, run.key, 1)))

    def _definition_of(self, tx: Tx, run: RunRef) -> WorkflowDefinition | None:
        """Return the definition of a run if it has handlers of its end or a concurrency key, and can be read."""
        try:
            definition, _ = self._definition(tx.connection, run.definition_id)
        except VictorError:
            return None
        return definition if definition.handlers or definition.concurrency is not None else None

    async def finish(self, run: RunRef, end: RunEnd, *, opened: bool) -> None:
        """End a run. Return after the commit."""
        await self._log_writer.settle()
        await asyncio.shield(self.commit(run, end, opened=opened))

    async def cancelled(self, run: RunRef, seconds: float) -> None:
        """End a cancelled run that was active for `seconds`, unless it has ended before."""
        await self.finish(run, RunEnd("cancelled", int(seconds * 1_000_000)), opened=True)

    async def interrupt(self, run: RunRef) -> None:
        """Commit that the attempts of a run are interrupted because the engine stops."""
        with contextlib.suppress(VictorError):
            await self._store.persist(lambda tx: transitions.rest(tx, run))

    async def rest(self, run: RunRef) -> str:
        """Commit the pause of a run. Return its status, see `transitions.rest`."""
        return await self._store.persist(lambda tx: transitions.rest(tx, run))


__all__ = ["BeforeCompletion", "Completion", "OnCompletion", "OnFinished", "withdrawal_reason"]


def _already_decided(tx: Tx, run: RunRef, end: RunEnd) -> _Outcome | None:
    """Return the outcome for a run that has ended before, or whose handlers continue after its cancellation."""
    stored = runs.lock(tx, run.key)
    if stored.status in FINAL_RUN_STATUSES:
        return _Outcome(_Effect.NONE)  # a concurrent cancellation has already ended it
    if end.status == RunStatus.CANCELLED and ending_from(stored.ending).continues:
        # The cancellation that ended the body of the run does not end its handlers.
        transitions.end_live_attempts(tx, run, "interrupted")
        return _Outcome(_Effect.CONTINUES, priority=stored.priority)
    return None


def _end_open_work(tx: Tx, run: RunRef, end: RunEnd) -> None:
    """Cancel the open attempts of a run, and withdraw its open requests."""
    transitions.end_live_attempts(tx, run, "cancelled")
    withdraw_requests(tx, run.key, withdrawal_reason(end.status), actor=_canceller(tx, run, end))


def _with_reason(tx: Tx, run: RunRef, end: RunEnd) -> RunEnd:
    """Return an end with the reason of a cancellation that another run with the same concurrency key caused."""
    if end.status != RunStatus.CANCELLED or end.error is not None:
        return end
    return msgspec.structs.replace(end, error=cancelled_for(tx, run))


def _next_waiting(tx: Tx, run: RunRef, definition: WorkflowDefinition | None) -> list[Waiting]:
    """Return the runs that can start now that a run with their concurrency key has ended."""
    limit = None if definition is None else definition.concurrency
    return [] if limit is None else next_waiting(tx, run.key, limit.max - others(tx, run.key))


def _canceller(tx: Tx, run: RunRef, end: RunEnd) -> Actor | None:
    """Return the user who cancelled a run; None if it ended in another way."""
    found = last_of_run(tx, run.key, EventKind.RUN_CANCELLING) if end.status == "cancelled" else None
    return actor_from_json(found[0]) if found is not None and found[0] is not None else None
