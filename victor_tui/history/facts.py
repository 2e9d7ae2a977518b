"""The tables of the History screen, and the previews of an event and a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, tzinfo

from victor_engine.api import EventInfo, EventKind, EventQuery, RunInfo, handler_failures, run_seconds
from victor_tui.filter_language import Filter
from victor_tui.history.sentences import Sentence, fire_time
from victor_tui.text import duration, full, moment
from victor_tui.theme import Tone, run_mark
from victor_tui.widgets.columns import Cell, Column
from victor_tui.widgets.preview import Facts
from victor_tui.widgets.table import LineTable

_TONES: tuple[tuple[str, Tone], ...] = (
    ("failed", "bad"),
    ("problem", "bad"),
    ("timed_out", "bad"),
    ("warning", "warn"),
    ("retrying", "warn"),
    ("interrupted", "warn"),
    ("escalated", "warn"),
    ("withdrawn", "dim"),
    ("approved", "ok"),
    ("completed", "ok"),
    ("missed", "warn"),
    ("expired", "bad"),
    ("rejected", "warn"),
    ("cancelled", "warn"),
    ("pausing", "warn"),
    ("paused", "warn"),
    ("skipped", "dim"),
    ("succeeded", "ok"),
    ("answered", "ok"),
    ("opened", "wait"),
    ("started", "busy"),
)


def event_state(event: EventInfo) -> str:
    """Return the status of a run or the outcome of a fire or answer in the event; empty for others."""
    return str(event.data.get("status") or event.data.get("outcome") or "")


def event_tone(event: EventInfo) -> Tone:
    word = event_state(event) or event.kind
    return next((tone for end, tone in _TONES if word.endswith(end)), "plain")


def event_subject(event: EventInfo) -> str:
    """Return the subject of an event: workflow, schedule or request, and the node."""
    about = event.workflow or event.schedule_id or event.request_id or ""
    return f"{about} · {event.node_id}" if event.node_id else about


def event_words(event: EventInfo) -> str:
    """Return the data of an event as text: its outcome, then the most important value."""
    state = event_state(event).replace("_", " ")
    if event.data.get("self_approved"):
        state += " (self-approved)"
    if event.kind == EventKind.FIRE_DECIDED:
        state = f"{fire_time(event)} {state}".strip()
    for key in ("reason", "error", "message", "note", "comment", "title"):
        value = event.data.get(key)
        if isinstance(value, dict):
            value = ": ".join(str(value[part]) for part in ("type", "message") if value.get(part))
        if value:
            return f"{state}: {value}" if state else str(value)
    if state:
        return state
    return ", ".join(f"{key} {value}" for key, value in event.data.items() if value not in ("", None))


def event_query(chosen: Filter, limit: int, *, activity: bool) -> EventQuery:
    """Return the query for the events that match a filter, or for those that are activity."""
    return EventQuery(
        kinds=chosen.kinds,
        run_id=chosen.run,
        schedule_id=chosen.schedule,
        workflow=chosen.workflow,
        node=chosen.node,
        actor=chosen.actor,
        text=chosen.text or None,
        after=chosen.after,
        before=chosen.before,
        activity=activity,
        limit=limit,
    )


# --- tables ------------------------------------------------------------------------------------


def events_table(now: Callable[[], datetime], zone: tzinfo | None, empty: str) -> LineTable[EventInfo]:
    """Return the table of the events."""

    def at(event: EventInfo, now: datetime) -> Cell:
        return moment(event.at, now, zone), "dim"

    return LineTable[EventInfo](
        [
            Column("at", "When", 12, at, lambda e: e.seq),
            Column("kind", "What", 18, lambda e, _: (e.kind, event_tone(e)), lambda e: e.kind, 0),
            Column("about", "About", 18, lambda e, _: (event_subject(e), "head"), event_subject, 1, 1),
            Column("who", "Who", 8, lambda e, _: (e.actor.user, "dim"), lambda e: e.actor.user, 2),
            Column("data", "Details", 16, lambda e, _: (event_words(e), "plain"), None, 3, 3),
            Column("run", "Run", 8, lambda e, _: (e.run_id or "", "dim"), lambda e: e.run_id, 4),
        ],
        key=lambda event: event.seq,
        now=now,
        empty=empty,
        id="events",
    )


def past_table(now: Callable[[], datetime], zone: tzinfo | None, empty: str) -> LineTable[RunInfo]:
    """Return the table of the runs."""

    def ended(run: RunInfo, now: datetime) -> Cell:
        return moment(run.finished_at or run.created_at, now, zone), "dim"

    def took(run: RunInfo, now: datetime) -> Cell:
        return duration(run_seconds(run, now)), "plain"

    def why(run: RunInfo, now: datetime) -> Cell:
        return (f"{run.error.type}: {run.error.message}", "bad") if run.error else (run.note, "plain")

    return LineTable[RunInfo](
        [
            Column("at", "Ended", 12, ended, lambda r: r.finished_at or r.created_at),
            Column(
                "status",
                "Status",
                11,
                lambda r, _: (run_mark(r.status).text, run_mark(r.status).tone),
                lambda r: r.status,
            ),
            Column(
                "workflow",
                "Workflow",
                14,
                lambda r, _: (r.workflow, "head"),
                lambda r: r.workflow,
                0,
                1,
            ),
            Column("took", "Took", 8, took, lambda r: run_seconds(r, now()), 1, align="right"),
            Column("by", "By", 10, lambda r, _: (r.started_by, "dim"), lambda r: r.started_by, 3),
            Column("why", "Details", 14, why, None, 2, 3),
            Column("run", "Run", 8, lambda r, _: (r.id, "dim"), lambda r: r.id, 4),
        ],
        key=lambda run: run.id,
        now=now,
        empty=empty,
        id="past",
    )


# --- preview -----------------------------------------------------------------------------------


def past_facts(facts: Facts, run: RunInfo, now: datetime, zone: tzinfo | None) -> Facts:
    """Return the facts of a finished run."""
    mark = run_mark(run.status)
    facts.line((f"{run.workflow} {run.version} ", "head"), (mark.text, mark.tone))
    if run.error is not None:
        facts.text(f"{run.error.type}: {run.error.message}", "bad")
    for line in handler_failures(run):
        facts.text(f"! {line}", "warn")
    facts.fact(
        "dead letter",
        "needs a decision: d redrives, D discards" if run.dead_letter else "",
        "bad",
    )
    facts.fact("run", run.id).fact("began", full(run.created_at, zone))
    facts.fact("ended", full(run.finished_at, zone) if run.finished_at else "")
    facts.fact("took", duration(run_seconds(run, now)))
    return facts.fact("started by", f"{run.trigger}, {run.started_by}").fact("note", run.note)


def activity_facts(facts: Facts, words: Sentence, event: EventInfo, zone: tzinfo | None) -> Facts:
    """Return the facts of a row of the activity: its sentence whole, then its event."""
    facts.text(words.text, words.tone)
    return event_facts(facts.fact("kind", event.kind), event, zone, title=False)


def event_facts(facts: Facts, event: EventInfo, zone: tzinfo | None, *, title: bool = True) -> Facts:
    """Return the facts of an event."""
    if title:
        facts.title(event.kind, event_tone(event))
    facts.fact("at", full(event.at, zone))
    via = f" via {event.actor.via}" + (f" on {event.actor.tty}" if event.actor.tty else "")
    facts.fact("who", f"{event.actor.shown}{via}")
    facts.fact("workflow", event.workflow).fact("schedule", event.schedule_id)
    facts.fact("run", event.run_id).fact("node", event.node_id).fact("request", event.request_id)
    facts.fact("event", f"#{event.seq}")
    if event.data:
        facts.heading("Data").text(json.dumps(event.data, indent=2, ensure_ascii=False, default=str))
    return facts
