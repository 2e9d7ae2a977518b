"""The agenda: past and planned fires of all schedules, counted in spans, for a timeline or a calendar."""

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from victor_engine.api import Agenda, AgendaLane
from victor_engine.clock import to_us
from victor_engine.errors import UsageError, VictorError
from victor_engine.exclusion import Excluded
from victor_engine.scheduling import stored_schedules as ops
from victor_engine.scheduling.stored_schedules import ScheduleRow
from victor_engine.store.queries.schedule_runs import fires_between, typical_seconds
from victor_engine.store.repositories import schedules

MAX_EDGES = 1000
"""The maximum number of edges of one agenda."""

MAX_CHECKED = 5000
"""The maximum number of fires of one schedule that are compared with its calendars; above
it, no fire counts as excluded."""

MAX_PAST = 100_000
"""The maximum number of past fires, newest first."""


def agenda(
    source: sqlite3.Connection,
    edges: Sequence[datetime],
    now: datetime,
    excluded: Excluded,
    schedule_id: str | None = None,
    limit: int = 200,
) -> Agenda:
    """Return the past and planned fires between consecutive `edges`. Lanes are sorted by their next fire."""
    if len(edges) < 2 or len(edges) > MAX_EDGES or any(b <= a for a, b in pairwise(edges)):
        raise UsageError(f"an agenda needs from 2 to {MAX_EDGES} edges, each later than the one before")
    if schedule_id is not None:
        found, more = [ops.get(source, schedule_id, excluded=excluded)], 0
    else:
        stored, total = schedules.soonest(source, max(0, limit))
        found = [ops.decode_row(row, excluded) for row in stored]
        more = total - len(found)
    past = _past(source, edges, now, schedule_id and found[0].id)
    lanes = []
    typical: dict[str, float | None] = {}
    for row in found:
        planned, left_out = _planned(row, edges, now, excluded)
        if row.workflow not in typical:
            typical[row.workflow] = typical_seconds(source, row.workflow)
        lanes.append(
            AgendaLane(
                schedule_id=row.id,
                workflow=row.workflow,
                planned=tuple(planned),
                excluded=tuple(left_out),
                past=tuple(dict(counter) for counter in past.get(row.id, [Counter()] * (len(edges) - 1))),
                typical_seconds=typical[row.workflow],
                paused=row.paused is not None or not row.spec.enabled,
            )
        )
    return Agenda(edges=tuple(edges), lanes=tuple(lanes), more=more)


def _planned(
    row: ScheduleRow, edges: Sequence[datetime], now: datetime, excluded: Excluded
) -> tuple[list[int], list[int]]:
    spans = len(edges) - 1
    planned, left_out = [0] * spans, [0] * spans
    begin = now
    if not row.spec.enabled or row.exhausted or row.spec.after is not None:
        return planned, left_out
    if row.paused is not None:
        if row.paused.until is None:
            return planned, left_out
        begin = max(begin, row.paused.until)
    timing = row.timing
    if row.spec.on_excluded != "skip":
        return _planned_moves(row, edges, begin, excluded)
    # A span includes its first instant and excludes its last.
    tick = timedelta(microseconds=1)
    for index, (start, end) in enumerate(pairwise(edges)):
        if end > begin:
            planned[index] = timing.count(max(start - tick, begin), end - tick)
    if row.spec.exclude and sum(planned) <= MAX_CHECKED:
        at = max(edges[0] - tick, begin)
        while (nominal := timing.next_after(at)) is not None and nominal.instant < edges[-1]:
            at = nominal.instant
            try:
                reason = excluded(row.spec, at, timing.zone)
            except VictorError:
                reason = "unknown"
            if reason is not None:
                index = bisect_right(edges, at) - 1
                planned[index] -= 1
                left_out[index] += 1
    return planned, left_out


def _planned_moves(
    row: ScheduleRow, edges: Sequence[datetime], begin: datetime, excluded: Excluded
) -> tuple[list[int], list[int]]:
    """Return the numbers of a schedule whose excluded fires move. One that cannot move is left out."""
    planned, left_out = [0] * (len(edges) - 1), [0] * (len(edges) - 1)
    for at in row.timing.instants(max(edges[0] - timedelta(microseconds=1), begin)):
        if at >= edges[-1]:
            break
        index = bisect_right(edges, at) - 1
        try:
            free = excluded(row.spec, at, row.timing.zone) is None
        except VictorError:
            free = False
        (planned if free else left_out)[index] += 1
    return planned, left_out


def _past(
    source: sqlite3.Connection, edges: Sequence[datetime], now: datetime, schedule_id: str | None
) -> dict[str, list[Counter[str]]]:
    first, last = to_us(edges[0]), to_us(edges[-1])
    found: dict[str, list[Counter[str]]] = {}
    if edges[0] > now:
        return found
    marks = [to_us(edge) for edge in edges]
    for schedule, nominal, status in fires_between(source, first, last, schedule_id, MAX_PAST):
        lane = found.get(schedule)
        if lane is None:
            lane = found[schedule] = [Counter() for _ in range(len(edges) - 1)]
        lane[bisect_right(marks, nominal) - 1][status] += 1
    return found
