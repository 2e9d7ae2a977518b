"""The scheduling loop: sleeps until something is due, decides every fire, leaves none unaccounted."""

from __future__ import annotations

import asyncio
import heapq
import logging
import sqlite3
from collections.abc import Callable, Iterable, Iterator

from victor_engine.api import ScheduleSpec
from victor_engine.clock import Clock, from_us, to_us
from victor_engine.domain.statuses import FireOutcome
from victor_engine.errors import FencedError, StorageError, VictorError
from victor_engine.events import EventKind
from victor_engine.scheduling import backfill, downtime, policy, schedule_commands
from victor_engine.scheduling import expectations as sla
from victor_engine.scheduling import stored_schedules as ops
from victor_engine.scheduling.fires import Bulk, Excluded, Firing, nothing_excluded
from victor_engine.scheduling.loop_clock import Watch
from victor_engine.scheduling.stored_schedules import Resolve, ScheduleRow
from victor_engine.scheduling.timezones import get_zone
from victor_engine.scheduling.timing import Nominal
from victor_engine.store.db import Store, Tx
from victor_engine.store.queries import schedule_runs
from victor_engine.store.queries.schedule_runs import ActiveRun
from victor_engine.store.repositories import backfills, expectations, schedules
from victor_engine.store.savepoints import savepoint

log = logging.getLogger(__name__)

BATCH = 512
"""Schedules that are decided in one transaction."""

LOOK_AHEAD = 5.0
"""Seconds before it is due at which a schedule is read."""

LONGEST_WAIT = 60.0
"""Seconds between two tries while the store cannot be written."""

