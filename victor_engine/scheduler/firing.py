"""One fire whose time has come: started, queued or skipped, with the reason, in one transition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from victor_engine.api import PauseInfo, ScheduleSpec
from victor_engine.clock import to_us
from victor_engine.errors import VictorError
from victor_engine.scheduler import policy, sla
from victor_engine.scheduler import rows as ops
from victor_engine.scheduler.rows import Resolve, ScheduleRow
from victor_engine.scheduler.timing import Nominal
from victor_engine.store.db import Tx
from victor_engine.store.runs import HELD, NewRun, insert_run

ACTIVE = "('queued', 'running', 'waiting', 'paused', 'cancelling')"

Excluded = Callable[[ScheduleSpec, datetime, ZoneInfo], str | None]
"""Why a calendar of a spec leaves out an instant; None if none does. UsageError if that cannot be known."""


def nothing_excluded(spec: ScheduleSpec, instant: datetime, zone: ZoneInfo) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class Cause:
    """What starts a run other than the clock: the run it comes after, and what it takes over."""

    trigger: str = "schedule"
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
    _draining: PauseInfo | bool | None = False

    @property
    def draining(self) -> PauseInfo | None:
        if self._draining is False:
            self._draining = ops.draining(self.tx)
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
        if ops.is_decided(self.tx, row.id, nominal):
            return
        why_not = self._why_not(row, nominal)
        if why_not is not None:
            ops.record_fire(self.tx, row, nominal, "skipped", why_not)
            return
        place = policy.place(row.spec, active_runs(self.tx, row.id), late)
        if place.outcome == "skipped":
            ops.record_fire(self.tx, row, nominal, "skipped", place.reason)
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
        excluded = self.why_excluded(row, nominal)
        if excluded is not None:
            return excluded
        if row.skip_next:
            row.skip_next = False
            return "an operator had it skipped"
        if self.draining is not None:
            note = f": {self.draining.note}" if self.draining.note else ""
            return f"the engine is draining since {self.draining.at:%Y-%m-%d %H:%M} UTC by {self.draining.by}{note}"
        return None

    def promise(self, row: ScheduleRow, nominal: Nominal, run_key: int | None) -> None:
        if row.spec.expect is not None and sla.promise(
            self.tx, row, nominal, row.timing.due(nominal), run_key
        ):
            self.promised = True

    def _start(self, row: ScheduleRow, nominal: Nominal, place: policy.Place, cause: Cause) -> bool:
        try:
            if cause.fault is not None:
                raise VictorError(cause.fault)
            start = self.resolve(self.tx, row.workflow, row.spec.version)
        except VictorError as error:
            ops.record_fire(self.tx, row, nominal, "skipped", f"cannot start: {error.message}")
            self.tx.execute("UPDATE schedules SET problem = ? WHERE id = ?", (error.message, row.id))
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
        key, run_id = insert_run(self.tx, new)
        reason = (
            place.reason
            if not cause.reason
            else (cause.reason if place.outcome == "started" else f"{cause.reason}; {place.reason}")
        )
        ops.record_fire(self.tx, row, nominal, place.outcome, reason, run_key=key, run_id=run_id)
        self.promise(row, nominal, key)
        if row.problem is not None:
            self.tx.execute("UPDATE schedules SET problem = NULL WHERE id = ?", (row.id,))
        row.runs_started += 1
        # What waits behind another run is taken up when that one has ended.
        if place.outcome == "started":
            self.created.append((key, row.spec.priority))
        return True


def active_runs(source: Any, schedule_id: str) -> list[policy.Active]:
    """The runs of a schedule that have not ended, oldest first; those of a backfill are apart."""
    rows = source.execute(
        f"SELECT r.key, r.id, r.status, {HELD} FROM runs r WHERE r.schedule_id = ? AND r.status IN {ACTIVE}"
        " AND r.trigger <> 'backfill' ORDER BY r.key",
        (schedule_id,),
    )
    return [policy.Active(key, run_id, status, bool(held)) for key, run_id, status, held in rows]
