"""The widget of a day of all schedules: a lane for each schedule, a cell for each span, and totals."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, tzinfo
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import BindingType
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip

from victor_engine.api import Agenda, AgendaLane
from victor_tui.keys import bindings
from victor_tui.text import clean, fit
from victor_tui.theme import Tone, fire_mark, run_mark
from victor_tui.widgets.cell_grid import CellGrid

HOURS = 24
_PER_HOUR = (6, 4, 3, 2, 1)
"""Possible numbers of cells per hour: 10, 15, 20, 30 or 60 minutes each."""
_NAMES = 14
"""Minimum width of the names of lanes, in cells."""
_HEAD = 2
_DENSITY = ((10, "█"), (4, "▆"), (2, "▄"), (1, "▂"))
_WORST = ("failed", "missed", "rejected", "cancelled", "running", "queued", "skipped", "succeeded")
_RUNS = frozenset(("failed", "rejected", "cancelled", "running", "succeeded", "waiting", "pausing", "paused"))

Glyph = tuple[str, Tone]


def cells_per_hour(width: int) -> int:
    """Return the number of cells per hour that fits into `width` cells beside the names."""
    return next((each for each in _PER_HOUR if HOURS * each <= width - _NAMES - 2), 1)


def make_edges(start: datetime, per_hour: int) -> list[datetime]:
    """Return the edges of the cells of `HOURS` from `start`.

    Changes of the clocks do not change their length.
    """
    step = timedelta(hours=1) / per_hour
    return [start + step * n for n in range(HOURS * per_hour + 1)]


def first_edge(now: datetime, zone: tzinfo | None, per_hour: int) -> datetime:
    """Return the start of the cell of `now`, by the clock of `zone`."""
    local = now.astimezone(zone)
    into = timedelta(
        minutes=local.minute % (60 // per_hour), seconds=local.second, microseconds=local.microsecond
    )
    return now - into


def worst(past: Mapping[str, int]) -> Glyph:
    """Return glyph and tone of the most urgent outcome."""
    names = [name for name in _WORST if past.get(name)] or list(past)
    if not names:
        return "·", "dim"
    mark = run_mark(names[0]) if names[0] in _RUNS else fire_mark(names[0])
    return mark.glyph, mark.tone


def cell_of(lane: AgendaLane, index: int) -> Glyph:
    """Return the cell of a lane in one span: the density of planned fires, else the worst past outcome."""
    planned = lane.planned[index]
    if planned:
        glyph = next(glyph for least, glyph in _DENSITY if planned >= least)
        return glyph, "dim" if lane.paused else "busy"
    if lane.excluded[index]:
        return "×", "warn"
    return worst(lane.past[index])


def planned_total(agenda: Agenda, index: int) -> tuple[int, int]:
    """Return the number of planned fires in one span, and the number of their schedules."""
    counts = [lane.planned[index] for lane in agenda.lanes]
    return sum(counts), sum(1 for count in counts if count)


class Timeline(CellGrid):
    """A timeline of an `Agenda`. Up and down move through lanes, left and right through time."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("timeline")

    class Moved(Message):
        """The cursor is on another cell, or the cell has changed."""

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, Timeline.Moved)

    class Beyond(Message):
        """The cursor was moved beyond the start (-1) or the end (1) of the timeline."""

        def __init__(self, way: int) -> None:
            super().__init__()
            self.way = way

    class Chosen(Message):
        def __init__(self, schedule_id: str) -> None:
            super().__init__()
            self.schedule_id = schedule_id

    class Resized(Message):
        """The number of cells that fit has changed."""

    def __init__(self, zone: tzinfo | None, id: str | None = None) -> None:
        super().__init__(id=id)
        self.zone = zone
        self.agenda: Agenda | None = None
        self.now: datetime | None = None
        self.lane = 0
        self.span = 0

    # --- data -----------------------------------------------------------------------------------

    @property
    def per_hour(self) -> int:
        return cells_per_hour(self.size.width)

    def show(self, agenda: Agenda, now: datetime) -> None:
        """Draw an agenda. The cursor stays on its schedule and, if visible, its instant."""
        chosen = self.current
        at = self.agenda.edges[self.span] if self.agenda is not None else now
        self.agenda, self.now = agenda, now
        spans = len(agenda.edges) - 1
        ids = [lane.schedule_id for lane in agenda.lanes]
        if chosen is not None and chosen.schedule_id in ids:
            self.lane = ids.index(chosen.schedule_id)
        self.lane = max(0, min(self.lane, len(ids) - 1))
        self.span = max(0, min(sum(edge <= at for edge in agenda.edges) - 1, spans - 1))
        self.virtual_size = Size(self.size.width, len(ids) + _HEAD + 1)
        self.refresh()
        self.post_message(self.Moved())

    @property
    def current(self) -> AgendaLane | None:
        """The lane under the cursor."""
        lanes = self.agenda.lanes if self.agenda is not None else ()
        return lanes[self.lane] if self.lane < len(lanes) else None

    def select(self, schedule_id: str) -> None:
        """Move the cursor to the lane of this schedule, if it is visible."""
        for index, lane in enumerate(self.agenda.lanes if self.agenda is not None else ()):
            if lane.schedule_id == schedule_id:
                self._go(index, self.span)

    # --- drawing --------------------------------------------------------------------------------

    def on_resize(self, event: events.Resize) -> None:
        self.post_message(self.Resized())

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    @property
    def _names_width(self) -> int:
        spans = len(self.agenda.edges) - 1 if self.agenda is not None else 0
        return max(_NAMES, min(30, self.size.width - spans - 2))

    def render_line(self, y: int) -> Strip:
        agenda, height = self.agenda, self.size.height
        if agenda is None:
            return Strip.blank(self.size.width, self.rich_style)
        if y == 0:
            return self._draw_days(agenda)
        if y == 1:
            return self._draw_hours(agenda)
        if y == height - 1:
            return self._draw_totals(agenda)
        index = round(self.scroll_y) + y - _HEAD
        if index >= len(agenda.lanes):
            return self._line([("  no schedules" if not agenda.lanes and y == 3 else "", "dim")])
        return self._draw_lane(agenda.lanes[index], index == self.lane)

    def _line(self, pieces: list[Glyph], base: Style | None = None) -> Strip:
        base = self.rich_style if base is None else base
        return Strip(
            [Segment(text, base + self._palette.style(tone)) for text, tone in pieces]
        ).adjust_cell_length(self.size.width, base)

    def _draw_days(self, agenda: Agenda) -> Strip:
        """Draw the days and the changes of the clocks."""
        spans = len(agenda.edges) - 1
        marks: list[tuple[int, str, Tone]] = []
        before: datetime | None = None
        for index, edge in enumerate(agenda.edges[:-1]):
            local = edge.astimezone(self.zone)
            if before is not None and (moved := _clock_change(before, local)):
                marks.append((index, moved, "warn"))
            elif index == 0 or (before is not None and local.date() != before.date()):
                marks.append((index, f"{local:%a %d %b}", "head"))
            before = local
        pieces: list[Glyph] = [(" " * (self._names_width + 1), "plain")]
        at = 0
        for number, (index, text, tone) in enumerate(marks):
            if index < at:
                continue
            space = (marks[number + 1][0] if number + 1 < len(marks) else spans + 8) - index - 1
            words = text if len(text) <= space or tone == "warn" else text[: max(0, space)].rstrip()
            pieces += [(" " * (index - at), "plain"), (words, tone)]
            at = index + len(words)
        return self._line(pieces)

    def _draw_hours(self, agenda: Agenda) -> Strip:
        per_hour = round(timedelta(hours=1) / (agenda.edges[1] - agenda.edges[0]))
        every = 1 if per_hour >= 3 else 2 if per_hour == 2 else 4
        text = [" "] * (len(agenda.edges) + 2)
        for index, edge in enumerate(agenda.edges[:-1]):
            local = edge.astimezone(self.zone)
            if local.minute < 60 // per_hour and local.hour % every == 0 and text[index] == " ":
                text[index : index + 2] = f"{local:%H}"
        name = fit(f" {60 // per_hour} min a cell", self._names_width + 1)
        return self._line([(name, "dim"), ("".join(text), "dim")])

    def _draw_lane(self, lane: AgendaLane, on_cursor: bool) -> Strip:
        base = self.rich_style
        if on_cursor:
            base += self._palette.cursor_blurred
        sign = "›" if on_cursor else " "
        words = f"{'‖ ' if lane.paused else ''}{clean(lane.schedule_id)}"
        if clean(lane.workflow) != clean(lane.schedule_id):
            words = f"{'‖ ' if lane.paused else ''}{clean(lane.workflow)} {clean(lane.schedule_id)}"
        pieces: list[Segment] = [
            Segment(sign, base + self._palette.style("key")),
            Segment(
                fit(words, self._names_width - 1) + " ",
                base + self._palette.style("dim" if lane.paused else "head"),
            ),
        ]
        for index in range(len(lane.planned)):
            glyph, tone = cell_of(lane, index)
            style = base + self._palette.style(tone)
            if on_cursor and index == self.span:
                style += Style(reverse=True)
            pieces.append(Segment(glyph, style))
        return Strip(pieces).adjust_cell_length(self.size.width, base)

    def _draw_totals(self, agenda: Agenda) -> Strip:
        """Draw the number of fires of each span. Spans with several schedules stand out."""
        more = f" (+{agenda.more:,} not shown)" if agenda.more else ""
        pieces: list[Glyph] = [(fit(f" all fires{more}", self._names_width + 1), "head")]
        for index in range(len(agenda.edges) - 1):
            count, schedules = planned_total(agenda, index)
            text = " " if not count else str(count) if count < 10 else "+"
            pieces.append((text, "warn" if schedules > 1 else "plain"))
        return self._line(pieces, self.rich_style + self._palette.header)

    # --- moving ---------------------------------------------------------------------------------

    def _go(self, lane: int, span: int) -> None:
        if self.agenda is None:
            return
        self.lane = max(0, min(lane, len(self.agenda.lanes) - 1))
        self.span = span
        self.show_row(self.lane, _HEAD + 1)
        self.refresh()
        self.post_message(self.Moved())

    def action_lane(self, step: int) -> None:
        self._go(self.lane + step, self.span)

    def action_page(self, step: int) -> None:
        self._go(self.lane + step * max(1, self.size.height - _HEAD - 2), self.span)

    def action_edge(self, end: int) -> None:
        self._go(0 if end == 0 else 10**6, self.span)

    def action_span(self, step: int) -> None:
        if self.agenda is None:
            return
        span = self.span + step
        if 0 <= span < len(self.agenda.edges) - 1:
            self._go(self.lane, span)
        else:
            self.post_message(self.Beyond(step))

    def action_choose(self) -> None:
        if self.current is not None:
            self.post_message(self.Chosen(self.current.schedule_id))

    def on_click(self, event: events.Click) -> None:
        index, span = round(self.scroll_y) + event.y - _HEAD, event.x - self._names_width - 1
        if self.agenda is not None and event.y >= _HEAD and index < len(self.agenda.lanes):
            inside = 0 <= span < len(self.agenda.edges) - 1
            self._go(index, span if inside else self.span)


def _clock_change(before: datetime, after: datetime) -> str:
    """Return a text such as `clocks +1h` if the offset changes between two local times; else empty."""
    old, new = before.utcoffset(), after.utcoffset()
    if old is None or new is None or old == new:
        return ""
    minutes = round((new - old).total_seconds() / 60)
    hours, rest = divmod(abs(minutes), 60)
    size = f"{hours}h" if not rest else f"{hours}:{rest:02}" if hours else f"{rest}min"
    return f"clocks {'+' if minutes > 0 else '−'}{size}"