Following = list[tuple[str, int | None]]
"""Schedules, and when each is looked at next."""


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
        self._heap: list[tuple[int, str]] = []
        self._due: dict[str, int] = {}
        self._known = ops.Known()
        self._coming: dict[str, ops.Coming] = {}
        """What is due soon, worked out already."""
        self._watch = Watch(clock)
        self._task: asyncio.Task[None] | None = None
        self._promises: int | None = None
        """When the next promise is looked at, in microseconds."""

    async def start(self) -> None:
        """Account for what was missed, let go what waited behind runs that have ended, then watch."""
        down = await self.store.read(downtime.newest_downtime)
        if down is not None:
            self._watch.absent(down)
        await self.refresh()
        held = await self.store.read(schedule_runs.schedules_with_held_runs)
        for schedule in held:
            await self.run_finished(schedule)
        await self.go_on()
        self._task = asyncio.create_task(self._run(), name="victor-scheduler")

    async def go_on(self) -> None:
        """Let backfills start what there is room for: after a start, and when draining has ended."""
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
        """Hand what a committed transition has started and ended to the runtime."""
        for key in firing.cancels:
            self._on_cancel(key)
        if firing.created:
            self._on_runs(firing.created)
        if firing.promised:
            self._watch.kick.set()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def refresh(self, schedule: str | None = None) -> None:
        """Read when each schedule is due, or the one that has changed."""
        if schedule is not None:
            self._put(schedule, await self.store.read(lambda c: schedules.due_of(c, schedule)))
        else:
            rows = await self.store.read(schedules.due)
            self._due = dict(rows)
            self._heap = [(due, schedule) for schedule, due in rows]
            heapq.heapify(self._heap)
        self._promises = await self.store.read(expectations.next_due)
        self._watch.kick.set()

    def _put(self, schedule: str, due: int | None) -> None:
        if due is None:
            self._due.pop(schedule, None)
        else:
            self._due[schedule] = due
            heapq.heappush(self._heap, (due, schedule))

    async def _run(self) -> None:
        failures = 0
        while True:
            self._watch.kick.clear()
            first = self._heap[0][0] if self._heap else None
            try:
                await self.fire_due()
                await self.look_at_promises()
                await self._look_ahead()
                failures = 0
            except FencedError as error:
                log.critical("the scheduler stops: %s", error)
                return
            except StorageError as error:
                await self._sit_out(error, first)
                continue
            except Exception:
                # Whatever it is, schedules go on as soon as it has passed.
                failures += 1
                log.exception("schedules could not be looked at (try %d)", failures)
            await self._sleep(min(LONGEST_WAIT, 2.0**failures) if failures else 0.0)

    async def _sit_out(self, error: StorageError, due: int | None) -> None:
        """Nothing can be decided until it can be recorded. What has been due since `due` is missed or
        caught up, as after any absence."""
        since = self.clock.now() if due is None else min(self.clock.now(), from_us(due))
        log.error("no schedule is looked at: %s", error)
        await self.store.writable()
        self._watch.absent(downtime.Gap(since, self.clock.now(), "the store could not be written"))

    async def _sleep(self, at_least: float = 0.0) -> None:
        seconds = self.poll_interval
        due = self._first()
        if due is not None:
            seconds = min(seconds, self._until_needed(due))
        if self._promises is not None:
            seconds = min(seconds, self._left(self._promises))
        await self._watch.wait(max(seconds, at_least))

    def _left(self, instant: int) -> float:
        return max(0.0, (instant - to_us(self.clock.now())) / 1_000_000)

    def _until_needed(self, due: int) -> float:
        """Return the seconds until the schedule that is due first is read (`LOOK_AHEAD`) or fired."""
        left = self._left(due)
        return left - LOOK_AHEAD if left > LOOK_AHEAD else left

    def _first(self) -> int | None:
        """When something is due next."""
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    async def _look_ahead(self) -> None:
        """Read what is due in the next seconds, so that a crowd that is due at once finds its times worked out."""
        horizon = to_us(self.clock.now()) + int((LOOK_AHEAD + 1) * 1_000_000)
        due = {schedule: due for due, schedule in self._until(horizon)}
        self._coming = {schedule: found for schedule, found in self._coming.items() if schedule in due}
        soon = [schedule for schedule in due if schedule not in self._coming]
        for first in range(0, len(soon), BATCH):
            part = soon[first : first + BATCH]
            self._coming |= await self.store.read(lambda c: self._learn(c, part))  # noqa: B023

    def _learn(self, connection: sqlite3.Connection, due: list[str]) -> dict[str, ops.Coming]:
        found = self._known.learn(schedules.some(connection, due))
        for coming in found.values():
            self._look_at_calendars(coming.spec, [coming.nominal])
        return found

    def _look_at_calendars(self, spec: ScheduleSpec, nominals: Iterable[Nominal]) -> None:
        """Work the calendars of a schedule out in a reader: that may take seconds, for which no writer waits."""
        for nominal in nominals if spec.exclude else ():
            try:
                self._excluded(spec, nominal.instant, get_zone(spec.timezone))
            except (VictorError, ValueError):
                return  # the decision says what is wrong

    def _prepare(self, connection: sqlite3.Connection, due: list[str]) -> None:
        """Look at the calendars of schedules that were not seen coming, such as after an absence."""
        now = self.clock.now()
        for stored in schedules.some(connection, due):
            try:
                row = self._known.row(stored)
                if row.spec.exclude and not row.removed and row.paused is None:
                    self._look_at_calendars(row.spec, policy.backlog(row.timing, row.cursor, now).fires)
            except VictorError:
                continue

    def _until(self, horizon: int) -> Iterator[tuple[int, str]]:
        """The entries of the heap up to `horizon`, in no order, at most as many as are kept."""
        places = [0]
        for _ in range(2 * ops.Known.LIMIT):
            if not places:
                return
            place = places.pop()
            if place < len(self._heap) and self._heap[place][0] <= horizon:
                yield self._heap[place]
                places += (2 * place + 1, 2 * place + 2)

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
                unseen = [schedule for schedule in batch if schedule not in self._coming]
                if unseen:
                    await self.store.read(lambda c: self._prepare(c, unseen))  # noqa: B023
                firing, following = await self.store.write(lambda tx: self._decide(tx, batch))  # noqa: B023
            except BaseException:
                for schedule in batch:
                    self._put(schedule, now)
                raise
            self._decided(firing, following)

    def _decided(self, firing: Firing, following: Following) -> None:
        """What was decided is on disk: it goes to the runtime, and its schedules are due again."""
        self.committed(firing)
        for schedule, next_due in following:
            self._coming.pop(schedule, None)
            self._put(schedule, next_due)

    async def look_at_promises(self) -> None:
        """Tell of the promises that were not kept."""
        self._promises = await self.store.read(expectations.next_due)
        while self._promises is not None and self._promises <= to_us(self.clock.now()):
            await self.store.write(sla.look)
            self._promises = await self.store.read(expectations.next_due)

    def _decide(self, tx: Tx, schedules: list[str]) -> tuple[Firing, Following]:
        firing = self.firing(tx)
        firing.bulk = bulk = Bulk(tx, schedules)
        following: Following = []
        for schedule in schedules:
            mark = bulk.mark(), len(firing.created), len(firing.cancels)
            try:
                with savepoint(tx):
                    due = self._decide_one(firing, bulk, schedule)
            except sqlite3.Error:
                raise  # the store itself: nothing can be decided
            except Exception as error:
                bulk.rewind(mark[0], schedule)
                del firing.created[mark[1] :], firing.cancels[mark[2] :]
                due = self._problem(tx, schedule, error)
            following.append((schedule, due))
        bulk.flush()
        return firing, following

    def _problem(self, tx: Tx, schedule: str, error: Exception) -> int:
        """One schedule that cannot be decided holds up no other; it is looked at again after a while."""
        text = error.message if isinstance(error, VictorError) else f"{type(error).__name__}: {error}"
        if schedules.set_problem(tx, schedule, text):
            log.error("schedule %s cannot be decided: %s", schedule, text, exc_info=error)
            data = {"message": f"schedule {schedule} cannot be decided: {text}"}
            tx.event(EventKind.ENGINE_PROBLEM, schedule_id=schedule, data=data)
        return tx.now_us + int(self.poll_interval * 1_000_000)

    def _decide_one(self, firing: Firing, bulk: Bulk, schedule: str) -> int | None:
        """All that is due of one schedule; returns when it is next looked at."""
        tx = firing.tx
        stored = bulk.stored.get(schedule)
        row = self._known.row(stored) if stored is not None else None
        if row is None or row.removed:
            return None
        if row.paused is not None:
            until = row.paused.until
            if until is not None and until <= tx.now:
                schedule_commands.resume(
                    tx, row.id, actor=None, note="the pause was set to end now", at=until
                )
                return schedules.due_of(tx, row.id)
            return to_us(until) if until is not None else None
        coming = self._coming.get(schedule)
        if coming is not None and self._is_next(coming, row, tx):
            firing.fire(row, coming.nominal)
            following = coming.following if not row.exhausted else None
            bulk.move(row, coming.nominal.instant, following)
            return following
        timing = row.timing
        due = policy.backlog(timing, row.cursor, tx.now)
        cursor = row.cursor
        if due.cut is not None:
            reason = f"missed: nothing looked at it until {timing.nominal(tx.now).local[:16]}"
            if row.spec.catchup == "all":
                reason += f"; no more than the newest {policy.MAX_ROWS:,} are caught up"
            if not firing.is_decided(row, due.cut.first):
                firing.record(row, due.cut.first, FireOutcome.MISSED, f"{reason} ({due.cut})")
        grace = max(row.spec.misfire_grace, self.poll_interval)
        verdicts = policy.judge(row.spec, timing, due.fires, tx.now, grace, self._watch.gaps)
        for verdict in verdicts:
            if verdict.missed is not None:
                excluded = firing.why_left_out(row, verdict.nominal)
                outcome = FireOutcome.MISSED if excluded is None else FireOutcome.SKIPPED
                if not firing.is_decided(row, verdict.nominal):
                    firing.record(row, verdict.nominal, outcome, excluded or verdict.missed)
            else:
                firing.fire(row, verdict.nominal, verdict.late)
            cursor = max(cursor, verdict.nominal.instant)
        missed = [verdict.nominal for verdict in verdicts if verdict.missed is not None]
        if missed and firing.why_excluded(row, missed[-1]) is None:
            # Of a long absence, the last fire's promises stand for all: one breach, not hundreds.
            firing.promise(row, missed[-1], None)
        next_due = ops.first_fire(timing, cursor) if not row.exhausted else None
        bulk.move(row, cursor, next_due)
        return next_due

    def _is_next(self, coming: ops.Coming, row: ScheduleRow, tx: Tx) -> bool:
        """Whether what was worked out before is all that is due, and in time."""
        grace = int(max(row.spec.misfire_grace, self.poll_interval) * 1_000_000)
        return (
            coming.spec is row.spec
            and coming.cursor == to_us(row.cursor)
            and coming.due <= tx.now_us <= coming.due + grace
            and (coming.following is None or tx.now_us < coming.following)
        )

    async def run_finished(self, schedule_id: str | None) -> None:
        """A run has ended: of those that wait behind it, as many start as there is room for."""
        if schedule_id is None:
            return

        def read(connection: sqlite3.Connection) -> tuple[ScheduleSpec, list[ActiveRun]] | None:
            spec = schedules.spec_of(connection, schedule_id)
            return None if spec is None else (spec, schedule_runs.active_runs(connection, schedule_id))

        found = await self.store.read(read)
        if found is not None:
            spec, active = found
            self._on_runs([(run.key, spec.priority) for run in policy.released(spec, active)])
