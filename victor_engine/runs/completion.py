"""Completion of runs: the transitions to an end or a pause, and the notifications after the commit."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from victor_engine.api import FINAL_RUN_STATUSES, Actor
from victor_engine.errors import VictorError
from victor_engine.events import EventKind
from victor_engine.people.requests import withdraw_requests
from victor_engine.runs import transitions
from victor_engine.runs.child_runs import ChildRuns
from victor_engine.runs.transitions import RunEnd, RunRef
from victor_engine.store.db import Store, Tx, actor_from_json
from victor_engine.store.queries.events import last_of_run
from victor_engine.store.repositories import runs
from victor_engine.work.attempt_log import LogWriter

OnCompletion = Callable[[Tx, RunRef, str], Any]
"""Called with the final status in the transition that ends a run. It may be plain, see `Tx.apart`."""

BeforeCompletion = Callable[[Tx, RunRef], None]
"""Called in the transition that ends a run, before its rows change. It locks the schedules that `OnCompletion`
changes, because schedules are locked before runs."""

OnFinished = Callable[[str | None, Any], None]
"""Called after the commit with the schedule of the run and the result of `OnCompletion`."""


_ENDED = {"cancelled": "was cancelled"}


class Completion:
    """Ends runs. `commit` commits each end of a run."""

    def __init__(
        self,
        store: Store,
        log_writer: LogWriter,
        children: ChildRuns,
        run_completed: Callable[[int], None],
        before_completion: BeforeCompletion,
        on_completion: OnCompletion,
        on_finished: OnFinished,
    ) -> None:
        self._store = store
        self._log_writer = log_writer
        self._children = children
        self._run_completed = run_completed
        self._before_completion = before_completion
        self._on_completion = on_completion
        self._on_finished = on_finished

    def commit(
        self, run: RunRef, end: RunEnd, *, opened: bool, last: Callable[[Tx], None] | None = None
    ) -> asyncio.Future[Any]:
        """Commit the end of a run. Its observers are notified after the commit, even if the caller no longer waits.

        Args:
            run: The run.
            end: Its final status, error and counts.
            opened: The run may have open attempts or requests. If it has none, and no other run
                follows it, the transition is plain.
            last: Writes the last step of the run in the same transition.
        """

        def transition(tx: Tx) -> tuple[bool, Any]:
            self._before_completion(tx, run)
            if opened and runs.lock(tx, run.key).status in FINAL_RUN_STATUSES:
                return False, None  # a concurrent cancellation has already ended it
            if last is not None:
                last(tx)
            if opened:
                transitions.end_live_attempts(tx, run, "cancelled")
                reason = f"the run {_ENDED.get(end.status, 'has ' + end.status)}"
                withdraw_requests(tx, run.key, reason, actor=_canceller(tx, run, end))
            transitions.finish(tx, run, end)
            return True, self._on_completion(tx, run, end.status)

        commit = self._store.persist(transition, plain=not opened)
        commit.add_done_callback(lambda done: self._committed(run, done))
        return commit

    def _committed(self, run: RunRef, done: asyncio.Future[tuple[bool, Any]]) -> None:
        if done.cancelled() or done.exception() is not None:
            return
        first, ending = done.result()
        self._run_completed(run.key)
        self._children.notify_ended(run.key)
        if first:
            self._on_finished(run.schedule_id, ending)

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


__all__ = ["BeforeCompletion", "Completion", "OnCompletion", "OnFinished"]


def _canceller(tx: Tx, run: RunRef, end: RunEnd) -> Actor | None:
    """Return the user who cancelled a run; None if it ended in another way."""
    found = last_of_run(tx, run.key, EventKind.RUN_CANCELLING) if end.status == "cancelled" else None
    return actor_from_json(found[0]) if found is not None and found[0] is not None else None
