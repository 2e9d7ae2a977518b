"""The scheduling loop: it sleeps until a schedule is due, and records an outcome for every fire."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from datetime import datetime

from victor_engine.clock import Clock, from_us, to_us
from victor_engine.domain.statuses import FireOutcome
from victor_engine.errors import FencedError, StorageError, VictorError
from victor_engine.events import EventKind
from victor_engine.exclusion import Excluded, nothing_excluded
from victor_engine.scheduling import (
    backfill,
    clock_changes,
    dependency_fires,
    downtime,
    expectation_checks,
    policy,
    schedule_commands,
)
from victor_engine.scheduling import stored_schedules as ops
from victor_engine.scheduling.due_times import DueTimes
from victor_engine.scheduling.fires import FireBatch, Firing
from victor_engine.scheduling.loop_clock import LoopClock
from victor_engine.scheduling.read_ahead import READ_AHEAD, ReadAhead
from victor_engine.scheduling.stored_schedules import Resolve, ScheduleRow
from victor_engine.scheduling.timing import Nominal
from victor_engine.store.db import Store, Tx
from victor_engine.store.queries import schedule_runs
from victor_engine.store.repositories import backfills, expectations, fires, schedules
from victor_engine.store.savepoints import savepoint

log = logging.getLogger(__name__)

BATCH = 512
"""Schedules that are decided in one transaction."""

LONGEST_WAIT = 60.0
"""The maximum number of seconds between two tries after unexpected errors."""

NextDue = list[tuple[str, int | None]]
"""Schedules with the instant in microseconds at which each is due next."""


class SchedulerLoop:
    """The loop that decides due fires.

    Args:
        store: The store.
        clock: The clock.
        resolve: Returns the definition on which a run of a workflow starts.
        on_runs: Called in the event loop with the key and priority of each run that was created.
        on_cancel: Called in the event loop with the key of each run to cancel.
        excluded: Returns the calendar that excludes an instant.
        poll_interval: The maximum number of seconds between two checks.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        resolve: Resolve,
        on_runs: Callable[[list[tuple[int, int]]], None],
        on_cancel: Callable[[int], None] = lambda key: None,
        excluded: Excluded = nothing_excluded,
        poll_interval: float = 60.0,
    ) -> None:
        self.store = store
        self.clock = clock
        self.poll_interval = poll_interval
        self._resolve = resolve
        self._on_runs = on_runs
        self._on_cancel = on_cancel
        self._excluded = excluded
        self._due = DueTimes()
        self._periods_changed = True
        """Whether a schedule with `after: {require: complete}` may have become due although no run has ended, such as
        after a skipped fire."""
        self._specs = ops.SpecCache(excluded)
        self._ahead = ReadAhead(store, clock, self._specs, self._due, excluded)
        self._timer = LoopClock(clock)
        self._task: asyncio.Task[None] | None = None
        self._next_expectation: int | None = None
        """When the next expectation is checked, in microseconds."""
        self._decided_until = 0
        """The instant in microseconds up to which fires can have an outcome, because the clock was ahead."""

    async def start(self) -> None:
        """Record missed fires, start queued runs that can start, and begin the loop."""
        if (down := await self.store.read(downtime.newest_downtime)) is not None:
            self._timer.add_downtime(down)
        self._timer.reset()
        now = self.clock.now()
        if await self.store.read(lambda c: clock_changes.is_ahead(c, to_us(now))):
            await self._correct(now, None)
        self._decided_until = await self.store.read(fires.latest)
        await self.refresh()
        await self.release_held()
        await self.advance_backfills()
        self._task = asyncio.create_task(self._run(), name="victor-scheduler")

    async def release_held(self) -> None:
        """Start the queued runs of all schedules that may start by their present policies."""
        for schedule in await self.store.read(schedule_runs.schedules_with_held_runs):
            await self.start_queued(schedule)

    async def advance_backfills(self) -> None:
        """Start further runs of backfills. Call it after a start, and when a drain has ended."""
        if await self.store.read(backfills.running):

            def transition(tx: Tx) -> Firing:
                firing = self.firing(tx)
                found = backfills.running(tx)
                for backfill_id in found:
                    backfills.lock(tx, backfill_id)
                for backfill_id in found:
                    backfill.advance(firing, backfill_id)
                return firing

            self.committed(await self.store.write(transition))

    def firing(self, tx: Tx) -> Firing:
        return Firing(tx, self._resolve, self._excluded)

    def committed(self, firing: Firing) -> None:
        """Report the runs that a committed transition created and cancelled."""
        for key in firing.cancels:
            self._on_cancel(key)
        if firing.created:
            self._on_runs(firing.created)
        self._periods_changed = self._periods_changed or firing.left_out
        if firing.has_expectations:
            self._timer.wake.set()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def refresh(self, schedule: str | None = None) -> None:
        """Read the due time of one schedule that has changed, or of all schedules."""
        if schedule is not None:
            self._due.set(schedule, await self.store.read(lambda c: schedules.due_of(c, schedule)))
        else:
            await self._ahead.follow_calendars()
            self._due.replace(await self.store.read(schedules.due))
        self._next_expectation = await self.store.read(expectations.next_due)
        self._periods_changed = True
        self._timer.wake.set()

    async def _follow_clock(self) -> None:
        """Record a jump of the clock, or correct the schedules after the clock was ahead."""
        self._timer.look()
        while self._timer.jumps:
            gap = self._timer.jumps[0]
            await self.store.write(lambda tx: clock_changes.record_jump(tx, gap))  # noqa: B023
            self._timer.jumps.pop(0)
            log.warning("%s; the scheduler checks all schedules again", gap)
        back = self._timer.set_back
        if back is not None:
            await self._correct(back.furthest, back.looked)
            self._timer.set_back = None
            await self.refresh()

    async def _correct(self, seen: datetime, looked: datetime | None) -> None:
        ahead = await self.store.write(lambda tx: clock_changes.correct(tx, seen, looked))
        self._ahead.fires.clear()
        if ahead is not None:
            self._decided_until = await self.store.read(fires.latest)
            log.warning("the clock was ahead; it was set back. Fires that are open again: %d", ahead.reopened)

    async def _run(self) -> None:
        failures = 0
        while True:
            self._timer.wake.clear()
            first = self._due.first()
            try:
                await self._follow_clock()
                await self.fire_due()
                await self._fire_complete()
                await self.check_expectations()
                await self._ahead.read()
                failures = 0
            except FencedError as error:
                log.critical("the scheduler stopped: %s", error)
                return
            except StorageError as error:
                await self._wait_for_store(error, first)
                continue
            except Exception:
                # An unexpected error must not end the loop.
                failures += 1
                log.exception("the scheduler could not check the schedules (try %d)", failures)
            await self._sleep(min(LONGEST_WAIT, 2.0**failures) if failures else 0.0)

    async def _wait_for_store(self, error: StorageError, due: int | None) -> None:
        """Wait until the store can be written. Fires since `due` are missed or caught up, as after any downtime."""
        since = self.clock.now() if due is None else min(self.clock.now(), from_us(due))
        log.error("no schedule fires until the store can be written: %s", error)
        await self.store.writable()
        gap = downtime.Gap(since, self.clock.now(), "the store could not be written")
        self._timer.add_downtime(gap)

    async def _sleep(self, at_least: float = 0.0) -> None:
        seconds = self.poll_interval
        due = self._due.first()
        if due is not None:
            seconds = min(seconds, self._until_needed(due))
        if self._next_expectation is not None:
            seconds = min(seconds, self._left(self._next_expectation))
        await self._timer.wait(max(seconds, at_least))

    def _left(self, instant: int) -> float:
        return max(0.0, (instant - to_us(self.clock.now())) / 1_000_000)

    def _until_needed(self, due: int) -> float:
        """Return the seconds until the schedule that is due first is read (`READ_AHEAD`) or fired."""
        left = self._left(due)
        return left - READ_AHEAD if left > READ_AHEAD else left

    # --- firing --------------------------------------------------------------------------------

    async def fire_due(self) -> int:
        """Decide every fire that is due now. Return the number of schedules that were checked."""
        now = to_us(self.clock.now())
        total = 0
        while True:
            batch = self._due.take(now, BATCH)
            if not batch:
                return total
            total += len(batch)
            try:
                await self._ahead.prepare(batch)
                firing, next_due = await self.store.write(lambda tx: self._decide(tx, batch))  # noqa: B023
            except BaseException:
                for schedule in batch:
                    self._due.set(schedule, now)
                raise
            self._decided(firing, next_due)

    def _decided(self, firing: Firing, next_due: NextDue) -> None:
        """Report a committed batch of decisions, and set when its schedules are due next."""
        self.committed(firing)
        for schedule, due in next_due:
            self._ahead.fires.pop(schedule, None)
            self._due.set(schedule, due)

    async def _fire_complete(self) -> None:
        """Fire the schedules whose upstream periods became complete without the end of a run, for example by a skip."""
        if not self._periods_changed:
            return
        self._periods_changed = False
        found = await self.store.read(lambda c: dependency_fires.complete_now(c, self._excluded))
        if found:

            def transition(tx: Tx) -> Firing:
                firing = self.firing(tx)
                dependency_fires.fire_complete(firing, found)
                return firing

            self.committed(await self.store.write(transition))

    async def check_expectations(self) -> None:
        """Write an event for each expectation that is due and not met."""
        self._next_expectation = await self.store.read(expectations.next_due)
        while self._next_expectation is not None and self._next_expectation <= to_us(self.clock.now()):
            await self.store.write(expectation_checks.check_due)
            self._next_expectation = await self.store.read(expectations.next_due)

    def _decide(self, tx: Tx, schedules: list[str]) -> tuple[Firing, NextDue]:
        firing = self.firing(tx)
        firing.batch = batch = FireBatch(tx, schedules)
        next_due: NextDue = []
        for schedule in schedules:
            mark = batch.mark(), len(firing.created), len(firing.cancels)
            try:
                with savepoint(tx):
                    due = self._decide_one(firing, batch, schedule)
            except sqlite3.Error:
                raise  # the store failed, so no schedule can be decided
            except Exception as error:
                batch.rewind(mark[0], schedule)
                del firing.created[mark[1] :], firing.cancels[mark[2] :]
                due = self._problem(tx, schedule, error)
            next_due.append((schedule, due))
        batch.flush()
        return firing, next_due

    def _problem(self, tx: Tx, schedule: str, error: Exception) -> int:
        """Record that a schedule cannot be decided, and return when to try again. The others are not delayed."""
        text = error.message if isinstance(error, VictorError) else f"{type(error).__name__}: {error}"
        if schedules.set_problem(tx, schedule, text):
            log.error("schedule %s cannot be decided: %s", schedule, text, exc_info=error)
            data = {"message": f"schedule {schedule} cannot be decided: {text}"}
            tx.event(EventKind.ENGINE_PROBLEM, schedule_id=schedule, data=data)
        return tx.now_us + int(self.poll_interval * 1_000_000)

    def _decide_one(self, firing: Firing, batch: FireBatch, schedule: str) -> int | None:
        """Decide all due fires of one schedule, and return when it is due next."""
        tx = firing.tx
        stored = batch.stored.get(schedule)
        row = self._specs.row(stored) if stored is not None else None
        if row is None or row.removed:
            return None
        if row.paused is not None:
            until = row.paused.until
            if until is not None and until <= tx.now:
                note = "the pause ended at its set time"
                schedule_commands.resume(tx, row.id, actor=None, note=note, at=until)
                return schedules.due_of(tx, row.id)
            return to_us(until) if until is not None else None
        upcoming = self._ahead.fires.get(schedule)
        if upcoming is not None and self._is_next(upcoming, row, tx):
            firing.fire(row, upcoming.nominal, upcoming=upcoming)
            following = upcoming.following if not row.exhausted else None
            if following is not None and following <= self._decided_until:
                following = ops.first_open(tx, row, upcoming.nominal.instant)
            batch.move(row, upcoming.nominal.instant, following)
            return following
        timing = row.timing
        due = policy.backlog(timing, row.cursor, tx.now)
        cursor = row.cursor
        if due.cut is not None:
            reason = f"missed: the schedule was not checked until {timing.nominal(tx.now).local[:16]}"
            if row.spec.catchup == "all":
                reason += f"; only the newest {policy.MAX_ROWS:,} fires are caught up"
            if not firing.is_decided(row, due.cut.first):
                firing.record(row, due.cut.first, FireOutcome.MISSED, f"{reason} ({due.cut})")
        grace = max(row.spec.misfire_grace, self.poll_interval)

        def is_excluded(nominal: Nominal) -> bool:
            return nominal.instant == row.skip_at or firing.exclusion_reason(row, nominal) is not None

        decisions = policy.apply_catchup(
            row.spec, timing, due.fires, tx.now, grace, self._timer.gaps, is_excluded
        )
        for decision in decisions:
            if decision.missed is not None:
                excluded = firing.excluded_or_skipped(row, decision.nominal)
                outcome = FireOutcome.MISSED if excluded is None else FireOutcome.SKIPPED
                if not firing.is_decided(row, decision.nominal):
                    firing.record(row, decision.nominal, outcome, excluded or decision.missed)
            else:
                firing.fire(row, decision.nominal, decision.late)
            cursor = max(cursor, decision.nominal.instant)
        missed = [decision.nominal for decision in decisions if decision.missed is not None]
        if missed and firing.exclusion_reason(row, missed[-1]) is None:
            # After a long downtime, only the last fire has expectations: one event instead of hundreds.
            firing.add_expectations(row, missed[-1], None)
        next_due = ops.first_fire(timing, cursor) if not row.exhausted else None
        if next_due is not None and next_due <= self._decided_until:
            next_due = ops.first_open(tx, row, cursor)
        batch.move(row, cursor, next_due)
        return next_due

    def _is_next(self, upcoming: ops.UpcomingFire, row: ScheduleRow, tx: Tx) -> bool:
        """Return whether a fire that was computed in advance is the only due fire, and not a misfire."""
        grace = int(max(row.spec.misfire_grace, self.poll_interval) * 1_000_000)
        return (
            upcoming.spec is row.spec
            and upcoming.cursor == to_us(row.cursor)
            and upcoming.due <= tx.now_us <= upcoming.due + grace
            and (upcoming.following is None or tx.now_us < upcoming.following)
        )

    async def start_queued(self, schedule_id: str | None) -> None:
        """Start the queued runs of a schedule that may start now; without a schedule, none."""
        if schedule_id is None:
            return

        def read(connection: sqlite3.Connection) -> list[tuple[int, int]]:
            spec = schedules.spec_of(connection, schedule_id)
            if spec is None:
                return []
            active = schedule_runs.active_runs(connection, schedule_id)
            waits = [run.key for run in active if run.held] if spec.wait_for_previous is not None else []
            previous = {key: schedule_runs.previous_of_run(connection, key) for key in waits}
            return [(run.key, spec.priority) for run in policy.releasable(spec, active, previous)]

        self._on_runs(await self.store.read(read))
