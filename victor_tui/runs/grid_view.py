"""The widget of the newest runs of a workflow: a column for each run, a row for each node."""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import BindingType
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip

from victor_engine.api import GridCell, GridRun, RunGrid
from victor_tui.keys import bindings
from victor_tui.text import clean, fit
from victor_tui.theme import Tone, node_mark, run_mark
from victor_tui.widgets.cell_grid import CellGrid

CELL = 2
"""Width of a cell: the mark of the last attempt, and the number of attempts if there are several."""
_NAMES = 16
"""Minimum width of the names of nodes, in cells."""
_MOST_NAMES = 30
_HEAD = 1


def runs_that_fit(width: int) -> int:
    """Return the number of runs that fit into `width` cells beside the names."""
    return max(1, (width - _NAMES - 2) // CELL)


def cell_text(cell: GridCell | None) -> tuple[str, Tone]:
    """Return the text and the tone of a cell; None is a node that the run has not reached."""
    if cell is None:
        return "· ", "dim"
    mark = node_mark(cell.status)
    count = " " if cell.attempts < 2 else str(cell.attempts) if cell.attempts < 10 else "+"
    return f"{mark.glyph}{count}", mark.tone


class GridView(CellGrid):
    """The grid of a `RunGrid`, newest run at the right. Left and right move through runs, up and down through nodes."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("grid")

    class Moved(Message):
        """The cursor is on another cell, or the cell has changed."""

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, GridView.Moved)

    class Chosen(Message):
        def __init__(self, run_id: str) -> None:
            super().__init__()
            self.run_id = run_id

    class Resized(Message):
        """The number of runs that fit has changed."""

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self.grid: RunGrid | None = None
        self._runs: tuple[GridRun, ...] = ()  # oldest first
        self._row = 0
        self._column = 0

    # --- data -----------------------------------------------------------------------------------

    def show(self, grid: RunGrid) -> None:
        """Draw a grid. The cursor stays on its run and node; at first it is on the newest run."""
        run, node = self.run, self.node
        self.grid, self._runs = grid, grid.runs[::-1]
        ids = [each.run.id for each in self._runs]
        self._column = ids.index(run.run.id) if run is not None and run.run.id in ids else len(ids) - 1
        self._row = grid.nodes.index(node) if node in grid.nodes else 0
        self.virtual_size = Size(self.size.width, len(grid.nodes) + _HEAD)
        self.refresh()
        self.post_message(self.Moved())

    @property
    def run(self) -> GridRun | None:
        """The run under the cursor."""
        return self._runs[self._column] if 0 <= self._column < len(self._runs) else None

    @property
    def node(self) -> str | None:
        """The node under the cursor."""
        nodes = self.grid.nodes if self.grid is not None else ()
        return nodes[self._row] if self._row < len(nodes) else None

    @property
    def cell(self) -> GridCell | None:
        """The cell under the cursor; None if the run has not reached the node."""
        run, node = self.run, self.node
        return run.cells.get(node) if run is not None and node is not None else None

    # --- drawing --------------------------------------------------------------------------------

    def on_resize(self, event: events.Resize) -> None:
        self.post_message(self.Resized())

    @property
    def _names_width(self) -> int:
        return max(_NAMES, min(_MOST_NAMES, self.size.width - len(self._runs) * CELL - 2))

    def render_line(self, y: int) -> Strip:
        grid = self.grid
        if grid is None:
            return Strip.blank(self.size.width, self.rich_style)
        if not self._runs:
            words = f"  No runs of {clean(grid.workflow)}." if y == 1 else ""
            return self._strip([(words, "dim")], self.rich_style)
        if y == 0:
            marks = [run_mark(each.run.status) for each in self._runs]
            cells: list[tuple[str, Tone]] = [(f"{mark.glyph} ", mark.tone) for mark in marks]
            return self._draw_row("run", cells, self.rich_style + self._palette.header, on_cursor=False)
        row = round(self.scroll_y) + y - _HEAD
        if row >= len(grid.nodes):
            return Strip.blank(self.size.width, self.rich_style)
        node, on_cursor = grid.nodes[row], row == self._row
        cells = [cell_text(each.cells.get(node)) for each in self._runs]
        base = self.rich_style + (self._palette.cursor_blurred if on_cursor else Style())
        return self._draw_row(node, cells, base, on_cursor=on_cursor)

    def _strip(self, pieces: list[tuple[str, Tone]], base: Style) -> Strip:
        segments = [Segment(text, base + self._palette.style(tone)) for text, tone in pieces]
        return Strip(segments).adjust_cell_length(self.size.width, base)

    def _draw_row(self, name: str, cells: list[tuple[str, Tone]], base: Style, *, on_cursor: bool) -> Strip:
        width = self._names_width
        head = [
            Segment("›" if on_cursor else " ", base + self._palette.style("key")),
            Segment(fit(clean(name), width - 1) + " ", base + self._palette.style("head")),
        ]
        reverse = Style(reverse=True)
        drawn = [
            Segment(
                text,
                base + self._palette.style(tone) + (reverse if on_cursor and at == self._column else Style()),
            )
            for at, (text, tone) in enumerate(cells)
        ]
        return Strip([*head, *drawn]).adjust_cell_length(self.size.width, base)

    # --- moving ---------------------------------------------------------------------------------

    def go(self, row: int, column: int) -> None:
        """Move the cursor to a cell, or to the nearest one."""
        if self.grid is None or not self._runs:
            return
        self._row = max(0, min(row, len(self.grid.nodes) - 1))
        self._column = max(0, min(column, len(self._runs) - 1))
        self.show_row(self._row, _HEAD)
        self.refresh()
        self.post_message(self.Moved())

    def go_to_newest(self) -> None:
        """Move the cursor to the newest run."""
        self.go(self._row, len(self._runs) - 1)

    def go_to_failure(self) -> bool:
        """Move the cursor to the next older run in which this node failed. Return False if there is none."""
        node = self.node
        for column in range(self._column - 1, -1, -1):
            cell = self._runs[column].cells.get(node or "")
            if cell is not None and cell.status == "failed":
                self.go(self._row, column)
                return True
        return False

    def action_node(self, step: int) -> None:
        self.go(self._row + step, self._column)

    def action_run(self, step: int) -> None:
        self.go(self._row, self._column + step)

    def action_page(self, step: int) -> None:
        self.go(self._row + step * max(1, self.size.height - _HEAD - 1), self._column)

    def action_edge(self, end: int) -> None:
        self.go(0 if end == 0 else 10**6, self._column)

    def action_choose(self) -> None:
        if self.run is not None:
            self.post_message(self.Chosen(self.run.run.id))

    def on_click(self, event: events.Click) -> None:
        if event.y >= _HEAD:
            column = (event.x - self._names_width) // CELL
            self.go(round(self.scroll_y) + event.y - _HEAD, column if column >= 0 else self._column)
