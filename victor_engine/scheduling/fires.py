"""The decision on one due fire: started, queued or skipped, with the reason, in one transition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from victor_engine.api import PauseInfo, TriggerKind
from victor_engine.clock import to_us
from victor_engine.domain.statuses import FireOutcome, RunStatus
from victor_engine.errors import VictorError
from victor_engine.exclusion import Excluded, nothing_excluded
from victor_engine.run_instant import instant_of_fire
from victor_engine.scheduling import expectation_checks, policy
from victor_engine.scheduling import stored_schedules as ops
from victor_engine.scheduling.stored_schedules import Resolve, ScheduleRow
from victor_engine.scheduling.timing import Nominal
from victor_engine.store.db import Tx
from victor_engine.store.locks import Root
from victor_engine.store.queries.schedule_runs import ActiveRun, active_runs, active_runs_of, previous_run
from victor_engine.store.repositories import fires, meta, schedules
from victor_engine.store.repositories.fires import Fire
from victor_engine.store.runs import Created, NewRun, RunBatch, Start, create_run

OPERATOR_SKIP = "an operator skipped this fire"
"""The reason of a fire that an operator skipped."""


@dataclass(frozen=True, slots=True)
class Cause:
    """The cause of a fire that is not a time: the upstream run, and the state that is taken from it."""

    trigger: TriggerKind = "schedule"
    reason: str = ""
    state: dict[str, Any] = field(default_factory=dict)
    parent_key: int | None = None
    nominal_us: int | None = None
    instant: dict[str, Any] = field(default_factory=dict)
    error: str | None = None


@dataclass(slots=True)
class Firing:
    """The fires of one transition. After the commit, `created` runs are started and `cancels` are cancelled."""

    tx: Tx
    resolve: Resolve
    excluded: Excluded = nothing_excluded
    created: list[tuple[int, int]] = field(default_factory=list)
    cancels: list[int] = field(default_factory=list)
    has_expectations: bool = False
    left_out: bool = False
    """Whether a fire was decided without a run."""
    batch: FireBatch | None = None
    """The rows of several schedules that are decided together, until `flush` writes them."""
    _starts: dict[tuple[str, str | None], Start] = field(default_factory=dict)
    _draining: PauseInfo | bool | None = False

    @property
    def draining(self) -> PauseInfo | None:
        if self._draining is False:
            self._draining = meta.draining(self.tx)
        return self._draining  # type: ignore[return-value]

    def exclusion_reason(self, row: ScheduleRow, nominal: Nominal) -> str | None:
        if not row.spec.exclude:
            return None
        try:
            reason = self.excluded(row.spec, nominal.instant, row.timing.zone)
        except VictorError as error:
            return f"a calendar cannot be read: {error.message}"
        return None if reason is None else f"excluded by {reason}"

    def fire(
        self,
        row: ScheduleRow,
        nominal: Nominal,
        late: str | None = None,
        cause: Cause | None = None,
        upcoming: ops.UpcomingFire | None = None,
    ) -> None:
        """Decide one fire. The outcome of a fire that was decided before does not change.

        `upcoming` is the fire as it was computed before it was due.
        """
        self.tx.lock(Root.SCHEDULE, row.id)
        if self.is_decided(row, nominal):
            return
        reason = self._skip_reason(row, nominal)
        if reason is not None:
            self.record(row, nominal, FireOutcome.SKIPPED, reason)
            return
        active = self.batch.active_runs(row.id) if self.batch is not None else active_runs(self.tx, row.id)
        decision = policy.apply_overlap(row.spec, active, late)
        if row.spec.wait_for_previous is not None:
            decision = policy.apply_wait(row.spec, decision, self._previous(row, nominal), late)
        if decision.outcome is FireOutcome.SKIPPED:
            self.record(row, nominal, FireOutcome.SKIPPED, decision.reason)
            self.add_expectations(row, nominal, None)
        elif self._start(row, nominal, decision, cause or Cause(), upcoming):
            self.cancels.extend(decision.cancel)

    def _skip_reason(self, row: ScheduleRow, nominal: Nominal) -> str | None:
        if row.paused is not None:
            return ops.paused_words(row.paused)
        if not row.spec.enabled:
            return "the schedule is disabled"
        if row.exhausted:
            return f"max_runs is {row.spec.max_runs}, and that many runs have started"
        excluded = self.excluded_or_skipped(row, nominal)
        if excluded is not None:
            return excluded
        if self.draining is not None:
            note = f": {self.draining.note}" if self.draining.note else ""
            since = f"{self.draining.at:%Y-%m-%d %H:%M} UTC"
            return f"the engine has been draining since {since}, by {self.draining.by}{note}"
        return None

    def excluded_or_skipped(self, row: ScheduleRow, nominal: Nominal) -> str | None:
        """Return the calendar or the operator's skip that leaves out a fire. A skip applies to one fire."""
        excluded = self.exclusion_reason(row, nominal)
        if excluded is None and row.skips(nominal):
            row.skip_next = False
            return OPERATOR_SKIP
        return excluded

    def is_decided(self, row: ScheduleRow, nominal: Nominal) -> bool:
        in_batch = self.batch is not None and (row.id, nominal.local, nominal.fold) in self.batch.decided
        return in_batch or fires.is_decided(self.tx, row.id, nominal.local, nominal.fold)

    def record(
        self,
        row: ScheduleRow,
        nominal: Nominal,
        outcome: FireOutcome,
        reason: str,
        run_key: int | None = None,
        run_id: str | None = None,
    ) -> None:
        self.left_out = self.left_out or run_key is None
        if self.batch is not None:
            self.batch.record(row, nominal, outcome, reason, run_key, run_id)
        else:
            ops.record_fire(self.tx, row, nominal, outcome, reason, run_key=run_key, run_id=run_id)

    def add_expectations(self, row: ScheduleRow, nominal: Nominal, run_key: int | None) -> None:
        if row.spec.expect is not None and expectation_checks.add(
            self.tx, row, nominal, row.timing.due(nominal), run_key
        ):
            self.has_expectations = True

    def _previous(self, row: ScheduleRow, nominal: Nominal) -> policy.Previous | None:
        """Return the run of the fire before one. Fires of a batch are decided in their order."""
        if self.batch is not None and (run_id := self.batch.newest.get(row.id)) is not None:
            return run_id, RunStatus.QUEUED
        return previous_run(self.tx, row.id, to_us(nominal.instant))

    def _resolve_start(self, row: ScheduleRow) -> Start:
        """Return the version on which a run starts. It is resolved once in a transition, unless it is random."""
        key = row.workflow, row.spec.version
        found = self._starts.get(key)
        if found is None:
            found = self.resolve(self.tx, *key)
            if found.choice is None:
                self._starts[key] = found
        return found

    def _create(
        self, row: ScheduleRow, nominal: Nominal, cause: Cause, upcoming: ops.UpcomingFire | None
    ) -> Created:
        """Create the run of a fire. Raise DefinitionError or InvalidInputError if it cannot start."""
        start = self._resolve_start(row)
        new = NewRun(
            workflow=row.workflow,
            definition_id=start.definition_id,
            start_node=start.node,
            choice=start.choice,
            inputs=start.inputs,
            state={**row.spec.initial_state, **cause.state},
            trigger=cause.trigger,
            schedule_id=row.id,
            nominal_us=to_us(nominal.instant) if cause.nominal_us is None else cause.nominal_us,
            parent_key=cause.parent_key,
            priority=row.spec.priority,
            instant=cause.instant or _instant(row, nominal, upcoming),
        )
        return self.batch.runs.add(new) if self.batch is not None else create_run(self.tx, new)

    def _start(
        self,
        row: ScheduleRow,
        nominal: Nominal,
        decision: policy.OverlapDecision,
        cause: Cause,
        upcoming: ops.UpcomingFire | None,
    ) -> bool:
        try:
            if cause.error is not None:
                raise VictorError(cause.error)
            created = self._create(row, nominal, cause, upcoming)
        except VictorError as error:
            self.record(row, nominal, FireOutcome.SKIPPED, f"cannot start: {error.message}")
            schedules.set_problem(self.tx, row.id, error.message)
            self.add_expectations(row, nominal, None)
            return False
        key, run_id = created.key, created.id
        reason = (
            decision.reason
            if not cause.reason
            else (
                cause.reason
                if decision.outcome is FireOutcome.STARTED
                else f"{cause.reason}; {decision.reason}"
            )
        )
        if moved := row.timing.moved_words(nominal.instant):
            reason = f"{reason}; {moved}"
        self.record(row, nominal, decision.outcome, reason, key, run_id)
        if self.batch is not None:
            self.batch.started(row.id, key, run_id, held=decision.outcome is FireOutcome.QUEUED)
        self.add_expectations(row, nominal, key)
        if row.problem is not None:
            schedules.set_problem(self.tx, row.id, None)
        row.runs_started += 1
        # A queued run starts when the run before it ends.
        if decision.outcome is FireOutcome.STARTED:
            self.created.append((key, row.spec.priority))
        return True


