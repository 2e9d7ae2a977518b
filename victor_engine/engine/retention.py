"""The deletion of history while the engine runs: in short steps, by the confirmed rules."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from victor_engine.clock import Clock, to_us
from victor_engine.domain.retention import DAY_US, LEAST_AGE_US, Retention
from victor_engine.engine.queries.reader import StoreReader
from victor_engine.engine.retention_plan import expired_runs
from victor_engine.errors import StorageError
from victor_engine.graph_walk.stopwatch import first_of
from victor_engine.store.db import Store, Tx
from victor_engine.store.queries import retention as stored
from victor_engine.store.repositories import retention as repository
from victor_engine.store.repositories.retention import Pruned

T = TypeVar("T")

log = logging.getLogger(__name__)

INTERVAL = 3600.0
"""Seconds between two rounds."""

STEP_SECONDS = 0.02
"""The aim for the work of one step. Other transitions wait for the step that runs, and for no more."""

PAUSE = 1.0
"""The pause after a step, in multiples of its duration."""

LARGEST_STEP = 200
DETAILS = 500
"""Lines of a log and events that one step deletes of one run."""


class HistoryPruner:
    """Deletes the history that the confirmed rules do not keep, from time to time."""

    def __init__(self, store: Store, clock: Clock, rules: Callable[[], Retention]) -> None:
        self._store = store
        self._reader = StoreReader(store)
        self._clock = clock
        self._rules = rules
        self._changed = asyncio.Event()
        self._spent = 0.0
        """The seconds of the last step in the writer."""
        self._size = 10
        """The number of runs in one step, which follows its duration."""

    def changed(self) -> None:
        """Begin a round, after the rules were confirmed or changed."""
        self._changed.set()

    async def watch(self) -> None:
        """Delete history once an hour."""
        while True:
            self._changed.clear()
            try:
                await self.round()
            except StorageError:
                await self._store.writable()
            except Exception:
                # Whatever it is, the other work of the engine continues.
                log.exception("history could not be deleted, the next try follows in an hour")
            await first_of(self._clock.sleep(INTERVAL), self._changed.wait())

    async def round(self) -> Pruned:
        """Delete what the rules do not keep now, and return the numbers. Nothing goes without a confirmation."""
        rules = self._rules()
        confirmed = await self._reader.read(repository.confirmed)
        if not rules.deletes or confirmed is None or confirmed.digest != rules.digest:
            return Pruned()
        now = self._clock.now()
        runs = await self._runs(rules, now)
        rows = runs.rows + await self._fires(rules, now) + await self._backfills(rules, now)
        rows += await self._events(rules, now) + await self._deployments(rules, now)
        if runs.runs or rows:
            await self._step(repository.record_pruned, runs.runs, rows)
        await self._audit(rules, now)
        return Pruned(runs.runs, rows)

    async def _runs(self, rules: Retention, now: datetime) -> Pruned:
        runs = rows = 0
        async for expired in expired_runs(self._reader, rules, now):
            keys = await self._reader.read(stored.prunable, [run.key for run in expired])
            for key in await self._reader.read(stored.with_many_rows, keys, DETAILS):
                while deleted := await self._step(repository.prune_details, key, DETAILS):
                    rows += deleted
            while keys:
                some, keys = keys[: self._size], keys[self._size :]
                done = await self._step(repository.prune_runs, some)
                self._size = next_size(self._size, self._spent)
                runs, rows = runs + done.runs, rows + done.rows
        return Pruned(runs, rows)

    async def _fires(self, rules: Retention, now: datetime) -> int:
        """Delete the fires without a run that are older than the runs of their workflow may be."""
        rows, after = 0, 0
        while fires := await self._reader.read(
            stored.old_fires, after, to_us(now) - LEAST_AGE_US, LARGEST_STEP
        ):
            after = fires[-1].id
            old = [fire for fire in fires if _is_old(rules.longest_days(fire.workflow), fire.decided_at, now)]
            if old:
                rows += await self._step(
                    repository.prune_fires, [fire.id for fire in old], [fire.schedule_id for fire in old]
                )
        return rows

    async def _backfills(self, rules: Retention, now: datetime) -> int:
        """Delete the backfills without a run that ended longer ago than the runs of their workflow may have."""
        rows, after = 0, 0
        while ended := await self._reader.read(
            stored.old_backfills, after, to_us(now) - LEAST_AGE_US, LARGEST_STEP
        ):
            after = ended[-1].id
            for backfill in ended:
                if _is_old(rules.longest_days(backfill.workflow), backfill.finished_at, now):
                    rows += await self._all(repository.prune_backfill, backfill)
        return rows

    async def _deployments(self, rules: Retention, now: datetime) -> int:
        """Delete the deployments that are older than any run may be, except those that an undo needs."""
        days = rules.longest_days()
        if days is None:
            return 0
        return await self._all(repository.prune_deployments, to_us(now) - days * DAY_US)

    async def _all(self, change: Callable[[Tx, Any, int], int], which: Any) -> int:
        """Repeat a step that deletes a limited number of rows until it deletes none, and return their number."""
        rows = 0
        while deleted := await self._step(change, which, LARGEST_STEP):
            rows += deleted
        return rows

    async def _events(self, rules: Retention, now: datetime) -> int:
        """Delete the events without a run that are older than any run may be. Recorded decisions stay."""
        days = rules.longest_days()
        if days is None:
            return 0
        rows = 0
        after: tuple[int, int] | None = (0, 0)
        while after is not None:
            after, old = await self._reader.read(
                stored.old_events, after, to_us(now) - days * DAY_US, LARGEST_STEP
            )
            if old:
                rows += await self._step(repository.prune_events, old)
        return rows

    async def _audit(self, rules: Retention, now: datetime) -> None:
        """Delete old records of the audit chain, once a day."""
        if rules.audit_days is None:
            return
        before = to_us(now) - rules.audit_days * DAY_US
        first = await self._reader.read(stored.first_record)
        while first is not None and first < before - DAY_US:
            await self._step(repository.prune_records, before, LARGEST_STEP)
            last, first = first, await self._reader.read(stored.first_record)
            if first == last:
                return

    async def _step(self, change: Callable[..., T], *arguments: Any) -> T:
        """Commit one step, and leave the store to others for some time."""

        def measured(tx: Tx) -> T:
            # Without the commit, which the step shares with other transitions and which takes its time in any case.
            began = self._clock.monotonic()
            result = change(tx, *arguments)
            self._spent = self._clock.monotonic() - began
            return result

        result = await self._store.write(measured)
        if self._spent > 0:
            await self._clock.sleep(min(self._spent, 1.0) * PAUSE)
        return result


def _is_old(days: int | None, instant: int, now: datetime) -> bool:
    return days is not None and instant < to_us(now) - days * DAY_US


def next_size(size: int, seconds: float) -> int:
    """Return the number of runs of the next step, after a step that kept the writer busy for some seconds."""
    if seconds > STEP_SECONDS:
        return max(1, size // 2)
    return min(LARGEST_STEP, size + max(1, size // 4))


__all__ = ["HistoryPruner", "next_size"]
