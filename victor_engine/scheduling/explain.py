"""Explanations of why a schedule fired or did not: the recorded outcome, or its times, calendars and pauses."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from victor_engine import jsonio
from victor_engine.api import ExplainLine, Explanation, FireInfo
from victor_engine.clock import from_us, to_us
from victor_engine.domain.statuses import FINAL_RUN_STATUSES, FireOutcome, RunStatus
from victor_engine.errors import VictorError
from victor_engine.events import EventKind
from victor_engine.exclusion import Excluded
from victor_engine.scheduling import dependency_fires, downtime, policy
from victor_engine.scheduling import stored_schedules as ops
from victor_engine.scheduling.describe import elapsed
from victor_engine.scheduling.stored_schedules import ScheduleRow
from victor_engine.scheduling.timezones import CALENDAR_CHANGE
from victor_engine.scheduling.timing import Nominal, Timing
from victor_engine.store.db import actor_from_json
from victor_engine.store.queries.events import newest_of_schedule
from victor_engine.store.queries.schedule_runs import (
    active_runs,
    breaches_of,
    error_by_id,
    fire_ids,
    long_absence,
    previous_of_run,
)
from victor_engine.store.queries.schedules import fires as fires_of
from victor_engine.store.repositories import meta
from victor_engine.text import plural

MAX_FIRES = 50
"""The maximum number of fires that one explanation covers."""

UNSUCCESSFUL = FINAL_RUN_STATUSES - {RunStatus.SUCCEEDED}
"""The final statuses of runs that did not succeed."""

MAX_CHANGES = 10
"""The maximum number of changes of the schedule that one explanation lists."""


@dataclass(slots=True)
class _Answer:
    source: sqlite3.Connection
    row: ScheduleRow
    now: datetime
    excluded: Excluded
    engine_runs: bool
    untrusted: str
    lines: list[ExplainLine] = field(default_factory=list)

    def add(self, text: str, tone: str = "plain", at: datetime | None = None) -> None:
        self.lines.append(ExplainLine(text, at, tone))

    def wall(self, instant: datetime) -> str:
        """Return an instant as wall time in the zone of the schedule."""
        local = instant.astimezone(self.row.timing.zone)
        return f"{local:%a %Y-%m-%d %H:%M}{local:%z} {self.row.spec.timezone}"

    def excluded_by(self, instant: datetime) -> str | None:
        try:
            return self.excluded(self.row.spec, instant, self.row.timing.zone)
        except VictorError as error:
            return f"a calendar that cannot be read: {error.message}"


def explain(
    source: sqlite3.Connection,
    schedule: str,
    now: datetime,
    *,
    at: datetime | None = None,
    until: datetime | None = None,
    excluded: Excluded,
    engine_runs: bool = True,
    untrusted: str = "",
) -> Explanation:
    """Explain the minute `at`, the span from `at` to `until`, or, without `at`, the present state of a schedule.

    `engine_runs` is true if an engine runs, and `untrusted` says why the workspace is not trusted. The function writes
    nothing.
    """
    row = ops.get(source, schedule, removed=True, excluded=excluded)
    answer = _Answer(source, row, now, excluded, engine_runs, untrusted)
    if untrusted:
        answer.add(f"the workspace is not trusted: {untrusted}. No schedule fires until it is trusted", "bad")
    if at is None:
        headline = _present(answer)
        fires = tuple(fires_of(source, row.id, 5))
    else:
        start = at if until is not None else at.replace(second=0, microsecond=0)
        headline, fires = _span(answer, at, start, until or start + timedelta(minutes=1))
    return Explanation(row.id, row.workflow, headline, tuple(answer.lines), fires)


# --- the present state -----------------------------------------------------------------------------


def _present(answer: _Answer) -> str:
    row, now = answer.row, answer.now
    headline = _headline(answer)
    if not answer.engine_runs:
        answer.add("no engine runs on this state directory; schedules fire only while an engine runs", "bad")
    if row.problem:
        answer.add(f"the last fire could not start a run: {row.problem}", "bad")
    for run in active_runs(answer.source, row.id):
        words = "is queued behind another run of this schedule" if run.held else f"is {run.status}"
        if run.held:
            waits = policy.wait_words(row.spec, previous_of_run(answer.source, run.key))
            words = f"is queued: it {waits}" if waits is not None else words
        answer.add(f"run {run.run_id} {words}; overlap is {row.spec.overlap.replace('_', ' ')}")
    if row.failures:
        limit = row.spec.pause_after_failures
        more = f"; the schedule pauses after {limit}" if limit is not None else ""
        answer.add(f"{row.failures} failed runs in a row{more}", "warn")
    for state in dependency_fires.upstream_states(answer.source, row.id, row.spec, now, answer.excluded):
        answer.add(f"{state.workflow}: {state.text}", "good" if state.met else "warn", state.at)
    recent = fires_of(answer.source, row.id, 5)
    if not recent:
        answer.add(f"it has not fired since it was added on {row.created_at:%Y-%m-%d %H:%M} UTC")
    for fire in recent:
        _add_fire(answer, fire)
    for gap in downtime.downtimes(answer.source, now - timedelta(days=2), now):
        answer.add(str(gap), "warn", gap.start)
    _add_changes(answer, now - timedelta(days=7))
    return headline


def _headline(answer: _Answer) -> str:
    row, now = answer.row, answer.now
    if row.vanished is not None:
        return f"it is disabled: {row.vanished}"
    if row.removed:
        return "it was removed and no longer fires"
    if row.paused is not None and (row.paused.until is None or row.paused.until > now):
        until = f" until {answer.wall(row.paused.until)}" if row.paused.until is not None else ""
        return f"it is {ops.paused_words(row.paused)}{until}"
    if not row.spec.enabled:
        return "it is disabled (enabled: false)"
    if row.exhausted:
        return f"it has started {plural(row.runs_started, 'run')} and reached max_runs ({row.spec.max_runs})"
    drained = meta.draining(answer.source)
    if drained is not None:
        note = f" ({drained.note})" if drained.note else ""
        since = f"{drained.at:%Y-%m-%d %H:%M} UTC"
        return f"the engine has been draining since {since}, by {drained.by}{note}; no runs start"
    if row.spec.after is not None:
        waiting = [
            s
            for s in dependency_fires.upstream_states(answer.source, row.id, row.spec, now, answer.excluded)
            if not s.met
        ]
        names = ", ".join(s.workflow for s in waiting) or "the next period, because this one is complete"
        return f"it depends on other workflows and waits for {names}"
    nominal = row.timing.next_after(max(row.cursor, now))
    if nominal is None:
        return "it has no further fires: its last instant or its end_date has passed"
    if answer.untrusted:
        return f"it does not fire, because the workspace is not trusted; its next time is {answer.wall(nominal.instant)}"
    alone = "" if answer.engine_runs else ", if an engine runs then"
    return f"it fires next at {answer.wall(nominal.instant)}{_exception(answer, nominal)}{alone}"


def _exception(answer: _Answer, nominal: Nominal) -> str:
    reason = answer.excluded_by(nominal.instant) if answer.row.spec.exclude else None
    if reason is not None:
        return f", but that fire will be excluded by {reason}"
    if answer.row.skips(nominal):
        return ", but that fire will be skipped: an operator skipped the next fire"
    moved = answer.row.timing.moved_words(nominal.instant)
    return f", in {elapsed((nominal.instant - answer.now).total_seconds())}{f'; {moved}' if moved else ''}"


# --- one instant or span ---------------------------------------------------------------------------


def _span(answer: _Answer, at: datetime, start: datetime, end: datetime) -> tuple[str, tuple[FireInfo, ...]]:
    found = tuple(_fires_between(answer, start, end))
    for fire in found:
        _add_fire(answer, fire)
    for gap in downtime.downtimes(answer.source, start, end):
        answer.add(str(gap), "warn", gap.start)
    moved = _add_moves(answer, start, end)
    if found:
        _add_changes(answer, start, end + timedelta(days=1))
        if len(found) == 1:
            return _fire_words(found[0]), found
        kinds: dict[str, int] = {}
        for fire in found:
            kinds[_outcome(fire)] = kinds.get(_outcome(fire), 0) + 1
        counts = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        return f"{plural(len(found), 'fire')}: {counts}", found
    headline = _not_recorded(answer, at, start, end, moved)
    answer.lines = [line for line in answer.lines if line.text != headline]
    _add_changes(answer, start, None)
    return headline, found


def _fires_between(answer: _Answer, start: datetime, end: datetime) -> list[FireInfo]:
    ids = fire_ids(answer.source, answer.row.id, to_us(start), to_us(end), MAX_FIRES)
    return fires_of(answer.source, ids=ids)


def _outcome(fire: FireInfo) -> str:
    return f"{fire.outcome}, {fire.run_status}" if fire.run_status else fire.outcome


def _fire_words(fire: FireInfo) -> str:
    run = f" (run {fire.run_id})" if fire.run_id else ""
    return f"{_outcome(fire)}{run}: {fire.reason.removeprefix(fire.outcome + ': ')}"


def _add_fire(answer: _Answer, fire: FireInfo) -> None:
    """Add lines for one recorded fire: outcome, reason, lateness, the error of its run, and missed expectations."""
    tone = "plain"
    if fire.outcome in (FireOutcome.MISSED, FireOutcome.SKIPPED) or fire.run_status in UNSUCCESSFUL:
        tone = "bad" if fire.outcome == FireOutcome.MISSED or fire.run_status == RunStatus.FAILED else "warn"
    elif fire.run_status == RunStatus.SUCCEEDED:
        tone = "good"
    due = fire.local.replace("T", " ")
    answer.add(f"{due}: {_fire_words(fire)}", tone, fire.nominal)
    late = (fire.decided_at - fire.nominal).total_seconds()
    # The reason of a missed fire names its downtime, and a backfill is always late.
    if late > 60 and fire.outcome not in (FireOutcome.MISSED, FireOutcome.BACKFILLED):
        answer.add(f"{due}: decided {elapsed(late)} late", at=fire.decided_at)
    if fire.run_id is not None and fire.run_status in (RunStatus.FAILED, RunStatus.REJECTED):
        error = error_by_id(answer.source, fire.run_id)
        if error:
            info = jsonio.loads(error)
            node = f"{info['node_id']}: " if info.get("node_id") else ""
            answer.add(
                f"{due}: the run failed: {node}{info.get('type', '')}: {info.get('message', '')}",
                "bad",
            )
    for kind, text in breaches_of(answer.source, answer.row.id, fire.local, fire.fold):
        answer.add(f"{due}: expectation not met ({kind}): {text}", "bad")


def _add_moves(answer: _Answer, start: datetime, end: datetime) -> str | None:
    """Add a line for each fire that calendars move into the span or out of it. Return the first that moves out."""
    tick = timedelta(microseconds=1)
    first = None
    for move in answer.row.timing.moves(start - tick, end - tick)[:MAX_FIRES]:
        words = f"the fire of {answer.wall(move.origin)} moves to {answer.wall(move.instant)}: {move.reason}"
        answer.add(words, "warn")
        if first is None and start <= move.origin < end:
            first = words
    return first


def _not_recorded(answer: _Answer, at: datetime, start: datetime, end: datetime, moved: str | None) -> str:
    """Return why the span has no recorded fire. `moved` is a fire that calendars move out of it."""
    row, now, timing = answer.row, answer.now, answer.row.timing
    if row.spec.after is not None:
        return (
            "it has no times of its own: it depends on other workflows, and none of their runs fired it then"
        )
    if end <= row.created_at:
        return f"it did not exist yet: it was added on {row.created_at:%Y-%m-%d %H:%M:%S} UTC"
    due = timing.next_after(start - timedelta(microseconds=1))
    is_due = due is not None and due.instant < end
    if is_due and due is not None:
        return _due_but_not_recorded(answer, due)
    if row.spec.start_date is not None and at < row.spec.start_date:
        return f"its start_date is {answer.wall(row.spec.start_date)}"
    if row.spec.end_date is not None and at > row.spec.end_date:
        return f"its end_date is {answer.wall(row.spec.end_date)}"
    _add_neighbours(answer, timing, start)
    if moved is not None:
        return moved
    change = _clock_change(answer, start)
    if change:
        answer.add(change, "warn")
    will = "do" if at > now else "did"
    return f"its times ({timing.summary}) {will} not include {answer.wall(at)}"


def _due_but_not_recorded(answer: _Answer, due: Nominal) -> str:
    row, now = answer.row, answer.now
    if due.instant > now:
        if (prevented := _prevented(answer, due)) is not None:
            return prevented
        reason = answer.excluded_by(due.instant) if row.spec.exclude else None
        if reason is not None:
            return f"it will be excluded by {reason}"
        alone = "" if answer.engine_runs else ", if an engine runs then"
        return f"it will fire then, in {elapsed((due.instant - now).total_seconds())}{alone}"
    if row.paused is not None:
        return (
            f"it is {ops.paused_words(row.paused)}; fires during the pause are recorded when the pause ends"
        )
    absence = long_absence(answer.source, row.id, to_us(due.instant))
    if absence is not None and due.instant <= row.cursor:
        return f"it is part of a long downtime: {absence}"
    if due.instant <= row.cursor:
        return "it was not due by the times that the schedule had then"
    if not answer.engine_runs:
        return "it is due but not decided, because no engine runs; start an engine to decide it"
    return "it is due and will be decided shortly"


def _prevented(answer: _Answer, due: Nominal) -> str | None:
    """Return why a fire of the future will not start a run, as things stand; None if nothing prevents it."""
    row = answer.row
    if row.removed or row.vanished is not None:
        return f"it will not fire: {row.vanished or 'the schedule was removed'}"
    if row.paused is not None and (row.paused.until is None or row.paused.until > due.instant):
        return f"it will be skipped: {ops.paused_words(row.paused)}"
    if not row.spec.enabled:
        return "it will not fire: it is disabled"
    if row.skips(due):
        return "it will be skipped: an operator skipped the next fire"
    if answer.untrusted:
        return "it will not fire, unless the workspace is trusted before then"
    if meta.draining(answer.source) is not None:
        return "it will be skipped, unless the engine stops draining before then"
    if row.spec.max_runs is not None:
        before = row.timing.count(answer.now, due.instant - timedelta(microseconds=1))
        if row.runs_started + before >= row.spec.max_runs:
            return f"it will not fire, if each fire before it starts a run: max_runs is {row.spec.max_runs}"
    return None


def _add_neighbours(answer: _Answer, timing: Timing, start: datetime) -> None:
    after = timing.next_after(start)
    before: datetime | None = None
    span = timedelta(hours=1)
    while before is None and span < timedelta(days=366 * 5):
        if timing.count(start - span, start - timedelta(microseconds=1)) > 0:
            at = start - span
            while (found := timing.next_after(at)) is not None and found.instant < start:
                before = at = found.instant
        span *= 4
    if before is not None:
        answer.add(f"previous fire: {answer.wall(before)}", at=before)
    if after is not None:
        answer.add(f"next fire: {answer.wall(after.instant)}", at=after.instant)


def _clock_change(answer: _Answer, start: datetime) -> str | None:
    """Return the change of the zone's offset on that day, if there was one."""
    zone = answer.row.timing.zone
    local = start.astimezone(zone)
    midnight = local.replace(hour=0, minute=0, fold=0)
    first, last = midnight.utcoffset(), (midnight + timedelta(days=1)).utcoffset()
    if first == last or first is None or last is None:
        return None
    way = "forward" if last > first else "back"
    seconds = abs((last - first).total_seconds())
    by = elapsed(seconds)
    if seconds > CALENDAR_CHANGE:
        return (
            f"on {local:%Y-%m-%d} the calendar of {answer.row.spec.timezone} went {way} by {by}: nothing fires for the"
            " times that were skipped"
        )
    return (
        f"on {local:%Y-%m-%d} clocks in {answer.row.spec.timezone} went {way} by {by}: a fixed time in the gap"
        " fires at the first instant after it, and a time that occurs twice fires once, the first time"
    )


