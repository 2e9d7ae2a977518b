"""Why a schedule did or did not run: the recorded outcome, or what its times, calendars and pauses say."""

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
from victor_engine.scheduling import dependencies, downtime
from victor_engine.scheduling import stored_schedules as ops
from victor_engine.scheduling.describe import elapsed
from victor_engine.scheduling.fires import Excluded
from victor_engine.scheduling.stored_schedules import ScheduleRow
from victor_engine.scheduling.timing import Nominal, Timing
from victor_engine.store.db import actor_from_json
from victor_engine.store.queries.events import newest_of_schedule
from victor_engine.store.queries.schedule_runs import (
    active_runs,
    breaches_of,
    error_by_id,
    fire_ids,
    long_absence,
)
from victor_engine.store.queries.schedules import fires as fires_of
from victor_engine.store.repositories import meta

MAX_FIRES = 50
"""Fires that one explanation goes through."""

BADLY_ENDED = FINAL_RUN_STATUSES - {RunStatus.SUCCEEDED}
"""Statuses of runs that have ended otherwise than they were meant to."""

MAX_CHANGES = 10
"""Changes of the schedule that one explanation tells of."""


@dataclass(slots=True)
class _Answer:
    source: sqlite3.Connection
    row: ScheduleRow
    now: datetime
    excluded: Excluded
    watched: bool
    lines: list[ExplainLine] = field(default_factory=list)

    def say(self, text: str, tone: str = "plain", at: datetime | None = None) -> None:
        self.lines.append(ExplainLine(text, at, tone))

    def wall(self, instant: datetime) -> str:
        """An instant as the schedule's own clock shows it."""
        local = instant.astimezone(self.row.timing.zone)
        return f"{local:%a %Y-%m-%d %H:%M}{local:%z} {self.row.spec.timezone}"

    def left_out(self, instant: datetime) -> str | None:
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
    watched: bool = True,
) -> Explanation:
    """Of the minute `at`, of the span up to `until`, or of how things stand.

    `watched` is whether an engine runs. Writes nothing.
    """
    row = ops.get(source, schedule, removed=True)
    answer = _Answer(source, row, now, excluded, watched)
    if at is None:
        headline = _now(answer)
        fires = tuple(fires_of(source, row.id, 5))
    else:
        start = at if until is not None else at.replace(second=0, microsecond=0)
        headline, fires = _then(answer, at, start, until or start + timedelta(minutes=1))
    return Explanation(row.id, row.workflow, headline, tuple(answer.lines), fires)


# --- how things stand ------------------------------------------------------------------------------


def _now(answer: _Answer) -> str:
    row, now = answer.row, answer.now
    headline = _standing(answer)
    if not answer.watched:
        answer.say("no engine runs on this state directory: nothing fires until one is started", "bad")
    if row.problem:
        answer.say(f"it could not start a run last time: {row.problem}", "bad")
    for run in active_runs(answer.source, row.id):
        words = "waits behind another run of it" if run.held else f"is {run.status}"
        answer.say(f"run {run.run_id} {words}; overlap is {row.spec.overlap.replace('_', ' ')}")
    if row.failures:
        limit = row.spec.pause_after_failures
        more = f"; {limit} pause it" if limit is not None else ""
        answer.say(f"{row.failures} failed runs in a row{more}", "warn")
    for state in dependencies.waits_for(answer.source, row.id, row.spec, now):
        answer.say(f"{state.workflow}: {state.text}", "good" if state.met else "warn", state.at)
    recent = fires_of(answer.source, row.id, 5)
    if not recent:
        answer.say(f"it has not fired since it was added on {row.created_at:%Y-%m-%d %H:%M} UTC")
    for fire in recent:
        _tell(answer, fire)
    for gap in downtime.downtimes(answer.source, now - timedelta(days=2), now):
        answer.say(str(gap), "warn", gap.start)
    _changes(answer, now - timedelta(days=7))
    return headline