def _instant(row: ScheduleRow, nominal: Nominal, upcoming: ops.UpcomingFire | None) -> dict[str, Any]:
    """Return the instant of the run of a fire, with the interval since the fire before."""
    previous = upcoming.previous if upcoming is not None else row.timing.previous_before(nominal.instant)
    return instant_of_fire(nominal.instant, row.timing.zone, previous, trigger="schedule", schedule=row.id)


class FireBatch:
    """The fires of several schedules that one transition reads and writes together."""

    def __init__(self, tx: Tx, schedule_ids: Sequence[str]) -> None:
        self.tx = tx
        for schedule_id in sorted(schedule_ids):
            tx.lock(Root.SCHEDULE, schedule_id)
        self.runs = RunBatch(tx)
        self.decided: set[tuple[str, str, int]] = set()
        self.newest: dict[str, str] = {}
        """The newest run that each schedule started in this batch, by its id."""
        self._fires: list[Fire] = []
        self._moves: list[tuple[int, int | None, int, int, str]] = []
        self._active = active_runs_of(tx, schedule_ids)
        self.stored: dict[str, Any] = {row[0]: row for row in schedules.some(tx, schedule_ids)}

    def active_runs(self, schedule: str) -> list[ActiveRun]:
        return self._active.get(schedule, [])

    def started(self, schedule: str, key: int, run_id: str, *, held: bool) -> None:
        self.newest[schedule] = run_id
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
        """Record a fire that is known to be undecided; see `stored_schedules.record_fire`."""
        self.decided.add((row.id, nominal.local, nominal.fold))
        self._fires.append(ops.fire_row(self.tx, row, nominal, outcome, reason, run_key, None))
        ops.write_fire_event(self.tx, row, nominal, outcome, reason, run_key=run_key, run_id=run_id)

    def move(self, row: ScheduleRow, cursor: datetime, next_due: int | None) -> None:
        """Set the cursor, the next fire and the counters of a schedule after its fires."""
        self._moves.append((to_us(cursor), next_due, int(row.skip_next), row.runs_started, row.id))

    def mark(self) -> tuple[int, int, int]:
        return len(self.runs), len(self._fires), len(self._moves)

    def rewind(self, mark: tuple[int, int, int], schedule: str) -> None:
        """Remove the rows that one schedule added since `mark`."""
        self.runs.rewind(mark[0])
        del self._fires[mark[1] :], self._moves[mark[2] :]
        self._active.pop(schedule, None)
        self.newest.pop(schedule, None)
        self.decided = {key for key in self.decided if key[0] != schedule}

    def flush(self) -> None:
        self.runs.flush()
        fires.add_all(self.tx, self._fires)
        schedules.move_all(self.tx, self._moves)
