"""One fire whose time has come: started, queued or skipped, with the reason, in one transition."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from victor_engine.api import PauseInfo, ScheduleSpec, TriggerKind
from victor_engine.clock import to_us
from victor_engine.domain.statuses import FireOutcome, RunStatus
from victor_engine.errors import VictorError
from victor_engine.scheduling import expectations, policy
from victor_engine.scheduling import stored_schedules as ops
from victor_engine.scheduling.stored_schedules import Resolve, ScheduleRow
from victor_engine.scheduling.timing import Nominal
from victor_engine.store.db import Tx
from victor_engine.store.locks import Root
from victor_engine.store.queries.schedule_runs import ActiveRun, active_runs, active_runs_of
from victor_engine.store.repositories import fires, meta, schedules
from victor_engine.store.repositories.fires import Fire
from victor_engine.store.runs import NewRun, RunBatch, Start, create_run

Excluded = Callable[[ScheduleSpec, datetime, ZoneInfo], str | None]
"""Why a calendar of a spec leaves out an instant; None if none does. UsageError if that cannot be known."""


def nothing_excluded(spec: ScheduleSpec, instant: datetime, zone: ZoneInfo) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class Cause:
    """What starts a run other than the clock: the run it comes after, and what it takes over."""

    trigger: TriggerKind = "schedule"
    reason: str = ""
    state: dict[str, Any] = field(default_factory=dict)
    parent_key: int | None = None
    nominal_us: int | None = None
    fault: str | None = None


@dataclass(slots=True)
class Firing:
    """The fires of one transition. `created` and `cancels` are for the runtime once it is committed."""

    tx: Tx
    resolve: Resolve
    excluded: Excluded = nothing_excluded
    created: list[tuple[int, int]] = field(default_factory=list)
    cancels: list[int] = field(default_factory=list)
    promised: bool = False
    bulk: Bulk | None = None
    """Where rows are held back until `flush`, if many schedules are decided together."""
    _starts: dict[tuple[str, str | None], Start] = field(default_factory=dict)
    _draining: PauseInfo | bool | None = False

    @property
    def draining(self) -> PauseInfo | None:
        if self._draining is False:
            self._draining = meta.draining(self.tx)
        return self._draining  # type: ignore[return-value]

    def why_excluded(self, row: ScheduleRow, nominal: Nominal) -> str | None:
        if not row.spec.exclude:
            return None
        try:
            reason = self.excluded(row.spec, nominal.instant, row.timing.zone)
        except VictorError as error:
            return f"cannot tell whether a calendar leaves it out: {error.message}"
        return None if reason is None else f"left out by {reason}"

    def fire(
        self, row: ScheduleRow, nominal: Nominal, late: str | None = None, cause: Cause | None = None
    ) -> None:
        """Decide one fire. One that was decided before is left as it is."""
        self.tx.lock(Root.SCHEDULE, row.id)
        if self.is_decided(row, nominal):
            return
        why_not = self._why_not(row, nominal)
        if why_not is not None:
            self.record(row, nominal, FireOutcome.SKIPPED, why_not)
            return
        active = self.bulk.active_runs(row.id) if self.bulk is not None else active_runs(self.tx, row.id)
        place = policy.place(row.spec, active, late)
        if place.outcome is FireOutcome.SKIPPED:
            self.record(row, nominal, FireOutcome.SKIPPED, place.reason)
            self.promise(row, nominal, None)
        elif self._start(row, nominal, place, cause or Cause()):
            self.cancels.extend(place.cancel)

    def _why_not(self, row: ScheduleRow, nominal: Nominal) -> str | None:
        if row.paused is not None:
            return ops.paused_words(row.paused)
        if not row.spec.enabled:
            return "the schedule is disabled"
        if row.exhausted:
            return f"max_runs is {row.spec.max_runs}, and so many have started"
        left_out = self.why_left_out(row, nominal)
        if left_out is not None:
            return left_out
        if self.draining is not None:
            note = f": {self.draining.note}" if self.draining.note else ""
            return f"the engine is draining since {self.draining.at:%Y-%m-%d %H:%M} UTC by {self.draining.by}{note}"
        return None

    def why_left_out(self, row: ScheduleRow, nominal: Nominal) -> str | None:
        """Which calendar, or which wish of an operator, leaves a fire out. Such a wish is good for one fire."""
        excluded = self.why_excluded(row, nominal)
        if excluded is None and row.skip_next:
            row.skip_next = False
            return "an operator had it skipped"
        return excluded

    def is_decided(self, row: ScheduleRow, nominal: Nominal) -> bool:
        held_back = self.bulk is not None and (row.id, nominal.local, nominal.fold) in self.bulk.decided
        return held_back or fires.is_decided(self.tx, row.id, nominal.local, nominal.fold)

    def record(
        self,
        row: ScheduleRow,
        nominal: Nominal,
        outcome: FireOutcome,
        reason: str,
        run_key: int | None = None,
        run_id: str | None = None,
    ) -> None:
        if self.bulk is not None:
            self.bulk.record(row, nominal, outcome, reason, run_key, run_id)
        else:
            ops.record_fire(self.tx, row, nominal, outcome, reason, run_key=run_key, run_id=run_id)

    def promise(self, row: ScheduleRow, nominal: Nominal, run_key: int | None) -> None:
        if row.spec.expect is not None and expectations.promise(
            self.tx, row, nominal, row.timing.due(nominal), run_key
        ):
            self.promised = True

    def _begin(self, row: ScheduleRow) -> Start:
        """What a run of a schedule starts on now; looked up once in a transition, unless it is drawn."""
        key = row.workflow, row.spec.version
        found = self._starts.get(key)
        if found is None:
            found = self.resolve(self.tx, *key)
            if found.choice is None:
                self._starts[key] = found
        return found

    def _start(self, row: ScheduleRow, nominal: Nominal, place: policy.Place, cause: Cause) -> bool:
        try:
            if cause.fault is not None:
                raise VictorError(cause.fault)
            start = self._begin(row)
        except VictorError as error:
            self.record(row, nominal, FireOutcome.SKIPPED, f"cannot start: {error.message}")
            schedules.set_problem(self.tx, row.id, error.message)
            self.promise(row, nominal, None)
            return False
        new = NewRun(
            workflow=row.workflow,
            definition_id=start.definition_id,
            start_node=start.node,
            choice=start.choice,
            state={**row.spec.initial_state, **cause.state},
            trigger=cause.trigger,
            schedule_id=row.id,
            nominal_us=to_us(nominal.instant) if cause.nominal_us is None else cause.nominal_us,
            parent_key=cause.parent_key,
            priority=row.spec.priority,
        )
        created = self.bulk.runs.add(new) if self.bulk is not None else create_run(self.tx, new)
        key, run_id = created.key, created.id
        reason = (
            place.reason
            if not cause.reason
            else (cause.reason if place.outcome is FireOutcome.STARTED else f"{cause.reason}; {place.reason}")
        )
        self.record(row, nominal, place.outcome, reason, key, run_id)
        if self.bulk is not None:
            self.bulk.started(row.id, key, run_id, held=place.outcome is FireOutcome.QUEUED)
        self.promise(row, nominal, key)
        if row.problem is not None:
            schedules.set_problem(self.tx, row.id, None)
        row.runs_started += 1
        # What waits behind another run is taken up when that one has ended.
        if place.outcome is FireOutcome.STARTED:
            self.created.append((key, row.spec.priority))
        return True


class Bulk:
    """Many schedules decided in one transition: read together, written together."""

    def __init__(self, tx: Tx, schedule_ids: Sequence[str]) -> None:
        self.tx = tx
        for schedule_id in sorted(schedule_ids):
            tx.lock(Root.SCHEDULE, schedule_id)
        self.runs = RunBatch(tx)
        self.decided: set[tuple[str, str, int]] = set()
        self._fires: list[Fire] = []
        self._moves: list[tuple[int, int | None, int, int, str]] = []
        self._active = active_runs_of(tx, schedule_ids)
        self.stored: dict[str, Any] = {row[0]: row for row in schedules.some(tx, schedule_ids)}

    def active_runs(self, schedule: str) -> list[ActiveRun]:
        return self._active.get(schedule, [])

    def started(self, schedule: str, key: int, run_id: str, *, held: bool) -> None:
        self._active.setdefault(schedule, []).append(ActiveRun(key, run_id, RunStatus.QUEUED, held))

    def record(
        self,
        row: ScheduleRow,
        nominal: Nominal,
        outcome: FireOutcome,
        reason: str,
        run_key: int | None = None,
        run_id: str | None = None,
    ) -> None:
        """As `rows.record_fire`, of a fire that is known to be undecided."""
        self.decided.add((row.id, nominal.local, nominal.fold))
        self._fires.append(ops.fire_row(self.tx, row, nominal, outcome, reason, run_key, None))
        ops.tell_fire(self.tx, row, nominal, outcome, reason, run_key=run_key, run_id=run_id)

    def move(self, row: ScheduleRow, cursor: datetime, next_due: int | None) -> None:
        """Where a schedule stands after its fires."""
        self._moves.append((to_us(cursor), next_due, int(row.skip_next), row.runs_started, row.id))

    def mark(self) -> tuple[int, int, int]:
        return len(self.runs), len(self._fires), len(self._moves)

    def rewind(self, mark: tuple[int, int, int], schedule: str) -> None:
        """Forget what one schedule has brought since `mark`."""
        self.runs.rewind(mark[0])
        del self._fires[mark[1] :], self._moves[mark[2] :]
        self._active.pop(schedule, None)
        self.decided = {key for key in self.decided if key[0] != schedule}

    def flush(self) -> None:
        self.runs.flush()
        fires.add_all(self.tx, self._fires)
        schedules.move_all(self.tx, self._moves)
