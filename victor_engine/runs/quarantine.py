"""The quarantine: a run during whose evaluation engine after engine dies is paused until an operator continues it.

The run that is noted when an engine dies is counted by the next engine. Progress of the run clears the count.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from victor_engine.api import ENGINE_ACTOR, FINAL_RUN_STATUSES
from victor_engine.domain.statuses import RunStatus
from victor_engine.events import EventKind
from victor_engine.runs import transitions
from victor_engine.runs.evaluation_note import Memory
from victor_engine.runs.transitions import RunRef
from victor_engine.store.db import Store, Tx
from victor_engine.store.repositories import run_rows, runs, suspects
from victor_engine.store.repositories.suspects import Suspect

log = logging.getLogger(__name__)

DEATHS = 3
"""Deaths of engines in a row, without progress of the run, after which a run is quarantined."""

FILE = "evaluating"
"""The name of the file of the note, in the state directory."""


class Quarantine:
    """Counts the deaths of engines by run. `directory` is the state directory; without it, nothing outlives the process."""

    def __init__(self, store: Store, directory: Path | None = None) -> None:
        self._store = store
        self._path = None if directory is None else directory / FILE
        self.memory = Memory()
        self.counted: dict[int, Suspect] = {}
        """The runs that have a count, by key."""

    async def open(self) -> None:
        """Count the run that was noted when the last engine died."""
        if self._path is None:
            return
        memory = Memory(self._path)
        found = memory.read()
        if found:
            await self._store.persist(lambda tx: _died(tx, found))
            memory.clear()
        self.counted = {each.run_key: each for each in await self._store.read(suspects.listed)}
        self.memory = memory

    def due(self, run_key: int) -> Suspect | None:
        """Return the count of a run that must not continue by itself; None if it may."""
        found = self.counted.get(run_key)
        return found if found is not None and found.deaths >= DEATHS else None

    async def hold(self, run: RunRef, suspect: Suspect) -> None:
        """Quarantine a run that no process executes."""
        await self._store.persist(lambda tx: hold(tx, run, suspect))
        del self.counted[run.key]

    def progressed(self, run_key: int) -> None:
        """Clear the count of a run."""
        if self.counted.pop(run_key, None) is not None:
            self._later(lambda tx: suspects.clear(tx, run_key))

    def blocked(self, noted: list[tuple[int, str]]) -> None:
        """Count the runs that were noted while the event loop was blocked. The loop has continued."""
        if noted:
            self.counted |= {key: Suspect(key, node, 1, False) for key, node in noted}
            self._later(lambda tx: _died(tx, noted))

    def _later(self, transition: Callable[[Tx], None]) -> None:
        task = asyncio.ensure_future(self._store.persist(transition))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())

    def close(self) -> None:
        self.memory.close()
        self.memory = Memory()


def _died(tx: Tx, noted: list[tuple[int, str]]) -> None:
    """Count the death of an engine for each noted run that an engine would continue."""
    for run_key, node_id in dict(noted).items():
        if not run_rows.exists(tx.connection, run_key):
            continue
        run = runs.lock(tx, run_key)
        if run.status in FINAL_RUN_STATUSES or run.status == RunStatus.PAUSED:
            continue
        deaths = suspects.count(tx, run_key, node_id)
        log.error(
            "run %s: an engine died or was blocked while it evaluated %s; %d in a row",
            run.id,
            node_id or "it",
            deaths,
        )


def hold(tx: Tx, run: RunRef, suspect: Suspect) -> None:
    """Pause a run that no process executes, because of the deaths of engines."""
    suspects.set_quarantined(tx, run.key)
    transitions.end_live_attempts(tx, run, "interrupted")
    runs.set_status(tx, run.key, RunStatus.PAUSED)
    tx.event(
        EventKind.RUN_PAUSED,
        actor=ENGINE_ACTOR,
        run_key=run.key,
        run_id=run.id,
        workflow=run.workflow,
        node_id=suspect.node_id or None,
        data={"note": suspect.reason, "quarantine": True},
    )
    log.error("run %s is %s", run.id, suspect.reason)
