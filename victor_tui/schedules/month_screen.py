"""The screen of a month of one schedule or of all: planned and past fires of each day."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Static

from victor_engine.api import Agenda
from victor_engine.errors import VictorError
from victor_tui.feed import Loader, Subject
from victor_tui.keys import bindings
from victor_tui.row_values import Here
from victor_tui.schedules.facts import explained
from victor_tui.schedules.month_view import DayCounts, Month, midnight
from victor_tui.schedules.subscreen import SchedulePage
from victor_tui.schedules.time_fields import Span
from victor_tui.text import clean, fit, plural, schedule_name
from victor_tui.widgets.preview import Facts, Preview

_LISTED = 40
"""Maximum number of schedules in the details of a day."""


class MonthScreen(SchedulePage):
    """A month of the schedule `schedule_id`; None shows all schedules."""

    AUTO_FOCUS: ClassVar[str | None] = "Month"
    KEYS = "months"
    BINDINGS: ClassVar[list[BindingType]] = bindings("months")

    def __init__(self, schedule_id: str | None = None) -> None:
        super().__init__()
        self._schedule = schedule_id
        self._all = schedule_id is None
        self._requested: tuple[object, ...] = ()

    def here(self) -> Here:
        shown = self._schedule
        values = [("schedule id", shown)] if shown is not None else []
        return Here(values, "", shown or "", lambda: self.console.navigator.open_month(shown))

    def compose_body(self) -> ComposeResult:
        yield Static("", id="month-head", markup=False)
        yield Month(self.now().astimezone(self.console.zone).date(), id="month")
        yield Preview(classes="side rest")

    @property
    def month(self) -> Month:
        return self.query_one(Month)

    @property
    def _title_of(self) -> str:
        """The workflow, if known, and the id of the schedule."""
        known = self.snapshot("schedules") or ()
        workflow = next((each.spec.workflow for each in known if each.id == self._schedule), None)
        return schedule_name(self._schedule or "", workflow or self._schedule or "")

    @property
    def shown(self) -> str | None:
        """The id of the visible schedule; None for all."""
        return None if self._all else self._schedule

    # --- data -----------------------------------------------------------------------------------

    def loaders(self) -> dict[Subject, Loader]:
        days, zone, shown = self.month.days, self.console.zone, self.shown
        edges = [midnight(day, zone) for day in (*days, days[-1] + timedelta(days=1))]
        self._requested = (*edges, shown)
        return {"agenda": lambda port: port.agenda(edges, shown)}

    def on_screen_resume(self) -> None:
        self._load()
        self.console.update_header()

    def _load(self) -> None:
        if self.query(Month):
            self.console.feed.watch(self.loaders())
            self._draw_head()

    def feed_refreshed(self, subject: Subject) -> None:
        if subject == "agenda" and self.query(Month):
            self.draw(subject)

    def draw(self, subject: Subject) -> None:
        agenda: Agenda = self.snapshot("agenda")
        if agenda.edges != self._requested[:-1]:
            return
        self.month.show(agenda, self.shown)
        self._show_day()

    def tick(self) -> None:
        today = self.now().astimezone(self.console.zone).date()
        if today != self.month.today:
            self.month.today = today
            self._load()

    def _draw_head(self) -> None:
        month = self.month
        of = "all schedules" if self.shown is None else clean(self._title_of)
        keys = "▸ planned ✓ done ✗ failed ! missed × excluded"
        self.query_one("#month-head", Static).update(f" {month.days[15]:%B %Y} · {of}   {keys}")

    # --- the day --------------------------------------------------------------------------------

    def on_month_moved(self) -> None:
        if self.month.counts(0) is None:
            self._load()
        self._show_day()

    @property
    def _span(self) -> Span:
        zone, day = self.console.zone, self.month.day
        return Span(midnight(day, zone), midnight(day + timedelta(days=1), zone), "day")

    @work(group="detail", exclusive=True)
    async def _show_day(self) -> None:
        """Show the details of the day under the cursor."""
        facts, month = self.facts(), self.month
        facts.line((f"{month.day:%A %d %B %Y}", "head"))
        counts = month.counts(month.index)
        if counts is None:
            return
        if self.shown is not None:
            span = self._span
            try:
                answer = await self.port.explain_schedule(self.shown, span.start, span.end)
            except VictorError as error:
                facts.text(error.message, "bad")
            else:
                if counts.planned:
                    facts.text(f"{plural(counts.planned, 'fire')} planned", "busy")
                explained(facts, answer, self.now(), self.console.zone)
        else:
            self._list_all(facts)
        self.query_one(Preview).show(facts, to_top=True)

    def _list_all(self, facts: Facts) -> None:
        agenda, index = self.month.agenda, self.month.index
        assert agenda is not None
        found = []
        for lane in agenda.lanes:
            counts = DayCounts.of(agenda, index, lane.schedule_id)
            if counts.planned or counts.excluded or counts.past:
                found.append((lane, counts))
        if not found:
            facts.text("no fires", "dim")
        for lane, counts in found[:_LISTED]:
            pieces = [(f"{fit(schedule_name(lane.schedule_id, lane.workflow), 32)} ", "plain")]
            if counts.planned:
                pieces.append((f"▸{counts.planned:,} ", "busy"))
            if counts.excluded:
                pieces.append((f"×{counts.excluded:,} ", "warn"))
            facts.line(*pieces, *((f"{text} ", tone) for text, tone in counts.outcomes()))
        if len(found) > _LISTED:
            facts.text(f"and {len(found) - _LISTED} more", "dim")

    # --- actions --------------------------------------------------------------------------------

    def action_toggle_all(self) -> None:
        if self._schedule is None:
            self.notify("No schedule is selected: all schedules are shown.", markup=False)
            return
        self._all = not self._all
        self._load()

    def on_month_chosen(self) -> None:
        if self.shown is not None:
            self.explain_span(self.shown, self._span)

    def action_timeline(self) -> None:
        self.console.navigator.open_timeline(self._schedule, instead=True)
