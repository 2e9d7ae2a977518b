"""How runs come to their end or to rest: the transitions, and who is told once they are committed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from victor_engine.api import FINAL_RUN_STATUSES
from victor_engine.errors import VictorError
from victor_engine.people.requests import withdraw_requests
from victor_engine.runs import transitions
from victor_engine.runs.child_runs import ChildRuns
from victor_engine.runs.transitions import RunEnd, RunRef
from victor_engine.store.db import Store, Tx
from victor_engine.store.repositories import runs
from victor_engine.work.attempt_log import Logbook

OnCompletion = Callable[[Tx, RunRef, str], Any]
"""Called in the transition in which a run ends, with its final status. It may be plain, see `Tx.apart`."""

BeforeCompletion = Callable[[Tx, RunRef], None]
"""Called in the transition in which a run ends, before anything of the run is changed: it locks the schedules about
which `OnCompletion` decides, since schedules are locked before runs."""

OnFinished = Callable[[str | None, Any], None]
"""Told the run's schedule and what `OnCompletion` gave, once that is committed."""


_SAID = {"cancelled": "was cancelled"}


class Completion:
    """Ends runs. Every end of a run is committed by `commit`."""

    def __init__(
        self,
        store: Store,
        logbook: Logbook,
        children: ChildRuns,
        run_completed: Callable[[int], None],
        before_completion: BeforeCompletion,
        on_completion: OnCompletion,
        on_finished: OnFinished,
    ) -> None:
        self._store = store
        self._logbook = logbook
        self._children = children
        self._run_completed = run_completed
        self._before_completion = before_completion
        self._on_completion = on_completion
        self._on_finished = on_finished

    def commit(
        self, run: RunRef, end: RunEnd, *, opened: bool, last: Callable[[Tx], None] | None = None
    ) -> asyncio.Future[Any]:
        """Commit the end of a run, and tell others of it as soon as it is on disk, whether or not the caller waits.

        Args:
            run: The run.
            end: How it ended.
            opened: There may be attempts or questions that are not over. If there are none, and if nothing
                comes after the run, the transition is plain.
            last: Writes the last step of the run in the same transition.
        """

        def transition(tx: Tx) -> tuple[bool, Any]:
            self._before_completion(tx, run)
            if opened and runs.lock(tx, run.key).status in FINAL_RUN_STATUSES:
                return False, None  # two have cancelled it at once, and this is the second
            if last is not None:
                last(tx)
            if opened:
                transitions.end_live_attempts(tx, run, "cancelled")
                withdraw_requests(tx, run.key, f"the run {_SAID.get(end.status, 'has ' + end.status)}")
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
        """End a run; return when that is committed."""
        await self._logbook.settle()
        await asyncio.shield(self.commit(run, end, opened=opened))

    async def cancelled(self, run: RunRef, seconds: float) -> None:
        """End a cancelled run that was at work for so long, unless it has ended before."""
        await self.finish(run, RunEnd("cancelled", int(seconds * 1_000_000)), opened=True)

    async def interrupt(self, run: RunRef) -> None:
        """Commit that what a run was doing was broken off by the end of its engine."""
        with contextlib.suppress(VictorError):
            await self._store.persist(lambda tx: transitions.rest(tx, run))

    async def rest(self, run: RunRef) -> str:
        """Commit that a run has come to rest; return its status, see `journal.rest`."""
        return await self._store.persist(lambda tx: transitions.rest(tx, run))


__all__ = ["BeforeCompletion", "Completion", "OnCompletion", "OnFinished"]
