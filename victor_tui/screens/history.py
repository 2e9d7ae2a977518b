"""History: every event, and every run, found by what, who and when."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.widgets import Static

from victor_engine.api import EventInfo, EventQuery, RunInfo, RunStats
from victor_tui.feed import Loader, Subject
from victor_tui.filters import Filter
from victor_tui.screens.base import TableScreen
from victor_tui.screens.control import RunCommands, control_bindings
from victor_tui.screens.run_cells import known_names
from victor_tui.text import duration, full, moment
from victor_tui.theme import Tone, run_mark
from victor_tui.widgets.filterbar import FilterBar
from victor_tui.widgets.preview import Facts, Preview
from victor_tui.widgets.table import Cell, Column, LineTable
from victor_tui.widgets.trend import BUCKETS, Trend, numbers

PAGE = 1000
"""Events or runs shown at once; the filter reaches the older ones."""
EMPTY = "Nothing has happened yet.\n\nv  events or runs"
EMPTY_FILTER = """Nothing happened that fits the filter.

/  change the filter: words, workflow:deploy, kind:request, after:yesterday
v  events or runs"""

ONLY_RUNS = frozenset({"status", "took", "error", "version"})
"""Fields that only runs have."""
LOOK_BACK = 5000
"""Runs that the statistics are of, at most: they are read again whenever a run ends."""

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
    """What the event led to: a run's status, a fire's or answer's outcome; otherwise empty."""
    return str(event.data.get("status") or event.data.get("outcome") or "")


def event_tone(event: EventInfo) -> Tone:
    word = event_state(event) or event.kind
    return next((tone for end, tone in _TONES if word.endswith(end)), "plain")


def event_subject(event: EventInfo) -> str:
    """What the event is about, in a few words."""
    about = event.workflow or event.schedule_id or event.request_id or ""
    return f"{about} · {event.node_id}" if event.node_id else about


def event_words(event: EventInfo) -> str:
    """The data of an event as text: what it led to, then the most telling value."""
    state = event_state(event).replace("_", " ")
    for key in ("reason", "error", "message", "note", "comment", "title"):
        value = event.data.get(key)
        if isinstance(value, dict):
            value = ": ".join(str(value[part]) for part in ("type", "message") if value.get(part))
        if value:
            return f"{state}: {value}" if state else str(value)
    if state:
        return state
    return ", ".join(f"{key} {value}" for key, value in event.data.items() if value not in ("", None))


