"""Recovery: the runs that an earlier engine, or a failure of the store, left unfinished are queued again."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable

from victor_engine.clock import Clock
from victor_engine.errors import FencedError, StoreError
from victor_engine.runs import transitions
from victor_engine.runs.control import Control
from victor_engine.runs.quarantine import Quarantine
from victor_engine.store.db import Store, Tx
from victor_engine.store.repositories import attempt_rows, run_rows, runs
from victor_engine.store.repositories.run_rows import Unfinished
from victor_engine.store.stored_ending import ending_from
from victor_engine.work.process import end_process_group

log = logging.getLogger(__name__)

RECLAIM_SECONDS = 30.0
"""Seconds before a run is claimed again after the store has failed."""


class Recovery:
    """Recovers unfinished runs. `enqueue(key, priority, again)` queues a run for a slot."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        control: Control,
        quarantine: Quarantine,
        enqueue: Callable[[int, int, bool], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._control = control
        self._quarantine = quarantine
        self._enqueue = enqueue
        self._stopping = False
        self.tasks: set[asyncio.Task[None]] = set()
        """The tasks of runs that are claimed again later."""

    async def recover(self, run_key: int | None = None) -> None:
        """End the processes of an earlier engine, mark its attempts as interrupted, and queue its runs.

        A run that was active is `queued` until it gets a slot, because there may be fewer slots than before.
        Runs that wait for another run of their schedule are left to the scheduler.

        Args:
            run_key: Recover this run only. None recovers all runs.
        """

        def read(connection: sqlite3.Connection) -> tuple[list[tuple[int, int, int, int]], list[Unfinished]]:
            return attempt_rows.orphans(connection, run_key), run_rows.unfinished(connection, run_key)

        orphans, unfinished = await self._store.read(read)
        for attempt, pid, pgid, start_ticks in orphans:
            ended = await end_process_group(pid, pgid, start_ticks)
            if ended:
                log.warning("attempt %s: process group %s was still running and was ended", attempt, pgid)

        def mark(tx: Tx) -> None:
            for each in begun:
                if transitions.rest(tx, each.ref) == "running":
                    runs.set_queued(tx, each.ref.key)

        begun = [each for each in unfinished if each.status != "queued"]
        if begun:
            await self._store.persist(mark)
        for each in unfinished:
            await self._take_up(each)

    async def _take_up(self, run: Unfinished) -> None:
        """End, quarantine or queue a run. An error of this run is reported, and does not stop the others."""
        try:
            if run.status == "cancelling" and not ending_from(run.ending).continues:
                await self._control.end_cancelled(run.ref, 0.0)
            elif run.status == "pausing":
                return
            elif (suspect := self._quarantine.due(run.ref.key)) is not None:
                await self._quarantine.hold(run.ref, suspect)
            else:
                self._enqueue(run.ref.key, run.priority, run.begun)
        except (StoreError, FencedError):
            raise
        except Exception:
            log.exception(
                "run %s cannot be recovered because of an internal error of the engine; the next start of the engine"
                " tries it again",
                run.ref.id,
            )

    def reclaim_later(self, key: int, error: StoreError) -> None:
        """Recover a run after a pause, because the store has failed with `error`."""
        log.error("run %s will be claimed again in %g s: %s", key, RECLAIM_SECONDS, error)
        task = asyncio.create_task(self._reclaim(key), name=f"victor-reclaim-{key}")
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _reclaim(self, key: int) -> None:
        while not self._stopping:
            await self._clock.sleep(RECLAIM_SECONDS)
            try:
                await self.recover(key)
                return
            except StoreError as error:
                log.error(
                    "run %s cannot be claimed again yet, the next try is in %g s: %s",
                    key,
                    RECLAIM_SECONDS,
                    error,
                )

    def stop(self) -> None:
        """Claim no more runs. The caller awaits `tasks`, which are cancelled."""
        self._stopping = True
        for task in self.tasks:
            task.cancel()