def _add_changes(answer: _Answer, since: datetime, until: datetime | None = None) -> None:
    """Add the changes of the schedule since then, oldest first."""
    kinds = (
        EventKind.SCHEDULE_ADDED, EventKind.SCHEDULE_CHANGED, EventKind.SCHEDULE_REMOVED,
        EventKind.SCHEDULE_PAUSED, EventKind.SCHEDULE_RESUMED, EventKind.SCHEDULE_REOPENED,
    )  # fmt: skip
    rows = newest_of_schedule(
        answer.source, answer.row.id, kinds, to_us(since), to_us(until or answer.now) + 1, MAX_CHANGES
    )
    for at, kind, actor, data in reversed(rows):
        answer.add(
            f"{_change_words(kind, jsonio.loads(data) if data else {})} by {actor_from_json(actor).user}",
            at=from_us(at),
        )


def _change_words(kind: str, data: dict[str, Any]) -> str:
    word = kind.partition(".")[2]
    changes = "; ".join(str(change) for change in data.get("changes", ()))
    note = f" ({data['note']})" if data.get("note") else ""
    until = f" until {data['until'][:16]} UTC" if data.get("until") else ""
    if "skip_next" in data:
        return f"next fire skipped{note}"
    return f"{word}{': ' + changes if changes else ''}{until}{note}"
