"""The scheduling loop: sleeps until something is due, decides every fire, leaves none unaccounted."""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from victor_engine.clock import Clock, to_us
from victor_engine.errors import VictorError
from victor_engine.scheduler import operations as ops
from victor_engine.scheduler.operations import Resolve, ScheduleRow
from victor_engine.scheduler.timing import Nominal, Timing
from victor_engine.store.db import Store, Tx
from victor_engine.store.runs import NewRun, insert_run

log = logging.getLogger(__name__)

MAX_MISSED_ROWS = 1000
"""Missed fires of one schedule that get a row each at one time; the rest are counted in one more row."""

BATCH = 200
"""Schedules that are decided in one transaction."""

CLOCK_JUMP = 5.0
"""Seconds by which wall and monotonic clock may drift apart in one sleep before it counts as a jump."""

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
        """Account for what was missed, then watch."""
        await self.refresh()
        self._task = asyncio.create_task(self._run(), name="victor-scheduler")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def refresh(self) -> None:
        """Read when each schedule is due; call it after a schedule has changed."""
        rows = await self.store.read(
            lambda c: c.execute(
                "SELECT id, next_fire FROM schedules WHERE next_fire IS NOT NULL AND removed_at IS NULL"
            ).fetchall()
        )
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
        while True:
            self._kick.clear()
            try:
                await self.fire_due()
            except VictorError as error:
                log.error("scheduler: %s", error)
            await self._sleep()

    async def _sleep(self) -> None:
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        seconds = self.poll_interval
        if self._heap:
            seconds = min(seconds, max(0.0, (self._heap[0][0] - to_us(self.clock.now())) / 1_000_000))
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
            except VictorError:
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
            stored = tx.execute(f"SELECT {ops._COLUMNS} FROM schedules WHERE id = ?", (schedule,)).fetchone()
            if stored is None:
                continue
            row = ops.decode_row(stored)
            following.append((schedule, self._decide_one(tx, row, created, cancels)))
        return created, following, cancels

    def _decide_one(
        self, tx: Tx, row: ScheduleRow, created: list[tuple[int, int]], cancels: list[int]
    ) -> int | None:
        """All that is due of one schedule; returns when it is next looked at."""
        if row.removed:
            return None
        if row.paused is not None:
            until = row.paused.until
            if until is None or until > tx.now:
                return to_us(until) if until is not None else None
            ops.resume(tx, row.id, actor=None, note="the pause was set to end now")
            return self._next(tx, row.id)
        timing = self._timing(row)
        due = self._collect(tx, row, timing)
        cursor = row.cursor
        for nominal, late in self._plan(tx, row, due):
            if late is not None:
                ops.record_fire(tx, row, nominal, "missed", late)
            else:
                self._fire(tx, row, nominal, created, cancels)
            cursor = max(cursor, nominal.instant)
        following = timing.next_after(cursor)
        next_due = (
            to_us(timing.due(following)) if following is not None and not self._exhausted(row) else None
        )
        tx.execute(
            "UPDATE schedules SET cursor = ?, next_fire = ?, skip_next = ?, runs_started = ? WHERE id = ?",
            (to_us(cursor), next_due, int(row.skip_next), row.runs_started, row.id),
        )
        return next_due

    def _timing(self, row: ScheduleRow) -> Timing:
        known = self._timings.get(row.id)
        if known is None or known[0] != row.spec:
            known = (row.spec, row.timing)
            self._timings[row.id] = known
        return known[1]

    @staticmethod
    def _exhausted(row: ScheduleRow) -> bool:
        return row.spec.max_runs is not None and row.runs_started >= row.spec.max_runs

    def _next(self, tx: Tx, schedule: str) -> int | None:
        found = tx.execute("SELECT next_fire FROM schedules WHERE id = ?", (schedule,)).fetchone()
        return int(found[0]) if found and found[0] is not None else None

    def _collect(self, tx: Tx, row: ScheduleRow, timing: Timing) -> list[Nominal]:
        """Nominal instants after the cursor whose time has come. A long absence is cut, and the cut recorded."""
        due: list[Nominal] = []
        cursor = row.cursor
        while True:
            nominal = timing.next_after(cursor)
            if nominal is None or timing.due(nominal) > tx.now:
                return due
            due.append(nominal)
            cursor = nominal.instant
            if len(due) > 4 * MAX_MISSED_ROWS:
                # Only the newest matter one by one; the oldest are put into one row.
                keep = due[-MAX_MISSED_ROWS:]
                cut = due[: len(due) - MAX_MISSED_ROWS]
                self._record_cut(tx, row, cut)
                due = keep

    def _record_cut(self, tx: Tx, row: ScheduleRow, cut: list[Nominal]) -> None:
        first, last = cut[0], cut[-1]
        ops.record_fire(
            tx,
            row,
            first,
            "missed",
            f"the engine was down: {len(cut)} fires from {first.local} to {last.local}, recorded as one",
        )

    def _plan(self, tx: Tx, row: ScheduleRow, due: list[Nominal]) -> list[tuple[Nominal, str | None]]:
        """Which of the due fires run (reason None), and why the others count as missed."""
        spec = row.spec
        timing = self._timing(row)
        grace = timedelta(seconds=max(spec.misfire_grace, self.poll_interval))
        plan: list[tuple[Nominal, str | None]] = []
        late = [nominal for nominal in due if timing.due(nominal) + grace < tx.now]
        if late:
            span = f"missed: nothing looked at it from {late[0].local} until {self._local(tx.now, row)}"
        window = timedelta(seconds=spec.catchup_window) if spec.catchup_window is not None else None
        for nominal in due:
            if nominal not in late:
                plan.append((nominal, None))
            elif spec.catchup == "none":
                plan.append((nominal, f"{span}; catchup is off"))
            elif spec.catchup == "latest" and nominal is not due[-1]:
                plan.append((nominal, f"{span}; catchup is latest, and a later one runs"))
            elif window is not None and nominal.instant < tx.now - window:
                plan.append((nominal, f"{span}; older than the catch-up window"))
            else:
                plan.append((nominal, None))
        return plan

    def _local(self, instant: datetime, row: ScheduleRow) -> str:
        return self._timing(row).nominal(instant).local[:16]

    def _fire(
        self, tx: Tx, row: ScheduleRow, nominal: Nominal, created: list[tuple[int, int]], cancels: list[int]
    ) -> None:
        """One fire whose time has come: start, queue or skip it, with the reason."""
        spec = row.spec
        if not spec.enabled or self._exhausted(row):
            ops.record_fire(tx, row, nominal, "skipped", "the schedule is disabled" if not spec.enabled else
                            f"max_runs is {spec.max_runs}, and so many have started")  # fmt: skip
            return
        if row.skip_next:
            row.skip_next = False
            ops.record_fire(tx, row, nominal, "skipped", "an operator had it skipped")
            return
        if self.draining:
            ops.record_fire(tx, row, nominal, "skipped", "the engine is draining: it starts nothing new")
            return
        active = tx.execute(
            f"SELECT key, id, status FROM runs WHERE schedule_id = ? AND status IN {ACTIVE} ORDER BY key",
            (row.id,),
        ).fetchall()
        outcome, reason = "started", "due"
        if len(active) >= spec.max_active_runs and spec.overlap != "allow":
            _, run_id, status = active[-1]
            words = f"run {run_id} is still {status}"
            if spec.overlap == "skip":
                ops.record_fire(tx, row, nominal, "skipped", f"{words}, and overlap is skip")
                return
            if spec.overlap == "cancel_running":
                cancels.extend(key for key, _, _ in active)
                outcome, reason = "queued", f"{words}; it is cancelled first (overlap is cancel_running)"
            else:
                queued = sum(1 for _, _, status in active if status == "queued")
                if spec.overlap == "buffer_one" and queued >= 1:
                    ops.record_fire(
                        tx,
                        row,
                        nominal,
                        "skipped",
                        f"{words}, and one fire waits behind it (overlap is buffer_one)",
                    )
                    return
                outcome, reason = "queued", f"behind {run_id}, which is {status} (overlap is {spec.overlap})"
        self._start(tx, row, nominal, outcome, reason, created)

    def _start(
        self,
        tx: Tx,
        row: ScheduleRow,
        nominal: Nominal,
        outcome: str,
        reason: str,
        created: list[tuple[int, int]],
    ) -> None:
        known = tx.execute(
            "SELECT 1 FROM fires WHERE schedule_id = ? AND local = ? AND fold = ?",
            (row.id, nominal.local, nominal.fold),
        ).fetchone()
        if known is not None:
            return
        try:
            definition_id, start_node = self._resolve(tx, row.workflow, row.spec.version)
        except VictorError as error:
            ops.record_fire(tx, row, nominal, "skipped", f"cannot start: {error.message}")
            tx.execute("UPDATE schedules SET problem = ? WHERE id = ?", (error.message, row.id))
            return
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
        ops.record_fire(tx, row, nominal, outcome, reason, run_key=key, run_id=run_id)
        tx.execute("UPDATE schedules SET problem = NULL WHERE id = ? AND problem IS NOT NULL", (row.id,))
        row.runs_started += 1
        # What waits behind another run is taken up when that one has ended.
        if outcome == "started":
            created.append((key, row.spec.priority))

    async def run_finished(self, schedule_id: str | None) -> None:
        """A run has ended: the one that waits behind it may start."""
        if schedule_id is None:
            return
        found = await self.store.read(
            lambda c: c.execute(
                "SELECT key, priority FROM runs WHERE schedule_id = ? AND status = 'queued'"
                " ORDER BY key LIMIT 1",
                (schedule_id,),
            ).fetchone()
        )
        if found is not None:
            self._on_runs([(found[0], found[1])])
