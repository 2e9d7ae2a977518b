"""The attempts of a run as bars over time: queued, running, waiting, and waiting for a retry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from textual.binding import BindingType
from textual.content import Content
from textual.events import Resize
from textual.message import Message

from victor_engine.api import AttemptInfo, RunInfo
from victor_tui.keys import bindings
from victor_tui.text import clean, duration, fit
from victor_tui.theme import Tone, node_mark, run_mark
from victor_tui.widgets.graph import toned
from victor_tui.widgets.lines import LineView

SIGNS: dict[str, str] = {"queued": "░", "running": "━", "waiting": "╌", "retrying": "·"}
"""The character of each kind of time. They differ without colours."""
WAITS = frozenset({"hitl", "wait", "workflow"})
"""Types of nodes that wait."""

_NAME = 15
_TOOK = 8
_LEAST_BAR = 10
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800, 43_200, 86_400)
"""Possible distances of two marks of the scale, in seconds."""
_MARK_CELLS = 10
"""Width of the label of a mark, in cells."""
CLOSEST = 0.1
"""Shortest period that the full width shows, in seconds."""


@dataclass(frozen=True, slots=True)
class Span:
    """A period of one row, and its kind: a key of `SIGNS`."""

    start: datetime
    end: datetime
    kind: str


@dataclass(frozen=True, slots=True)
class Bar:
    """One row: an attempt, or without one the time until the run started."""

    name: str
    tone: Tone
    glyph: str
    spans: tuple[Span, ...]
    took: float
    attempt: AttemptInfo | None = None


def bars(run: RunInfo, attempts: Sequence[AttemptInfo], now: datetime) -> list[Bar]:
    """Return the rows of a run, oldest first."""
    found = []
    began = run.started_at or now
    if began > run.created_at:
        mark = run_mark("queued")
        wait = Span(run.created_at, began, "queued")
        found.append(Bar("queued", "dim", mark.glyph, (wait,), (began - run.created_at).total_seconds()))
    following: dict[tuple[str, int], AttemptInfo] = {}
    tries = []
    for attempt in reversed(attempts):
        tries.append(_bar(attempt, following.get((attempt.node_id, attempt.iteration)), now))
        following[(attempt.node_id, attempt.iteration)] = attempt
    return found + tries[::-1]


def _bar(attempt: AttemptInfo, after: AttemptInfo | None, now: datetime) -> Bar:
    end = attempt.finished_at or now
    waits = attempt.node_type in WAITS or attempt.status == "waiting"
    spans = [Span(attempt.started_at, end, "waiting" if waits else "running")]
    if after is not None and after.started_at > end:
        spans.append(Span(end, after.started_at, "retrying"))
    elif attempt.status == "retrying":
        spans.append(Span(end, max(now, attempt.retry_at or now), "retrying"))
    mark = node_mark(attempt.status)
    name = f"{'└ ' if attempt.parent else ''}{attempt.node_id}"
    name += f" ×{attempt.iteration}" if attempt.iteration > 1 else ""
    name += f" #{attempt.number}" if attempt.number > 1 else ""
    return Bar(name, mark.tone, mark.glyph, tuple(spans), (end - attempt.started_at).total_seconds(), attempt)


@dataclass(frozen=True, slots=True)
class Window:
    """The visible period: `seconds` from `start`, drawn on `cells` cells."""

    start: datetime
    seconds: float
    cells: int

    def position(self, instant: datetime) -> float:
        """Return the cells between the left edge and an instant; negative before the edge."""
        return (instant - self.start).total_seconds() / self.seconds * self.cells

    def draw(self, spans: Sequence[Span]) -> str:
        """Return the spans as one line, with an arrow at an edge if a span continues beyond it."""
        cells = [" "] * self.cells
        before = after = False
        for span in spans:
            low, high = self.position(span.start), self.position(span.end)
            before = before or low < 0
            after = after or high > self.cells + 0.5
            # A span without length at the right edge takes the last cell.
            begin = self.cells - 1 if low == self.cells else int(low)
            first, last = max(0, begin), min(self.cells, max(begin + 1, round(high)))
            for cell in range(first, last):
                cells[cell] = SIGNS[span.kind]
        if before and cells[0] == " ":
            cells[0] = "‹"
        if after and cells[-1] == " ":
            cells[-1] = "›"
        return "".join(cells)

    def scale(self, origin: datetime) -> str:
        """Return the scale: marks with the time since `origin`."""
        step = next((s for s in _STEPS if s / self.seconds * self.cells >= _MARK_CELLS), _STEPS[-1])
        while step / self.seconds * self.cells < _MARK_CELLS:
            step *= 2
        line = [" "] * self.cells
        offset = (self.start - origin).total_seconds()
        number = int(offset // step)
        while (position := self.position(origin + timedelta(seconds=number * step))) < self.cells:
            at = round(position)
            if 0 <= at < self.cells and number >= 0:
                for index, char in enumerate(f"╵{_short(number * step)}"[: self.cells - at]):
                    line[at + index] = char
            number += 1
        return "".join(line)


def _short(seconds: int) -> str:
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m" + (f"{seconds % 60:02}s" if seconds % 60 else "")
    return f"{seconds // 3600}h" + (f"{seconds % 3600 // 60:02}m" if seconds % 3600 else "")


class Gantt(LineView):
    """Bars with a cursor. z and Z zoom around the selected bar, left and right scroll, W shows all."""

    show_cursor = True
    DEFAULT_CSS = """
    Gantt > .lineview--cursor { background: $block-cursor-background; color: $block-cursor-foreground; }
    Gantt > .lineview--cursor-blurred { background: $block-cursor-blurred-background; }
    """
    BINDINGS: ClassVar[list[BindingType]] = bindings("gantt")

    class Selected(Message):
        """The cursor is on another row, or the visible period has changed."""

        def __init__(self, attempt: AttemptInfo | None) -> None:
            super().__init__()
            self.attempt = attempt

    class Chosen(Message):
        """Enter was pressed on an attempt."""

        def __init__(self, attempt: AttemptInfo) -> None:
            super().__init__()
            self.attempt = attempt

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.bars: list[Bar] = []
        self._first = self._last = datetime.min
        self._zoom = 1.0
        """Visible share of the duration of the run."""
        self._start = 0.0
        """Start of the visible period, as a share of the duration of the run."""

    def show(self, run: RunInfo, attempts: Sequence[AttemptInfo], now: datetime) -> None:
        """Draw the attempts of a run, oldest first. The visible share of the duration stays the same."""
        at_end = self.cursor >= len(self.bars) - 1
        self.bars = bars(run, attempts, now)
        ends = [span.end for bar in self.bars for span in bar.spans]
        self._first, self._last = run.created_at, max([run.created_at, *ends])
        self.set_line_count(len(self.bars), 0)
        if at_end and self.bars:
            self.move_to(len(self.bars) - 1)

    @property
    def current(self) -> AttemptInfo | None:
        """The attempt under the cursor."""
        return self.bars[self.cursor].attempt if self.cursor < len(self.bars) else None

    @property
    def window(self) -> Window:
        whole = max((self._last - self._first).total_seconds(), CLOSEST)
        cells = max(_LEAST_BAR, self.size.width - _NAME - _TOOK - 4)
        return Window(self._first + timedelta(seconds=self._start * whole), self._zoom * whole, cells)

    def scale(self) -> str:
        """Return the line above the bars."""
        return " " * (_NAME + _TOOK + 3) + self.window.scale(self._first)

    # --- drawing ------------------------------------------------------------------------------

    def line_at(self, index: int) -> Content:
        bar = self.bars[index]
        return Content.assemble(
            (f" {bar.glyph} ", toned(bar.tone)),
            (fit(clean(bar.name), _NAME), "bold" if bar.attempt is not None else "$foreground-muted"),
            (f"{duration(bar.took):>{_TOOK - 1}} ", "$foreground-muted"),
            (self.window.draw(bar.spans), toned(bar.tone)),
        )

    def on_resize(self, _event: Resize) -> None:
        self._redraw()

    def _redraw(self) -> None:
        self.set_line_count(len(self.bars), 0)
        self.post_message(self.Selected(self.current))

    # --- moving -------------------------------------------------------------------------------

    def select(self, attempt_id: int) -> None:
        """Move the cursor to an attempt."""
        for index, bar in enumerate(self.bars):
            if bar.attempt is not None and bar.attempt.id == attempt_id:
                self.move_to(index)

    def watch_cursor(self, old: int, new: int) -> None:
        super().watch_cursor(old, new)
        if new < len(self.bars):
            self.post_message(self.Selected(self.current))

    def action_choose(self) -> None:
        if self.current is not None:
            self.post_message(self.Chosen(self.current))

    def action_zoom(self, factor: float) -> None:
        whole = max((self._last - self._first).total_seconds(), CLOSEST)
        zoom = min(1.0, max(self._zoom * factor, CLOSEST / whole))
        middle = self._start + self._zoom / 2
        if factor < 1 and self.cursor < len(self.bars):
            spans = self.bars[self.cursor].spans
            half = (spans[-1].end - spans[0].start) / 2
            middle = (spans[0].start + half - self._first).total_seconds() / whole
        self._zoom = zoom
        self._start = min(max(0.0, middle - zoom / 2), 1.0 - zoom)
        self._redraw()

    def action_pan(self, by: int) -> None:
        self._start = min(max(0.0, self._start + by * self._zoom / 4), 1.0 - self._zoom)
        self._redraw()

    def action_whole(self) -> None:
        self._zoom, self._start = 1.0, 0.0
        self._redraw()
