"""The scheduling loop: sleeps until something is due, decides every fire, leaves none unaccounted."""

from __future__ import annotations

import asyncio
import heapq
import logging
import sqlite3
from collections.abc import Callable
from typing import Any

import msgspec

from victor_engine.api import ScheduleSpec
from victor_engine.clock import Clock, to_us
from victor_engine.errors import FencedError, VictorError
from victor_engine.events import EventKind
from victor_engine.scheduler import operations as ops
from victor_engine.scheduler import policy
from victor_engine.scheduler.operations import Resolve, ScheduleRow
from victor_engine.scheduler.timing import Nominal, Timing
from victor_engine.store.db import Store, Tx
from victor_engine.store.runs import HELD, NewRun, insert_run

log = logging.getLogger(__name__)

BATCH = 200
"""Schedules that are decided in one transaction."""

CLOCK_JUMP = 5.0
"""Seconds by which wall and monotonic clock may drift apart in one sleep before it counts as a jump."""

LONGEST_WAIT = 60.0
"""Seconds between two tries while the store cannot be written."""

ACTIVE = "('queued', 'running', 'waiting', 'paused', 'cancelling')"


class SchedulerLoop:
    """Fires what is due. `on_runs` is called in the loop with the keys of the runs that were created."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        resolve: Resolve,
        on_runs: Callable[[list[tuple[int, int]]], None],
        on_cancel: Callable[[int], None] = lambda key: None,
        poll_interval: float = 60.0,
    ) -> None:
        self.store = store
        self.clock = clock
        self.poll_interval = poll_interval
        self._resolve = resolve
        self._on_runs = on_runs
        self._on_cancel = on_cancel
        self._heap: list[tuple[int, str]] = []
        self._due: dict[str, int] = {}
        self._timings: dict[str, tuple[Any, Timing]] = {}
        self._kick = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.draining = False

    async def start(self) -> None:
        """Account for what was missed, let go what waited behind runs that have ended, then watch."""
        await self.refresh()
        held = await self.store.read(
            lambda c: c.execute(f"SELECT DISTINCT r.schedule_id FROM runs r WHERE {HELD}").fetchall()
        )
        for (schedule,) in held:
            await self.run_finished(schedule)
        self._task = asyncio.create_task(self._run(), name="victor-scheduler")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def refresh(self, schedule: str | None = None) -> None:
        """Read when each schedule is due, or the one that has changed."""
        due = "SELECT id, next_fire FROM schedules WHERE next_fire IS NOT NULL AND removed_at IS NULL"
        if schedule is not None:
            found = await self.store.read(lambda c: c.execute(f"{due} AND id = ?", (schedule,)).fetchone())
            self._put(schedule, found[1] if found is not None else None)
        else:
            rows = await self.store.read(lambda c: c.execute(due).fetchall())
            self._due = dict(rows)
            self._heap = [(due, schedule) for schedule, due in rows]
            heapq.heapify(self._heap)
        self._kick.set()

    def _put(self, schedule: str, due: int | None) -> None:
        if due is None:
            self._due.pop(schedule, None)
        else:
            self._due[schedule] = due
            heapq.heappush(self._heap, (due, schedule))

    async def _run(self) -> None:
        failures = 0
        while True:
            self._kick.clear()
            try:
                await self.fire_due()
                failures = 0
            except FencedError as error:
                log.critical("the scheduler stops: %s", error)
                return
            except Exception:
                # Whatever it is, schedules go on as soon as it has passed.
                failures += 1
                log.exception("schedules could not be looked at (try %d)", failures)
            await self._sleep(min(LONGEST_WAIT, 2.0**failures) if failures else 0.0)

    async def _sleep(self, at_least: float = 0.0) -> None:
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        seconds = self.poll_interval
        if self._heap:
            seconds = min(seconds, max(0.0, (self._heap[0][0] - to_us(self.clock.now())) / 1_000_000))
        seconds = max(seconds, at_least)
        wall, mono = self.clock.now(), self.clock.monotonic()
        sleep = asyncio.ensure_future(self.clock.sleep(seconds))
        kick = asyncio.ensure_future(self._kick.wait())
        try:
            await asyncio.wait({sleep, kick}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleep.cancel()
            kick.cancel()
        passed = (self.clock.now() - wall).total_seconds()
        if abs(passed - (self.clock.monotonic() - mono)) > CLOCK_JUMP:
            log.warning("the clock jumped by %.0f s; schedules are looked at again", passed)

    # --- firing --------------------------------------------------------------------------------

    async def fire_due(self) -> int:
        """Decide every fire that is due now; returns how many schedules were looked at."""
        now = to_us(self.clock.now())
        total = 0
        while True:
            batch: list[str] = []
            while self._heap and self._heap[0][0] <= now and len(batch) < BATCH:
                due, schedule = heapq.heappop(self._heap)
                if self._due.get(schedule) == due:
                    batch.append(schedule)
                    self._due.pop(schedule)
            if not batch:
                return total
            total += len(batch)
            try:
                created, following, cancels = await self.store.write(lambda tx: self._decide(tx, batch))  # noqa: B023
            except BaseException:
                for schedule in batch:
                    self._put(schedule, now)
                raise
            for schedule, next_due in following:
                self._put(schedule, next_due)
            for key in cancels:
                self._on_cancel(key)
            if created:
                self._on_runs(created)

    def _decide(
        self, tx: Tx, schedules: list[str]
    ) -> tuple[list[tuple[int, int]], list[tuple[str, int | None]], list[int]]:
        created: list[tuple[int, int]] = []
        following: list[tuple[str, int | None]] = []
        cancels: list[int] = []
        for schedule in schedules:
            mark = len(tx.events), len(created), len(cancels)
            tx.execute("SAVEPOINT schedule")
            try:
                due = self._decide_one(tx, schedule, created, cancels)
            except sqlite3.Error:
                raise  # the store itself: nothing can be decided
            except Exception as error:
                tx.execute("ROLLBACK TO schedule")
                del tx.events[mark[0] :], created[mark[1] :], cancels[mark[2] :]
                due = self._problem(tx, schedule, error)
            tx.execute("RELEASE schedule")
            following.append((schedule, due))
        return created, following, cancels

    def _problem(self, tx: Tx, schedule: str, error: Exception) -> int:
        """One schedule that cannot be decided holds up no other; it is looked at again after a while."""
        text = error.message if isinstance(error, VictorError) else f"{type(error).__name__}: {error}"
        changed = tx.execute(
            "UPDATE schedules SET problem = ? WHERE id = ? AND problem IS NOT ?", (text, schedule, text)
        )
        if changed.rowcount:
            log.error("schedule %s cannot be decided: %s", schedule, text, exc_info=error)
            data = {"message": f"schedule {schedule} cannot be decided: {text}"}
            tx.event(EventKind.ENGINE_PROBLEM, schedule_id=schedule, data=data)
        return tx.now_us + int(self.poll_interval * 1_000_000)

    def _decide_one(
        self, tx: Tx, schedule: str, created: list[tuple[int, int]], cancels: list[int]
    ) -> int | None:
        """All that is due of one schedule; returns when it is next looked at."""
        stored = tx.execute(f"SELECT {ops._COLUMNS} FROM schedules WHERE id = ?", (schedule,)).fetchone()
        row = ops.decode_row(stored) if stored is not None else None
        if row is None or row.removed:
            return None
        if row.paused is not None:
            until = row.paused.until
            if until is not None and until <= tx.now:
                ops.resume(tx, row.id, actor=None, note="the pause was set to end now", at=until)
                return self._next(tx, row.id)
            return to_us(until) if until is not None else None
        timing = self._timing(row)
        due = policy.backlog(timing, row.cursor, tx.now)
        cursor = row.cursor
        if due.cut is not None:
            reason = f"missed: nothing looked at it until {timing.nominal(tx.now).local[:16]}"
            if row.spec.catchup == "all":
                reason += f"; no more than the newest {policy.MAX_ROWS:,} are caught up"
            ops.record_fire(tx, row, due.cut.first, "missed", f"{reason} ({due.cut})")
        grace = max(row.spec.misfire_grace, self.poll_interval)
        for verdict in policy.judge(row.spec, timing, due.fires, tx.now, grace):
            if verdict.missed is not None:
                ops.record_fire(tx, row, verdict.nominal, "missed", verdict.missed)
            else:
                self._fire(tx, row, verdict, created, cancels)
            cursor = max(cursor, verdict.nominal.instant)
        next_due = ops.first_fire(timing, cursor) if not row.exhausted else None
        tx.execute(
            "UPDATE schedules SET cursor = ?, next_fire = ?, skip_next = ?, runs_started = ? WHERE id = ?",
            (to_us(cursor), next_due, int(row.skip_next), row.runs_started, row.id),
        )
        return next_due

    def _timing(self, row: ScheduleRow) -> Timing:
        known = self._timings.get(row.id)
        if known is None or known[0] != (row.spec, row.created_at):
            known = ((row.spec, row.created_at), row.timing)
            self._timings[row.id] = known
        return known[1]

    def _next(self, tx: Tx, schedule: str) -> int | None:
        found = tx.execute("SELECT next_fire FROM schedules WHERE id = ?", (schedule,)).fetchone()
        return int(found[0]) if found and found[0] is not None else None

    def _fire(
        self,
        tx: Tx,
        row: ScheduleRow,
        verdict: policy.Verdict,
        created: list[tuple[int, int]],
        cancels: list[int],
    ) -> None:
        """One fire whose time has come: start, queue or skip it, with the reason."""
        nominal, spec = verdict.nominal, row.spec
        known = tx.execute(
            "SELECT 1 FROM fires WHERE schedule_id = ? AND local = ? AND fold = ?",
            (row.id, nominal.local, nominal.fold),
        ).fetchone()
        if known is not None:
            return
        why_not = None
        if not spec.enabled:
            why_not = "the schedule is disabled"
        elif row.exhausted:
            why_not = f"max_runs is {spec.max_runs}, and so many have started"
        elif row.skip_next:
            row.skip_next = False
            why_not = "an operator had it skipped"
        elif self.draining:
            why_not = "the engine is draining: it starts nothing new"
        if why_not is not None:
            ops.record_fire(tx, row, nominal, "skipped", why_not)
            return
        place = policy.place(spec, active_runs(tx, row.id), verdict.late)
        if place.outcome == "skipped":
            ops.record_fire(tx, row, nominal, "skipped", place.reason)
            return
        if self._start(tx, row, nominal, place, created):
            cancels.extend(place.cancel)

    def _start(
        self, tx: Tx, row: ScheduleRow, nominal: Nominal, place: policy.Place, created: list[tuple[int, int]]
    ) -> bool:
        try:
            definition_id, start_node = self._resolve(tx, row.workflow, row.spec.version)
        except VictorError as error:
            ops.record_fire(tx, row, nominal, "skipped", f"cannot start: {error.message}")
            tx.execute("UPDATE schedules SET problem = ? WHERE id = ?", (error.message, row.id))
            return False
        new = NewRun(
            workflow=row.workflow,
            definition_id=definition_id,
            start_node=start_node,
            state=dict(row.spec.initial_state),
            trigger="schedule",
            schedule_id=row.id,
            nominal_us=to_us(nominal.instant),
            priority=row.spec.priority,
        )
        key, run_id = insert_run(tx, new)
        ops.record_fire(tx, row, nominal, place.outcome, place.reason, run_key=key, run_id=run_id)
        tx.execute("UPDATE schedules SET problem = NULL WHERE id = ? AND problem IS NOT NULL", (row.id,))
        row.runs_started += 1
        # What waits behind another run is taken up when that one has ended.
        if place.outcome == "started":
            created.append((key, row.spec.priority))

        return True

    async def run_finished(self, schedule_id: str | None) -> None:
        """A run has ended: of those that wait behind it, as many start as there is room for."""
        if schedule_id is None:
            return

        def read(connection: sqlite3.Connection) -> tuple[ScheduleSpec, list[policy.Active]] | None:
            row = connection.execute("SELECT spec FROM schedules WHERE id = ?", (schedule_id,)).fetchone()
            if row is None:
                return None
            return msgspec.json.decode(row[0], type=ScheduleSpec), active_runs(connection, schedule_id)

        found = await self.store.read(read)
        if found is not None:
            spec, active = found
            self._on_runs([(run.key, spec.priority) for run in policy.released(spec, active)])


def active_runs(source: Any, schedule_id: str) -> list[policy.Active]:
    """The runs of a schedule that have not ended, oldest first."""
    rows = source.execute(
        f"SELECT r.key, r.id, r.status, {HELD} FROM runs r WHERE r.schedule_id = ? AND r.status IN {ACTIVE}"
        " ORDER BY r.key",
        (schedule_id,),
    )
    return [policy.Active(key, run_id, status, bool(held)) for key, run_id, status, held in rows]
