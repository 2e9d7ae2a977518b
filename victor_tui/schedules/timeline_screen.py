"""The screen of the next 24 hours of all schedules."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from victor_engine.api import Agenda, AgendaLane
from victor_tui.feed import Loader, Subject
from victor_tui.keys import bindings
from victor_tui.row_values import Here
from victor_tui.schedules.subscreen import SchedulePage
from victor_tui.schedules.time_fields import Span
from victor_tui.schedules.timeline_view import Timeline, first_edge, make_edges, planned_total
from victor_tui.text import duration, plural, schedule_name
from victor_tui.theme import fire_mark, run_mark
from victor_tui.widgets.preview import Facts, Preview

SHIFT = timedelta(hours=6)
"""Time by which the view moves when the cursor leaves it."""
_NAMED = 6
"""Maximum number of named schedules that fire in the same cell."""


class TimelineScreen(SchedulePage):
    """A timeline with a lane for each schedule. The cursor starts on `schedule_id`."""

    AUTO_FOCUS: ClassVar[str | None] = "Timeline"
    KEYS = "timelines"
    BINDINGS: ClassVar[list[BindingType]] = bindings("timelines")

    def __init__(self, schedule_id: str | None = None) -> None:
        super().__init__()
        self._wanted = schedule_id
        self._start: datetime | None = None
        self._requested: list[datetime] = []

    def here(self) -> Here:
        wanted = self._wanted
        values = [("schedule id", wanted)] if wanted is not None else []
        return Here(values, "", wanted or "", lambda: self.console.navigator.open_timeline(wanted))

    def compose_body(self) -> ComposeResult:
        yield Timeline(self.console.zone, id="timeline")
        yield Preview(classes="side short")

    @property
    def timeline(self) -> Timeline:
        return self.query_one(Timeline)

    # --- data -----------------------------------------------------------------------------------

    def loaders(self) -> dict[Subject, Loader]:
        self._requested = edges = self._edges()
        return {"agenda": lambda port: port.agenda(edges)}

    def _edges(self) -> list[datetime]:
        per_hour = self.timeline.per_hour if self.query(Timeline) else 1
        return make_edges(self._start or first_edge(self.now(), self.console.zone, per_hour), per_hour)

    def on_screen_resume(self) -> None:
        # The present snapshot can have another span.
        self.console.feed.watch(self.loaders())
        self.console.update_header()

    def on_timeline_resized(self) -> None:
        self._load_if_needed()

    def _load_if_needed(self) -> None:
        """Load the current span, unless it was requested already."""
        if self.is_current and self._edges() != self._requested:
            self.console.feed.watch(self.loaders())

    def feed_refreshed(self, subject: Subject) -> None:
        if subject == "agenda" and self.query(Timeline):
            self.draw(subject)

    def draw(self, subject: Subject) -> None:
        agenda: Agenda = self.snapshot("agenda")
        if list(agenda.edges) != self._requested:
            return
        self.timeline.show(agenda, self.now())
        if self._wanted is not None:
            self.timeline.select(self._wanted)
            self._wanted = None

    def tick(self) -> None:
        self._load_if_needed()

    # --- the cell under the cursor ----------------------------------------------------------------

    def on_timeline_moved(self) -> None:
        self.query_one(Preview).show(self._facts(), to_top=True)

    def _facts(self) -> Facts:
        facts, line = self.facts(), self.timeline
        lane, agenda = line.current, line.agenda
        if lane is None or agenda is None:
            return facts
        start, end = (agenda.edges[line.span + n].astimezone(self.console.zone) for n in (0, 1))
        facts.line(
            (f"{start:%a %d %b %H:%M} to {end:%H:%M %Z}  ", "head"),
            (schedule_name(lane.schedule_id, lane.workflow), "head"),
        )
        _lane_facts(facts, lane, line.span)
        others = [each for each in agenda.lanes if each is not lane and each.planned[line.span]]
        count, schedules = planned_total(agenda, line.span)
        if others:
            words = [f"{_short(each, others)} ({each.planned[line.span]})" for each in others[:_NAMED]]
            more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
            together = lane.planned[line.span] > 0
            names = ("with " if together else "") + ", ".join(words) + more
            facts.fact("together" if together else "others", names, "warn" if together else "plain")
        if schedules > 1:
            facts.fact("total", f"{plural(count, 'fire')} of {schedules} schedules")
        return facts

    # --- actions --------------------------------------------------------------------------------

    def action_today(self) -> None:
        self._start = None
        self._load_if_needed()
        self.timeline.action_span(-self.timeline.span)

    def on_timeline_beyond(self, message: Timeline.Beyond) -> None:
        edges = self._requested
        self._start = edges[0] + SHIFT * message.way
        self._load_if_needed()

    def on_timeline_chosen(self, message: Timeline.Chosen) -> None:
        self.back_to(message.schedule_id)

    def action_month(self) -> None:
        lane = self.timeline.current
        self.console.navigator.open_month(lane.schedule_id if lane is not None else None, instead=True)

    def action_why(self) -> None:
        line = self.timeline
        if line.current is not None and line.agenda is not None:
            start, end = line.agenda.edges[line.span], line.agenda.edges[line.span + 1]
            self.explain_span(line.current.schedule_id, Span(start, end, "period"))


def _short(lane: AgendaLane, among: Sequence[AgendaLane]) -> str:
    """Return the workflow of a lane, with the id if several lanes have the same workflow."""
    alone = sum(each.workflow == lane.workflow for each in among) == 1
    return lane.workflow if alone else schedule_name(lane.schedule_id, lane.workflow)


def _lane_facts(facts: Facts, lane: AgendaLane, span: int) -> None:
    """Add the facts of one lane in a span."""
    usual = f", usually {duration(lane.typical_seconds)}" if lane.typical_seconds else ""
    if lane.planned[span]:
        facts.fact("fires", f"{plural(lane.planned[span], 'time')}{usual}", "busy")
    if lane.excluded[span]:
        facts.fact("excluded", f"{plural(lane.excluded[span], 'fire')}, by a calendar", "warn")
    past = [
        f"{mark.glyph} {count} {mark.word}"
        for name, count in lane.past[span].items()
        for mark in [run_mark(name) if run_mark(name).glyph != "?" else fire_mark(name)]
    ]
    facts.fact("so far", ", ".join(past))
    if not lane.planned[span] and not lane.excluded[span] and not past:
        facts.fact("fires", "paused" if lane.paused else "none", "dim")
