"""How runs come to their end or to rest: the transitions, and who is told once they are committed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from victor_engine.api import FINAL_RUN_STATUSES
from victor_engine.errors import VictorError
from victor_engine.hitl.requests import withdraw_requests
from victor_engine.runtime import journal
from victor_engine.runtime.children import Children
from victor_engine.runtime.journal import RunEnd, RunRef
from victor_engine.runtime.logbook import Logbook
from victor_engine.store.db import Store, Tx
from victor_engine.store.repositories import runs

OnEnding = Callable[[Tx, RunRef, str], Any]
"""Called in the transition in which a run ends, with its final status. It may be plain, see `Tx.apart`."""

BeforeEnding = Callable[[Tx, RunRef], None]
"""Called in the transition in which a run ends, before anything of the run is changed: it locks the schedules about
which `OnEnding` decides, since schedules are locked before runs."""

OnFinished = Callable[[str | None, Any], None]
"""Told the run's schedule and what `OnEnding` gave, once that is committed."""


class Endings:
    """Ends runs."""

    def __init__(
        self,
        store: Store,
        logbook: Logbook,
        children: Children,
        before_ending: BeforeEnding,
        on_ending: OnEnding,
        on_finished: OnFinished,
    ) -> None:
        self._store = store
        self._logbook = logbook
        self._children = children
        self._before_ending = before_ending
        self._on_ending = on_ending
        self._on_finished = on_finished

    def end(
        self,
        tx: Tx,
        run: RunRef,
        end: RunEnd,
        *,
        opened: bool,
        last: Callable[[Tx], None] | None = None,
    ) -> Any:
        """Within a transition: a run ends by itself. Returns what `told` is to be given.

        `opened`: there may be attempts or questions that are not over. Else, and if nothing comes after
        the run, this is plain. `last` writes the run's last step.
        """
        self._before_ending(tx, run)
        if last is not None:
            last(tx)
        if opened:
            tx.apart()
            journal.end_live_attempts(tx, run, "cancelled")
            withdraw_requests(tx, run.key, f"the run has {end.status}")
        journal.finish(tx, run, end)
        return self._on_ending(tx, run, end.status)

    def told(self, run: RunRef, ending: Any) -> None:
        """The end of a run is committed."""
        self._children.ended(run.key)
        self._on_finished(run.schedule_id, ending)

    async def finish(self, run: RunRef, end: RunEnd, *, opened: bool) -> None:
        """Commit the end of a run."""
        with contextlib.suppress(VictorError):
            await self._logbook.flush()
        ending = await self._store.persist(lambda tx: self.end(tx, run, end, opened=opened), plain=True)
        self.told(run, ending)

    async def cancelled(self, run: RunRef, seconds: float) -> None:
        """Commit the end of a cancelled run that was at work for so long, unless it has ended before."""

        def transition(tx: Tx) -> tuple[bool, Any]:
            self._before_ending(tx, run)
            if runs.lock(tx, run.key).status in FINAL_RUN_STATUSES:
                return False, None  # two have cancelled it at once, and this is the second
            journal.end_live_attempts(tx, run, "cancelled")
            withdraw_requests(tx, run.key, "the run was cancelled")
            journal.finish(tx, run, RunEnd("cancelled", int(seconds * 1_000_000)))
            return True, self._on_ending(tx, run, "cancelled")

        first, ending = await self._store.persist(transition)
        if first:
            self.told(run, ending)
        else:
            self._children.ended(run.key)

    async def interrupt(self, run: RunRef) -> None:
        """Commit that what a run was doing was broken off by the end of its engine."""
        with contextlib.suppress(VictorError):
            await self._store.persist(lambda tx: journal.rest(tx, run))

    async def rest(self, run: RunRef) -> str:
        """Commit that a run has come to rest; return its status, see `journal.rest`."""
        return await self._store.persist(lambda tx: journal.rest(tx, run))


__all__ = ["BeforeEnding", "Endings", "OnEnding", "OnFinished"]
