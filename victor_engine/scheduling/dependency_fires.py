"""The fires of schedules that depend on other workflows (`after`).

The dependent schedule fires in the transition in which the upstream run ends. A crash therefore neither loses nor
repeats a fire.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from victor_engine import jsonio
from victor_engine.api import After, ScheduleSpec, UpstreamState
from victor_engine.clock import from_us
from victor_engine.definition.outputs import result_of
from victor_engine.exclusion import Excluded, nothing_excluded
from victor_engine.run_instant import instant_in, instant_of_fire
from victor_engine.scheduling import complete_periods
from victor_engine.scheduling import stored_schedules as ops
from victor_engine.scheduling.complete_periods import COUNTS, DONE, Period, Progress
from victor_engine.scheduling.describe import elapsed, listed
from victor_engine.scheduling.fires import Cause, Firing
from victor_engine.scheduling.spec_clauses import period_of
from victor_engine.scheduling.stored_schedules import ScheduleRow
from victor_engine.scheduling.timezones import get_zone
from victor_engine.scheduling.timing import Nominal
from victor_engine.store.db import Tx
from victor_engine.store.locks import Root
from victor_engine.store.queries import schedule_runs
from victor_engine.store.queries.definitions import outputs_of
from victor_engine.store.queries.ids import Source
from victor_engine.store.queries.schedule_runs import Ended
from victor_engine.store.repositories import dependencies, schedules
from victor_engine.store.repositories.dependencies import Arrival
from victor_engine.store.state import given_state, run_state
from victor_engine.text import plural

KEPT_PERIODS = 500
"""The maximum number of incomplete periods of one schedule. Older periods are dropped."""


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
        if after.require == "complete":
            _fire_if_complete(firing, row, after, period, nominal)
            dependencies.keep_newest(tx, row.id, KEPT_PERIODS)
            continue
        arrived = _arrived(tx, row, after, period)
        if after.require == "any" or len(arrived) == len(after.workflows):
            _fire(firing, row, after, period, arrived, ended.id)
        elif period:
            dependencies.keep_newest(tx, row.id, KEPT_PERIODS)


def _progress(
    source: Source, after: After, found: Period, excluded: Excluded | None = None
) -> dict[str, Progress]:
    return {name: complete_periods.progress(source, after, name, found, excluded) for name in after.workflows}


def _fire_if_complete(firing: Firing, row: ScheduleRow, after: After, period: str, nominal: datetime) -> None:
    """Fire a schedule with `require: complete` if the period of each upstream workflow is complete."""
    assert after.period is not None
    found = _progress(firing.tx, after, Period(after.period, period, nominal, row.timing.zone))
    if not all(each.complete for each in found.values()):
        return
    newest = {name: each.fires[-1] for name, each in found.items()}
    arrived = {
        name: (fire.run_key, str(fire.status), fire.ended_at or 0)
        for name, fire in newest.items()
        if fire.run_key is not None
    }
    words = listed([f"{plural(len(each.fires), 'run')} of {name}" for name, each in found.items()])
    words = f"{words} {DONE[after.on]}"
    first = min((fire for each in found.values() for fire in each.fires), key=lambda fire: fire.nominal)
    last = max(newest.values(), key=lambda fire: fire.nominal)
    begin = instant_in(jsonio.loads(given_state(firing.tx.connection, first.run_key or 0))).get(
        "interval_start"
    )
    _fire(firing, row, after, period, arrived, str(last.run_id), words, begin)


def fire_complete(firing: Firing, schedule_ids: Sequence[str]) -> None:
    """Fire the schedules with `require: complete` whose periods became complete without the end of a run."""
    for schedule_id in sorted(schedule_ids):
        firing.tx.lock(Root.SCHEDULE, schedule_id)
        row = ops.find(firing.tx, schedule_id)
        if row is None or row.removed or row.spec.after is None or not _in_force(row, firing.tx.now):
            continue
        for period, run_key in dependencies.open_periods(firing.tx, schedule_id):
            nominal = from_us(schedule_runs.ended(firing.tx, run_key).nominal)
            _fire_if_complete(firing, row, row.spec.after, period, nominal)


def complete_now(source: sqlite3.Connection, excluded: Excluded) -> list[str]:
    """Return the schedules with `require: complete` that have a complete period and have not fired for it."""
    found = []
    for schedule_id in schedules.completing(source):
        row = ops.get(source, schedule_id, excluded=excluded)
        after = row.spec.after
        for period, run_key in dependencies.open_periods(source, schedule_id):
            if after is None or after.period is None:
                continue
            nominal = from_us(schedule_runs.ended(source, run_key).nominal)
            span = Period(after.period, period, nominal, row.timing.zone)
            if span.name == period_of(after.period, nominal, row.timing.zone) and all(
                each.complete for each in _progress(source, after, span, excluded).values()
            ):
                found.append(schedule_id)
                break
    return found


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
    words: str = "",
    begin: str | None = None,
) -> None:
    """Fire a schedule. `arrived` has the newest run of each upstream workflow: key, status, end.

    `begin` is the start of the data interval, if it is not that of the newest run.
    """
    tx = firing.tx
    dependencies.forget(tx, row.id, period)
    runs = {name: schedule_runs.ended(tx, key) for name, (key, _, _) in arrived.items()}
    words = words or listed(
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
        instant={
            **_instant(tx, row, {arrived[name][0]: run.nominal for name, run in runs.items()}, period),
            **({"interval_start": begin} if begin is not None else {}),
        },
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
    """Return the keys that `take` reads from the results of the upstream runs, and an error if one is missing.

    The result of a run is its declared outputs, or else its final state.
    """
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
                ended = runs[name]
                result = result_of(outputs_of(tx.connection, ended), run_state(tx.connection, ended))
                states[name] = dict(result)
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
    source: sqlite3.Connection,
    schedule_id: str,
    spec: ScheduleSpec,
    now: datetime,
    excluded: Excluded = nothing_excluded,
) -> list[UpstreamState]:
    """Return the state of each upstream workflow in the newest period since the last fire of a schedule."""
    after = spec.after
    if after is None:
        return []
    newest = dependencies.newest_period(source, schedule_id)
    seen = schedule_runs.arrivals(source, schedule_id, newest or "")
    if after.require == "complete":
        return _complete_states(source, schedule_id, after, get_zone(spec.timezone), now, excluded)
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


def _complete_states(
    source: sqlite3.Connection,
    schedule_id: str,
    after: After,
    zone: ZoneInfo,
    now: datetime,
    excluded: Excluded,
) -> list[UpstreamState]:
    """Return the state of each upstream workflow in the newest period with an ended run, or in the present one."""
    assert after.period is not None
    periods = dict(dependencies.open_periods(source, schedule_id))
    newest = dependencies.newest_period(source, schedule_id)
    instant = now if newest is None else from_us(schedule_runs.ended(source, periods[newest]).nominal)
    found = _progress(
        source, after, Period(after.period, period_of(after.period, instant, zone), instant, zone), excluded
    )
    states = []
    for name, each in found.items():
        last = each.fires[-1] if each.fires else None
        at = from_us(last.ended_at) if last is not None and last.ended_at is not None else None
        states.append(
            UpstreamState(name, each.complete, each.text, last.run_id if last is not None else None, at)
        )
    return states
