"""The dependency on all runs of a period: `after: {require: complete, period: day}`.

A period of an upstream workflow is complete when none of its schedules has another fire in it, each fire in it has a
run with an outcome that counts, and there is at least one. Fires that a policy, a calendar or an operator left out do
not count; a missed fire does, until a backfill runs it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from victor_engine.api import After
from victor_engine.clock import from_us
from victor_engine.domain.statuses import FINAL_RUN_STATUSES, FireOutcome, RunStatus, ScheduleStatus
from victor_engine.exclusion import Excluded
from victor_engine.scheduling import stored_schedules as ops
from victor_engine.scheduling.spec_clauses import period_of
from victor_engine.scheduling.stored_schedules import ScheduleRow
from victor_engine.store.queries import schedule_runs
from victor_engine.store.queries.ids import Source
from victor_engine.store.queries.schedule_runs import PeriodFire
from victor_engine.store.repositories import schedules
from victor_engine.text import plural

COUNTS = {
    "success": frozenset({RunStatus.SUCCEEDED}),
    "failure": frozenset({RunStatus.FAILED, RunStatus.REJECTED}),
    "completion": FINAL_RUN_STATUSES,
}
"""The final statuses of an upstream run that count, by the value of `on`."""

DONE = {"success": "succeeded", "failure": "failed", "completion": "ended"}

_WIDTH = {
    "hour": timedelta(days=3),
    "day": timedelta(days=4),
    "week": timedelta(days=11),
    "month": timedelta(days=36),
}
"""More than the length of a period, the differences between time zones, and a day, because dates are compared."""


@dataclass(frozen=True, slots=True)
class Period:
    """A period of a dependency: its kind and name, an instant in it, and the time zone of the dependent schedule."""

    kind: str
    name: str
    instant: datetime
    zone: ZoneInfo

    def contains(self, instant: datetime) -> bool:
        """Return whether an instant belongs to the period."""
        return period_of(self.kind, instant, self.zone) == self.name


@dataclass(frozen=True, slots=True)
class Progress:
    """Whether a period of an upstream workflow is complete, why it is not, and the fires with a run, oldest first."""

    complete: bool
    text: str
    fires: tuple[PeriodFire, ...] = ()


def progress(
    source: Source, after: After, workflow: str, period: Period, excluded: Excluded | None = None
) -> Progress:
    """Return the progress of one upstream workflow in a period."""
    rows = _schedules(source, workflow, excluded)
    if not rows:
        return Progress(False, "has no schedule, so its runs of a period are not known")
    fires = sorted(
        (fire for row in rows for fire in _fires(source, row, period)), key=lambda fire: fire.nominal
    )
    ran = tuple(fire for fire in fires if fire.run_key is not None)
    good = [fire for fire in ran if fire.status in COUNTS[after.on]]
    so_far = f"{len(good)} of {plural(len(ran), 'run')} of {period.name} count"
    for fire in fires:
        if fire.outcome == FireOutcome.MISSED:
            return Progress(
                False, f"{so_far}; the fire of {fire.local} was missed: run it with a backfill", ran
            )
        if fire.run_key is not None and fire not in good:
            return Progress(False, f"{so_far}; run {fire.run_id} of {fire.local} is {fire.status}", ran)
    waits = next((words for row in rows if (words := _pending(source, row, period, excluded))), None)
    if waits is not None:
        return Progress(False, f"{so_far}; waits for {waits}", ran)
    if not ran:
        return Progress(False, f"has no run of {period.name}")
    return Progress(True, f"{plural(len(ran), 'run')} of {period.name} {DONE[after.on]}", ran)


def _schedules(source: Source, workflow: str, excluded: Excluded | None) -> list[ScheduleRow]:
    return [ops.get(source, found, excluded=excluded) for found, _ in schedules.specs_of(source, workflow)]


def _fires(source: Source, row: ScheduleRow, period: Period) -> list[PeriodFire]:
    width = _WIDTH[period.kind]
    if row.spec.after is not None:
        found = schedule_runs.newest_fires(source, row.id)
    else:
        span = ((period.instant + way * width).strftime("%Y-%m-%d") for way in (-1, 1))
        found = schedule_runs.fires_by_wall_time(source, row.id, *span)
    return [fire for fire in found if period.contains(from_us(fire.nominal))]


def _pending(source: Source, row: ScheduleRow, period: Period, excluded: Excluded | None) -> str | None:
    """Return the fire of a period that is still to come, in words; None if there is none."""
    if row.spec.after is not None:
        for name in row.spec.after.workflows:
            for upstream in _schedules(source, name, excluded):
                if (words := _pending(source, upstream, period, excluded)) is not None:
                    return words
                for fire in _fires(source, upstream, period):
                    if fire.run_key is not None and fire.status not in FINAL_RUN_STATUSES:
                        return f"run {fire.run_id} of {name}"
        return None
    if row.exhausted or row.status not in (ScheduleStatus.ACTIVE, ScheduleStatus.PAUSED):
        return None
    following = row.timing.next_after(row.cursor)
    if following is None or (following.instant > period.instant and not period.contains(following.instant)):
        return None
    return f"the fire of {following.local.replace('T', ' ')} of {row.workflow}"