def _standing(answer: _Answer) -> str:
    row, now = answer.row, answer.now
    if row.vanished is not None:
        return f"it is disabled: {row.vanished}"
    if row.removed:
        return "it was removed, and does not fire any more"
    if row.paused is not None and (row.paused.until is None or row.paused.until > now):
        until = f" until {answer.wall(row.paused.until)}" if row.paused.until is not None else ""
        return f"it is {ops.paused_words(row.paused)}{until}"
    if not row.spec.enabled:
        return "it is disabled (enabled: false)"
    if row.exhausted:
        return f"it has started {row.runs_started} runs, and max_runs is {row.spec.max_runs}"
    drained = meta.draining(answer.source)
    if drained is not None:
        note = f" ({drained.note})" if drained.note else ""
        return f"the engine is draining since {drained.at:%Y-%m-%d %H:%M} UTC by {drained.by}{note}: it starts nothing"
    if row.spec.after is not None:
        waiting = [s for s in dependencies.waits_for(answer.source, row.id, row.spec, now) if not s.met]
        return f"it comes after other workflows, and waits for {', '.join(s.workflow for s in waiting)}"
    nominal = row.timing.next_after(max(row.cursor, now))
    if nominal is None:
        return "no fire of it is left: its last one, or its end_date, has passed"
    return f"it fires next at {answer.wall(nominal.instant)}{_but(answer, nominal)}"


def _but(answer: _Answer, nominal: Nominal) -> str:
    reason = answer.left_out(nominal.instant) if answer.row.spec.exclude else None
    if reason is not None:
        return f", and will be left out by {reason}"
    if answer.row.skip_next:
        return ", and will be skipped, as an operator wanted"
    return f", in {elapsed((nominal.instant - answer.now).total_seconds())}"


# --- what was, or will be, at an instant -----------------------------------------------------------


def _then(answer: _Answer, at: datetime, start: datetime, end: datetime) -> tuple[str, tuple[FireInfo, ...]]:
    found = tuple(_fires_between(answer, start, end))
    for fire in found:
        _tell(answer, fire)
    for gap in downtime.downtimes(answer.source, start, end):
        answer.say(str(gap), "warn", gap.start)
    if found:
        _changes(answer, start, end + timedelta(days=1))
        if len(found) == 1:
            return _story(found[0]), found
        kinds: dict[str, int] = {}
        for fire in found:
            kinds[_outcome(fire)] = kinds.get(_outcome(fire), 0) + 1
        said = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        return f"{len(found)} fires: {said}", found
    headline = _not_recorded(answer, at, start, end)
    _changes(answer, start, None)
    return headline, found


def _fires_between(answer: _Answer, start: datetime, end: datetime) -> list[FireInfo]:
    ids = fire_ids(answer.source, answer.row.id, to_us(start), to_us(end), MAX_FIRES)
    return fires_of(answer.source, ids=ids)


def _outcome(fire: FireInfo) -> str:
    return f"{fire.outcome}, {fire.run_status}" if fire.run_status else fire.outcome


def _story(fire: FireInfo) -> str:
    run = f" (run {fire.run_id})" if fire.run_id else ""
    return f"{_outcome(fire)}{run}: {fire.reason.removeprefix(fire.outcome + ': ')}"


def _tell(answer: _Answer, fire: FireInfo) -> None:
    """One recorded fire: what became of it, why, how late, and how its run ended."""
    tone = "plain"
    if fire.outcome in (FireOutcome.MISSED, FireOutcome.SKIPPED) or fire.run_status in BADLY_ENDED:
        tone = "bad" if fire.outcome == FireOutcome.MISSED or fire.run_status == RunStatus.FAILED else "warn"
    elif fire.run_status == RunStatus.SUCCEEDED:
        tone = "good"
    due = fire.local.replace("T", " ")
    answer.say(f"{due}: {_story(fire)}", tone, fire.nominal)
    late = (fire.decided_at - fire.nominal).total_seconds()
    # Of what was missed the reason says since when nobody looked; a backfill is always late.
    if late > 60 and fire.outcome not in (FireOutcome.MISSED, FireOutcome.BACKFILLED):
        answer.say(f"{due}: decided {elapsed(late)} after its time", at=fire.decided_at)
    if fire.run_id is not None and fire.run_status in (RunStatus.FAILED, RunStatus.REJECTED):
        error = error_by_id(answer.source, fire.run_id)
        if error:
            info = jsonio.loads(error)
            node = f"{info['node_id']}: " if info.get("node_id") else ""
            answer.say(
                f"{due}: the run failed: {node}{info.get('type', '')}: {info.get('message', '')}",
                "bad",
            )
    for kind, text in breaches_of(answer.source, answer.row.id, fire.local, fire.fold):
        answer.say(f"{due}: promise not kept ({kind}): {text}", "bad")


