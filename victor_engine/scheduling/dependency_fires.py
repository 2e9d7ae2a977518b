"""The fires of schedules that depend on other workflows (`after`).

The dependent schedule fires in the transition in which the upstream run ends. A crash therefore neither loses nor
repeats a fire.
"""

from __future__ import annotations

import sqlite3
from datetime import datetime
from typing import Any

from victor_engine import jsonio
from victor_engine.api import After, ScheduleSpec, UpstreamState
from victor_engine.clock import from_us
from victor_engine.domain.statuses import FINAL_RUN_STATUSES, RunStatus
from victor_engine.run_instant import instant_in, instant_of_fire
from victor_engine.scheduling import stored_schedules as ops
from victor_engine.scheduling.describe import elapsed, listed
from victor_engine.scheduling.fires import Cause, Firing
from victor_engine.scheduling.spec_clauses import period_of
from victor_engine.scheduling.stored_schedules import ScheduleRow
from victor_engine.scheduling.timing import Nominal
from victor_engine.store.db import Tx
from victor_engine.store.queries import schedule_runs
from victor_engine.store.queries.schedule_runs import Ended
from victor_engine.store.repositories import dependencies, schedules
from victor_engine.store.repositories.dependencies import Arrival
from victor_engine.store.state import given_state, run_state

KEPT_PERIODS = 500
"""The most incomplete periods of one schedule. Older periods are dropped."""

COUNTS = {
    "success": frozenset({RunStatus.SUCCEEDED}),
    "failure": frozenset({RunStatus.FAILED, RunStatus.REJECTED}),
    "completion": FINAL_RUN_STATUSES,
}
"""The final statuses of an upstream run that count, by the value of `on`."""


def run_ended(firing: Firing, run_key: int, ended: Ended, status: str) -> None:
    """Fire the schedules that depend on the workflow of a run, which has ended as `status`."""
    tx = firing.tx
    rows = schedules.following(tx, ended.workflow)
    if not rows:
        return
    nominal = from_us(ended.nominal)
    for stored in rows:
        row = ops.decode_row(stored, tx.excluded)
        after = row.spec.after
        if after is None or status not in COUNTS[after.on]:
            continue
        if not _in_force(row, tx.now):
            continue
        period = period_of(after.period, nominal, row.timing.zone)
        arrival = Arrival(ended.workflow, run_key, status, tx.now_us)
        dependencies.arrive(tx, row.id, period, arrival)
        arrived = _arrived(tx, row, after, period)
        if after.require == "any" or len(arrived) == len(after.workflows):
            _fire(firing, row, after, period, arrived, ended.id)
        elif period:
            dependencies.keep_newest(tx, row.id, KEPT_PERIODS)


def _in_force(row: ScheduleRow, now: datetime) -> bool:
    spec = row.spec
    return (spec.start_date is None or now >= spec.start_date) and (
        spec.end_date is None or now <= spec.end_date
    )


def _arrived(tx: Tx, row: ScheduleRow, after: After, period: str) -> dict[str, tuple[int, str, int]]:
    """Return the upstream runs that count, by workflow: run key, status, end. `within` drops runs that are too old."""
    found = {
        arrival.workflow: (arrival.run_key, arrival.status, arrival.ended_at)
        for arrival in dependencies.arrived(tx, row.id, period)
        if arrival.workflow in after.workflows
    }
    if after.within is not None and found:
        oldest = max(ended for _, _, ended in found.values()) - int(after.within * 1_000_000)
        found = {name: item for name, item in found.items() if item[2] >= oldest}
    return found


def _fire(
    firing: Firing,
    row: ScheduleRow,
    after: After,
    period: str,
    arrived: dict[str, tuple[int, str, int]],
    last_run: str,
) -> None:
    tx = firing.tx
    dependencies.forget(tx, row.id, period)
    runs = {name: schedule_runs.ended(tx, key) for name, (key, _, _) in arrived.items()}
    words = listed(
        [f"{name} {arrived[name][1]} (run {runs[name].id})" for name in after.workflows if name in runs]
    )
    state, error = taken_state(tx, after, {name: key for name, (key, _, _) in arrived.items()})
    latest = max(arrived.values(), key=lambda item: item[2])
    nominal = max(run.nominal for run in runs.values())
    cause = Cause(
        trigger="upstream",
        reason=f"after {words}" + (f" for {period}" if period else ""),
        state=state,
        parent_key=latest[0],
        nominal_us=nominal,
        instant=_instant(tx, row, {arrived[name][0]: run.nominal for name, run in runs.items()}, period),
        error=error,
    )
    firing.fire(row, Nominal(tx.now, period or f"run:{last_run}", 0), None, cause)
    schedules.fired(tx, row.id, skip_next=row.skip_next, runs_started=row.runs_started)


def _instant(tx: Tx, row: ScheduleRow, nominals: dict[int, int], period: str) -> dict[str, Any]:
    """Return the instant of the newest upstream run, and the period. `nominals` are microseconds by run key."""
    newest = max(nominals, key=lambda key: nominals[key])
    found = instant_in(jsonio.loads(given_state(tx.connection, newest)))
    if not found:
        at = from_us(nominals[newest])
        found = instant_of_fire(at, row.timing.zone, None, trigger="upstream", schedule=row.id)
    return {**found, "period": period} if period else found


def taken_state(tx: Tx, after: After, runs: dict[str, int]) -> tuple[dict[str, Any], str | None]:
    """Return the keys that `take` reads from the final states of the upstream runs, and an error if one is missing."""
    states: dict[str, dict[str, Any]] = {}
    found: dict[str, Any] = {}
    for target, source in after.take.items():
        optional, path = source.endswith("?"), source.rstrip("?")
        first, _, rest = path.partition(".")
        names = (
            [first]
            if first in after.workflows and rest
            else [name for name in after.workflows if name in runs]
        )
        inside = rest if first in after.workflows and rest else path
        missing = True
        for name in names:
            if name not in runs:
                continue
            if name not in states:
                states[name] = run_state(tx.connection, runs[name])
            value, there = _dig(states[name], inside)
            if there:
                found[target] = value
                missing = False
        if missing and not optional:
            return (
                {},
                f"{listed(names)} ended without the key {inside!r} that after.take reads; write {source}? to allow that",
            )
    return found, None


def _dig(state: Any, path: str) -> tuple[Any, bool]:
    for part in path.split("."):
        if not isinstance(state, dict) or part not in state:
            return None, False
        state = state[part]
    return state, True


# --- the upstream state --------------------------------------------------------------------------


def upstream_states(
    source: sqlite3.Connection, schedule_id: str, spec: ScheduleSpec, now: datetime
) -> list[UpstreamState]:
    """Return the state of each upstream workflow in the newest period since the last fire of a schedule."""
    after = spec.after
    if after is None:
        return []
    newest = dependencies.newest_period(source, schedule_id)
    seen = schedule_runs.arrivals(source, schedule_id, newest or "")
    want = {"success": "success", "failure": "failure", "completion": "end"}[after.on]
    found = []
    for name in after.workflows:
        if name in seen:
            run_id, status, ended = seen[name]
            ago = elapsed((now - from_us(ended)).total_seconds())
            period = f" for {newest}" if newest else ""
            found.append(UpstreamState(name, True, f"{status} {ago} ago{period}", run_id, from_us(ended)))
        else:
            found.append(UpstreamState(name, False, f"waits for its next {want}"))
    return found
