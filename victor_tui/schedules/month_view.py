"""The widget of a month of fires: one row per week, each day with planned and past fires."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import BindingType
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from victor_engine.api import Agenda
from victor_tui.keys import bindings
from victor_tui.text import fit
from victor_tui.theme import Palette, Tone, palette_for

WEEKS = 6
_DAY_NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_SHOWN: tuple[tuple[str, Tone, frozenset[str]], ...] = (
    ("✗", "bad", frozenset({"failed", "rejected", "cancelled"})),
    ("!", "warn", frozenset({"missed"})),
    ("●", "busy", frozenset({"running", "waiting", "pausing", "paused", "queued", "cancelling"})),
    ("–", "dim", frozenset({"skipped"})),
    ("✓", "ok", frozenset({"succeeded", "started", "backfilled"})),
)
"""The past outcomes of a day, by urgency: glyph, tone, and the counted outcomes."""


def midnight(day: date, zone: tzinfo | None) -> datetime:
    """Return the first instant of a day in `zone`, also if a change of the clocks skips midnight."""
    instant = datetime.combine(day, time()).replace(tzinfo=zone).astimezone(UTC)
    while instant.astimezone(zone).date() < day:
        instant += timedelta(minutes=15)
    return instant


def month_days(day: date) -> list[date]:
    """Return the days of `WEEKS` weeks around a month, from a Monday."""
    first = day.replace(day=1)
    start = first - timedelta(days=first.weekday())
    return [start + timedelta(days=n) for n in range(7 * WEEKS)]


def next_month(day: date, by: int) -> date:
    """Return the same day `by` months later, or the last day of that month."""
    months = day.year * 12 + day.month - 1 + by
    year, month = max(1, min(9998, months // 12)), months % 12 + 1
    last = (date(year, month, 1) + timedelta(days=32)).replace(day=1) - timedelta(days=1)
    return date(year, month, min(day.day, last.day))


@dataclass(slots=True)
class DayCounts:
    """The fires of one day of the visible schedules."""

    planned: int = 0
    excluded: int = 0
    past: dict[str, int] = field(default_factory=dict)

    @staticmethod
    def of(agenda: Agenda, index: int, schedule_id: str | None) -> DayCounts:
        counts = DayCounts()
        for lane in agenda.lanes:
            if schedule_id in (None, lane.schedule_id):
                counts.planned += lane.planned[index]
                counts.excluded += lane.excluded[index]
                for name, count in lane.past[index].items():
                    counts.past[name] = counts.past.get(name, 0) + count
        return counts

    def outcomes(self) -> list[tuple[str, Tone]]:
        """Return texts such as `✗1` and `✓12` with tones, the most urgent first."""
        found = []
        for glyph, tone, names in _SHOWN:
            count = sum(self.past.get(name, 0) for name in names)
            if count:
                found.append((f"{glyph}{short_count(count)}", tone))
        return found


def short_count(count: int) -> str:
    """Return a count in at most four characters."""
    return str(count) if count < 10_000 else f"{count // 1000}k"


class Month(Widget, can_focus=True):
    """A month of an `Agenda` whose spans are days."""

    DEFAULT_CSS = """
    Month { height: auto; background: $background; color: $foreground; }
    """
    BINDINGS: ClassVar[list[BindingType]] = bindings("month")

    class Moved(Message):
        """The cursor is on another day."""

    class Chosen(Message):
        """Enter was pressed on a day."""

    def __init__(self, today: date, id: str | None = None) -> None:
        super().__init__(id=id)
        self.today = today
        self.day = today
        self.agenda: Agenda | None = None
        self.schedule_id: str | None = None
        self.days: list[date] = month_days(today)
        self._drawn: list[date] = []
        self._palette: Palette = palette_for("")

    def show(self, agenda: Agenda, schedule_id: str | None) -> None:
        """Draw an agenda of one schedule or of all. Its spans must be `days`."""
        self.agenda, self.schedule_id, self._drawn = agenda, schedule_id, list(self.days)
        self.refresh()

    @property
    def index(self) -> int:
        return self.days.index(self.day)

    def counts(self, index: int) -> DayCounts | None:
        """Return the fires of a day, or None if they are not loaded."""
        if self.agenda is None or self._drawn != self.days:
            return None
        return DayCounts.of(self.agenda, index, self.schedule_id)

    def get_content_height(self, container: object, viewport: object, width: int) -> int:
        return 1 + 2 * WEEKS

    def on_mount(self) -> None:
        self._restyle()
        self.watch(self.app, "theme", self._restyle, init=False)

    def _restyle(self) -> None:
        self._palette = palette_for(self.app.theme)
        self.refresh()

    # --- drawing --------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        base, width = self.rich_style, self.size.width
        cell = max(6, (width - 1) // 7)
        if y == 0:
            style = base + self._palette.header
            names = "".join(fit(f" {name}", cell) for name in _DAY_NAMES)
            return Strip([Segment(" " + names, style)]).adjust_cell_length(width, style)
        week, second = divmod(y - 1, 2)
        if week >= WEEKS:
            return Strip.blank(width, base)
        segments = [Segment(" ", base)]
        for place in range(7):
            segments += self._draw_day(week * 7 + place, cell, bool(second))
        return Strip(segments).adjust_cell_length(width, base)

    def _draw_day(self, index: int, cell: int, second: bool) -> list[Segment]:
        day, base = self.days[index], self.rich_style
        if day == self.day:
            base += self._palette.cursor if self.has_focus else self._palette.cursor_blurred
        toned = self._palette.cursor_tones or day != self.day
        counts = self.counts(index)
        pieces: list[tuple[str, Tone]]
        if not second:
            tone = "key" if day == self.today else "head" if day.month == self.days[15].month else "dim"
            pieces = [(f" {day.day:>2}{'◂' if day == self.today else ' '}", tone)]
            if counts is not None and counts.planned:
                pieces.append((f"▸{short_count(counts.planned)} ", "busy"))
            if counts is not None and counts.excluded:
                pieces.append((f"×{short_count(counts.excluded)}", "warn"))
        else:
            pieces = [(" ", "plain")]
            for text, tone in counts.outcomes() if counts is not None else ():
                if sum(len(each) for each, _ in pieces) + len(text) < cell:
                    pieces.append((f"{text} ", tone))
        segments = [
            Segment(text, base + (self._palette.style(tone) if toned else Style.null()))
            for text, tone in pieces
        ]
        return [*Strip(segments).adjust_cell_length(cell - 1, base), Segment(" ", self.rich_style)]

    # --- moving ---------------------------------------------------------------------------------

    def go(self, day: date) -> None:
        """Move the cursor to a day, and show its month."""
        self.day = day
        if (day.year, day.month) != (self.days[15].year, self.days[15].month):
            self.days = month_days(day)
        self.refresh()
        self.post_message(self.Moved())

    def action_day(self, by: int) -> None:
        self.go(self.day + timedelta(days=by))

    def action_month(self, by: int) -> None:
        self.go(next_month(self.day, by))

    def action_today(self) -> None:
        self.go(self.today)

    def action_choose(self) -> None:
        self.post_message(self.Chosen())

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        cell = max(6, (self.size.width - 1) // 7)
        week, place = (event.y - 1) // 2, (event.x - 1) // cell
        if event.y >= 1 and week < WEEKS and 0 <= place < 7:
            self.go(self.days[week * 7 + place])