def _not_recorded(answer: _Answer, at: datetime, start: datetime, end: datetime) -> str:
    """No fire is recorded in the span: whether one was due, and if not, why not."""
    row, now, timing = answer.row, answer.now, answer.row.timing
    if row.spec.after is not None:
        return (
            "it has no times of its own: it comes after other workflows, and none of their ends fired it then"
        )
    if end <= row.created_at:
        return f"it did not exist: it was added on {row.created_at:%Y-%m-%d %H:%M:%S} UTC"
    due = timing.next_after(start - timedelta(microseconds=1))
    is_due = due is not None and due.instant < end
    if is_due and due is not None:
        return _due_but_not_recorded(answer, due)
    if row.spec.start_date is not None and at < row.spec.start_date:
        return f"its start_date is {answer.wall(row.spec.start_date)}"
    if row.spec.end_date is not None and at > row.spec.end_date:
        return f"its end_date is {answer.wall(row.spec.end_date)}"
    _neighbours(answer, timing, start)
    gap = _skipped_by_clock(answer, start)
    if gap:
        answer.say(gap, "warn")
    will = "does" if at > now else "did"
    return f"its times ({timing.summary}) {will} not include {answer.wall(at)}"


def _due_but_not_recorded(answer: _Answer, due: Nominal) -> str:
    row, now = answer.row, answer.now
    if due.instant > now:
        if row.paused is not None and (row.paused.until is None or row.paused.until > due.instant):
            return f"it will be skipped: {ops.paused_words(row.paused)}"
        if not row.spec.enabled:
            return "it will not fire: it is disabled"
        reason = answer.left_out(due.instant) if row.spec.exclude else None
        if reason is not None:
            return f"it will be left out by {reason}"
        return f"it will fire then, in {elapsed((due.instant - now).total_seconds())}"
    if row.paused is not None:
        return f"it is {ops.paused_words(row.paused)}; the fires of the pause are recorded when it ends"
    absence = long_absence(answer.source, row.id, to_us(due.instant))
    if absence is not None and due.instant <= row.cursor:
        return f"it is part of a long absence: {absence}"
    if due.instant <= row.cursor:
        return "it was not due under the times that the schedule had then"
    if not answer.watched:
        return "it is due and not decided: no engine runs; the next one to start decides it"
    return "it is due and about to be decided"


def _neighbours(answer: _Answer, timing: Timing, start: datetime) -> None:
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
        answer.say(f"the fire before it: {answer.wall(before)}", at=before)
    if after is not None:
        answer.say(f"the fire after it: {answer.wall(after.instant)}", at=after.instant)


def _skipped_by_clock(answer: _Answer, start: datetime) -> str | None:
    """What the zone's clock did on that day, if it changed."""
    zone = answer.row.timing.zone
    local = start.astimezone(zone)
    midnight = local.replace(hour=0, minute=0, fold=0)
    first, last = midnight.utcoffset(), (midnight + timedelta(days=1)).utcoffset()
    if first == last or first is None or last is None:
        return None
    way = "forward" if last > first else "back"
    by = elapsed(abs((last - first).total_seconds()))
    return (
        f"on {local:%Y-%m-%d} clocks in {answer.row.spec.timezone} went {way} by {by}: a fixed time that was left out"
        " fires at the first instant after the gap, and one that came twice fires once, in the first pass"
    )


def _changes(answer: _Answer, since: datetime, until: datetime | None = None) -> None:
    """What was done to the schedule since then, oldest first."""
    kinds = (
        EventKind.SCHEDULE_ADDED, EventKind.SCHEDULE_CHANGED, EventKind.SCHEDULE_REMOVED,
        EventKind.SCHEDULE_PAUSED, EventKind.SCHEDULE_RESUMED,
    )  # fmt: skip
    rows = newest_of_schedule(
        answer.source, answer.row.id, kinds, to_us(since), to_us(until or answer.now) + 1, MAX_CHANGES
    )
    for at, kind, actor, data in reversed(rows):
        answer.say(
            f"{_deed(kind, jsonio.loads(data) if data else {})} by {actor_from_json(actor).user}",
            at=from_us(at),
        )


def _deed(kind: str, data: dict[str, Any]) -> str:
    word = kind.partition(".")[2]
    changes = "; ".join(str(change) for change in data.get("changes", ()))
    note = f" ({data['note']})" if data.get("note") else ""
    until = f" until {data['until'][:16]} UTC" if data.get("until") else ""
    if "skip_next" in data:
        return f"next fire skipped{note}"
    return f"{word}{': ' + changes if changes else ''}{until}{note}"
