"""Schedules for display: the stored rows, completed by their times, calendars and dependencies."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import takewhile

import msgspec

from victor_engine.api import (
    BackfillInfo,
    CalendarInfo,
    CalendarSpan,
    ClockChange,
    MovedFire,
    ScheduleInfo,
    SchedulePreview,
    ScheduleSpec,
)
from victor_engine.api import Excluded as ExcludedFire
from victor_engine.clock import from_us
from victor_engine.errors import VictorError
from victor_engine.exclusion import Excluded
from victor_engine.scheduling import dependency_fires, dependency_graph, plan_fingerprints
from victor_engine.scheduling import stored_schedules as ops
from victor_engine.scheduling.calendars.workspace_calendars import Calendars
from victor_engine.scheduling.declarations import describe_changes
from victor_engine.scheduling.declarations import schedule_id as spec_id
from victor_engine.scheduling.timezones import get_zone, zone_table
from victor_engine.scheduling.timing import Timing
from victor_engine.store.queries import backfills

_YEAR = timedelta(days=366)

MAX_PREVIEW = 1000
"""Fires of one preview."""


def complete(
    source: sqlite3.Connection, found: list[ScheduleInfo], now: datetime, excluded: Excluded
) -> list[ScheduleInfo]:
    """Add the upstream states, the unfinished backfill, and the calendar that excludes or moves the next fire."""
    if not found:
        return found
    wanted = found[0].id if len(found) == 1 else None
    unfinished = {
        info.spec.schedule_id: info for info in backfills.infos(source, wanted, 1000, unfinished=True)
    }
    return [_complete(source, info, now, excluded, unfinished) for info in found]


def _complete(
    source: sqlite3.Connection,
    info: ScheduleInfo,
    now: datetime,
    excluded: Excluded,
    unfinished: Mapping[str, BackfillInfo],
) -> ScheduleInfo:
    changes: dict[str, object] = {}
    if info.id in unfinished:
        changes["backfill"] = unfinished[info.id]
    if info.spec.after is not None:
        changes["upstream"] = tuple(
            dependency_fires.upstream_states(source, info.id, info.spec, now, excluded)
        )
    next_fire = info.next_fire
    if info.paused is not None:
        changes["next_fire"] = next_fire = _after_pause(source, info, excluded)
    elif info.spec.on_excluded != "skip" and next_fire is not None:
        # The calendars can have changed since the next fire was stored.
        row = ops.get(source, info.id, excluded=excluded)
        due = ops.first_open(source, row, row.cursor)
        changes["next_fire"] = next_fire = None if due is None else from_us(due)
    if info.spec.on_excluded != "skip" and next_fire is not None:
        timing = ops.get(source, info.id, excluded=excluded).timing
        changes["next_moved"] = next(iter(_moved(timing, [next_fire])), None)
    if info.spec.exclude and next_fire is not None:
        reason = exclusion_reason(info.spec, next_fire, excluded)
        if reason is not None:
            changes["next_excluded"] = reason
    return msgspec.structs.replace(info, **changes) if changes else info


def _after_pause(source: sqlite3.Connection, info: ScheduleInfo, excluded: Excluded) -> datetime | None:
    """Return the first fire after the end of a pause; None if the pause has no end."""
    until = info.paused.until if info.paused is not None else None
    if until is None or not info.spec.enabled:
        return None
    due = ops.first_fire(ops.get(source, info.id, excluded=excluded).timing, until)
    return None if due is None else from_us(due)


def exclusion_reason(spec: ScheduleSpec, instant: datetime, excluded: Excluded) -> str | None:
    """Return the calendar that excludes an instant, or its error; None if no calendar does."""
    try:
        return excluded(spec, instant, get_zone(spec.timezone))
    except VictorError as error:
        return f"a calendar that cannot be read: {error.message}"


def preview(
    source: sqlite3.Connection,
    spec: ScheduleSpec,
    count: int,
    after: datetime,
    schedule: str | None,
    excluded: Excluded,
    resolve: Callable[[sqlite3.Connection, str, str | None], str | None],
    refused: Callable[[sqlite3.Connection, ScheduleSpec], str | None],
    now: datetime,
) -> SchedulePreview:
    """Return the preview of a spec. With the id of a schedule, it is an edit: `H`, jitter and anchor depend on the id.

    `resolve` returns the version that a schedule starts, `refused` why no run can start on it with its state.
    """
    try:
        known = ops.get(source, schedule) if schedule is not None else None
        shown_id = known.id if known is not None else spec_id(spec)
        timing = Timing(spec, shown_id, known.created_at if known is not None else after, excluded)
        dependency_graph.check(source, shown_id, spec)
        fires = tuple(timing.upcoming(max(0, min(count, MAX_PREVIEW)), after))
    except VictorError as error:
        return SchedulePreview(summary="", problem=error.message)
    left_out = []
    try:
        for instant in fires if spec.exclude else ():
            reason = excluded(spec, instant, timing.zone)
            if reason is not None:
                left_out.append(ExcludedFire(instant, reason))
    except VictorError as error:
        return SchedulePreview(summary="", problem=f"exclude: {error.message}")
    problem = None
    if spec.workflow and known is None:  # an edit is refused with the error of the version
        problem = refused(source, spec)
    if not fires and spec.after is None:
        problem = "the schedule would never fire: its time or its end_date has passed"
    elif known is not None and ops.uses_up_runs(known, spec):
        problem = ops.used_up_words(known, spec)
    changes: tuple[str, ...] = ()
    token = ""
    if known is not None and problem is None:
        changes = tuple(describe_changes(known.spec, spec))
        version = resolve(source, spec.workflow, spec.version)
        token = plan_fingerprints.edit_plan(
            known.id, known.spec, spec, version, "; ".join(changes), now
        ).token()
    change = _clock_change(timing, fires) if fires else None
    around = (change.before, change.after) if change is not None else ()
    return SchedulePreview(
        summary=timing.summary,
        fires=fires,
        excluded=tuple(left_out),
        moved=_moved(timing, [*fires, *(fire for fire in around if fire is not None)]),
        problem=problem,
        clock_change=change,
        changes=changes,
        plan=token,
    )


def _moved(timing: Timing, fires: Sequence[datetime]) -> tuple[MovedFire, ...]:
    """Return those of the fires that moved, one for each origin."""
    return tuple(
        MovedFire(move.instant, move.origin, move.reason)
        for fire in fires
        for move in timing.moves(fire - timedelta(microseconds=1), fire)
        if move.instant == fire
    )


def _clock_change(timing: Timing, fires: Sequence[datetime]) -> ClockChange | None:
    """Return the next change of the clocks after `fires`, with the fires around it."""
    last = fires[-1]
    zone = zone_table(timing.spec.timezone)
    change = zone.next_change(int(last.timestamp()), int((last + _YEAR).timestamp()))
    following = None if change is None else timing.next_after(from_us(change[0] * 1_000_000 - 1))
    if change is None or following is None:
        return None
    at = from_us(change[0] * 1_000_000)
    if following.instant.astimezone(zone.info).utcoffset() == last.astimezone(zone.info).utcoffset():
        return None  # the schedule fires so rarely that the clocks have changed back by then
    span, before = timedelta(hours=1), None
    while at - span > last:
        # The span grows until it contains fires, so that few fires of a frequent schedule are listed.
        found = list(takewhile(lambda instant: instant < at, timing.instants(at - span)))
        if found:
            before = found[-1]
            break
        span *= 4
    return ClockChange(at=at, before=before, after=following.instant)


def calendars(source: sqlite3.Connection, known: Calendars, now: datetime) -> list[CalendarInfo]:
    """Return the calendars that are declared or used, with their next spans and their schedules."""
    used: dict[str, list[str]] = {name: [] for name in known.names()}
    for row in ops.all_rows(source):
        for name in row.spec.exclude:
            used.setdefault(name, []).append(row.id)
    found = []
    for name, schedules in used.items():
        try:
            calendar = known.get(name)
            spans = calendar.spans(now, now + timedelta(days=400), get_zone("UTC"))
        except VictorError as error:
            found.append(CalendarInfo(name=name, problem=error.message, used_by=tuple(schedules)))
            continue
        upcoming = tuple(CalendarSpan(span.start, span.end, span.name) for span in list(spans)[:10])
        found.append(CalendarInfo(name, calendar.path, None, upcoming, tuple(schedules)))
    return found