class HistoryScreen(TableScreen):
    MODE = "history"
    CSS_PATH = "history.tcss"
    LIVE_PREVIEW = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("v", "switch", "Events/runs", id="history.toggle", tooltip="Show events, or runs"),
        Binding("l", "run", "Its run", id="history.run", tooltip="Open the run that this is about"),
        Binding("w", "only", "Only this", id="history.only", tooltip="Filter by the workflow of this row"),
        Binding("t", "trend", "Trend", id="history.trend", tooltip="Durations and outcomes over time"),
        *control_bindings("history", "compare", "dead_letters"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.commands = RunCommands(self, runs=self._chosen_runs, done=self._mark_stale)
        self.filter = Filter()
        self.wants_runs = False
        self.wants_trend = False

    @property
    def showing_runs(self) -> bool:
        """A filter that only runs can satisfy shows runs, one on kinds shows events."""
        if self.filter.fields & ONLY_RUNS:
            return True
        return self.wants_runs and "kind" not in self.filter.fields

    def compose_body(self) -> ComposeResult:
        zone = self.console.zone
        yield FilterBar("kind:request  workflow:deploy  status:failed  after:yesterday  took:>10m", zone)

        def at(event: EventInfo, now: datetime) -> Cell:
            return moment(event.at, now, zone), "dim"

        def ended(run: RunInfo, now: datetime) -> Cell:
            return moment(run.finished_at or run.created_at, now, zone), "dim"

        yield Static("", id="stats", markup=False)
        with Container(classes="body"):
            yield LineTable[EventInfo](
                [
                    Column("at", "When", 12, at, lambda e: e.seq),
                    Column("kind", "What", 18, lambda e, _: (e.kind, event_tone(e)), lambda e: e.kind, 0),
                    Column(
                        "about", "About", 18, lambda e, _: (event_subject(e), "head"), event_subject, 1, 1
                    ),
                    Column("who", "Who", 8, lambda e, _: (e.actor.user, "dim"), lambda e: e.actor.user, 2),
                    Column("data", "Details", 16, lambda e, _: (event_words(e), "plain"), None, 3, 3),
                    Column("run", "Run", 8, lambda e, _: (e.run_id or "", "dim"), lambda e: e.run_id, 4),
                ],
                key=lambda event: event.seq,
                now=self.now,
                empty=EMPTY,
                id="events",
            )
            yield LineTable[RunInfo](
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
                    Column("took", "Took", 8, self._took, self._seconds, 1, align="right"),
                    Column("by", "By", 10, lambda r, _: (r.started_by, "dim"), lambda r: r.started_by, 3),
                    Column("why", "Details", 14, self._why, None, 2, 3),
                    Column("run", "Run", 8, lambda r, _: (r.id, "dim"), lambda r: r.id, 4),
                ],
                key=lambda run: run.id,
                now=self.now,
                empty=EMPTY,
                id="past",
            )
            yield Preview()
            yield Trend(id="trend", classes="side")

    def _seconds(self, run: RunInfo) -> float | None:
        if run.started_at is None:
            return None
        return ((run.finished_at or self.now()) - run.started_at).total_seconds()

    def _took(self, run: RunInfo, now: datetime) -> Cell:
        return duration(self._seconds(run)), "plain"

    @staticmethod
    def _why(run: RunInfo, now: datetime) -> Cell:
        return (f"{run.error.type}: {run.error.message}", "bad") if run.error else (run.note, "plain")

    # --- data ---------------------------------------------------------------------------------

    def _event_query(self) -> EventQuery:
        chosen = self.filter
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
            limit=PAGE,
        )

    def loaders(self) -> dict[Subject, Loader]:
        if self.showing_runs:
            runs = self.filter.run_query(PAGE)
            looked = self.filter.run_query(LOOK_BACK)
            return {
                "past": lambda port: port.runs(runs),
                "stats": lambda port: port.run_stats(looked, BUCKETS),
            }
        events = self._event_query()
        return {"events": lambda port: port.events(events)}

    def draw(self, subject: Subject) -> None:
        if subject == "stats":
            stats: RunStats = self.snapshot(subject)
            self.query_one("#stats", Static).update(numbers(stats))
            self.query_one(Trend).show(stats)
            return
        rows: list[Any] = self.snapshot(subject)
        table = self.query_one(f"#{subject}", LineTable)
        table.empty = EMPTY if self.filter == Filter() else EMPTY_FILTER
        table.set_rows(rows)
        if subject == "past":
            self.query_one(FilterBar).learn(known_names(rows))
        word = "runs" if subject == "past" else "events"
        count = f"newest {PAGE} {word}" if len(rows) >= PAGE else f"{len(rows)} {word}"
        self.query_one(FilterBar).note(count)

    def on_mount(self) -> None:
        self.query_one(Trend).zone = self.console.zone
        self._choose_table()

    def _choose_table(self) -> None:
        runs = self.showing_runs
        self.query_one("#stats").display = runs
        self.query_one(Trend).display = runs and self.wants_trend
        self.query_one(Preview).display = not (runs and self.wants_trend)
        shown, hidden = ("#past", "#events") if runs else ("#events", "#past")
        had_focus = isinstance(self.focused, LineTable) or self.focused is None
        self.query_one(shown, LineTable).display = True
        self.query_one(hidden, LineTable).display = False
        if had_focus:
            self.query_one(shown, LineTable).focus()
        self.current = self.query_one(shown, LineTable).row
        self._explain(to_top=True)

    def action_switch(self) -> None:
        self.wants_runs = not self.showing_runs
        if self.showing_runs != self.wants_runs:
            self.notify(
                "The filter decides here: status, took, error and version are of runs, kind is of events.",
                markup=False,
            )
        self._reload()

    def action_trend(self) -> None:
        """The plot in the place of the preview; from the events to the runs, for events take no time."""
        if not self.showing_runs:
            if "kind" in self.filter.fields:
                self.notify("The filter shows events: kind is of events, and a trend of runs.", markup=False)
                return
            self.wants_runs = self.wants_trend = True
        else:
            self.wants_trend = not self.wants_trend
        self._reload()

    def _reload(self) -> None:
        self._choose_table()
        self.console.feed.watch(self.loaders())

    def action_filter(self) -> None:
        self.query_one(FilterBar).edit()

    def on_filter_bar_changed(self, message: FilterBar.Changed) -> None:
        self.filter = message.filter
        self._reload()

    def on_filter_bar_done(self) -> None:
        self.query_one("#past" if self.showing_runs else "#events", LineTable).focus()

    # --- preview and actions ------------------------------------------------------------------

    @staticmethod
    def _identity(row: Any) -> Any:
        return row.seq if isinstance(row, EventInfo) else getattr(row, "id", None)

    def explain(self, row: Any) -> Facts:
        zone = self.console.zone
        if isinstance(row, RunInfo):
            mark = run_mark(row.status)
            facts = self.facts().line((f"{row.workflow} {row.version} ", "head"), (mark.text, mark.tone))
            if row.error is not None:
                facts.text(f"{row.error.type}: {row.error.message}", "bad")
            facts.fact(
                "dead letter",
                "nobody has dealt with it: d redrives, D discards" if row.dead_letter else "",
                "bad",
            )
            facts.fact("run", row.id).fact("began", full(row.created_at, zone))
            facts.fact("ended", full(row.finished_at, zone) if row.finished_at else "")
            facts.fact("took", duration(self._seconds(row)))
            return facts.fact("started by", f"{row.trigger}, {row.started_by}").fact("note", row.note)
        event: EventInfo = row
        facts = self.facts().title(event.kind, event_tone(event))
        facts.fact("at", full(event.at, zone))
        via = f" via {event.actor.via}" + (f" on {event.actor.tty}" if event.actor.tty else "")
        facts.fact("who", f"{event.actor.user}{via}")
        facts.fact("workflow", event.workflow).fact("schedule", event.schedule_id)
        facts.fact("run", event.run_id).fact("node", event.node_id).fact("request", event.request_id)
        facts.fact("event", f"#{event.seq}")
        if event.data:
            facts.heading("Data").text(json.dumps(event.data, indent=2, ensure_ascii=False, default=str))
        return facts

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "run":
            return self._run_id() is not None
        if action == "only":
            return getattr(self.current, "workflow", None) is not None
        return self.commands.allows(str(parameters[0])) if action == "run_command" else True

    def _chosen_runs(self) -> Sequence[RunInfo]:
        """Of events there are none: an event is what was, and its run is opened with l."""
        if not isinstance(self.current, RunInfo):
            return []
        return self.query_one("#past", LineTable).marked_rows or [self.current]

    def _mark_stale(self) -> None:
        self.console.feed.mark_stale("past", "events")

    def action_run_command(self, command: str) -> None:
        self.commands.start(command)

    def _run_id(self) -> str | None:
        row = self.current
        return row.id if isinstance(row, RunInfo) else getattr(row, "run_id", None)

    def action_run(self) -> None:
        run_id = self._run_id()
        if run_id is not None:
            self.console.navigator.open_run(run_id)

    def on_line_table_chosen(self) -> None:
        self.action_run()

    def action_only(self) -> None:
        bar = self.query_one(FilterBar)
        word = f"workflow:{self.current.workflow}"
        bar.value = (
            bar.value.replace(word, "").strip() if word in bar.value else f"{bar.value} {word}".strip()
        )
