"""The drawing of the lines of a table."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Size
from textual.strip import Strip

from victor_tui.text import fit
from victor_tui.theme import NO_TONES, Palette, palette_for
from victor_tui.widgets.columns import Column, Placed, draw_header, draw_row, place_columns
from victor_tui.widgets.steady import SteadyRows

R = TypeVar("R")


class PaintedTable(Protocol):
    """The parts of a table that its drawing depends on."""

    steady: SteadyRows[Any]
    marked: set[Hashable]
    sort_key: str | None
    sort_reverse: bool

    @property
    def rich_style(self) -> Style: ...
    @property
    def has_focus(self) -> bool: ...
    @property
    def size(self) -> Size: ...


def row_sign(*, gone: bool, marked: bool, on_cursor: bool) -> str:
    """Return the sign before a row. Cursor and mark are visible without colours, also on the same row."""
    if gone:
        return "×"
    if marked:
        return "»" if on_cursor else "•"
    return "›" if on_cursor else " "


class Painter(Generic[R]):
    """The drawing of the lines of a table: the places of its columns, its colours and its rows."""

    def __init__(
        self, columns: Sequence[Column[R]], key: Callable[[R], Hashable], now: Callable[[], datetime]
    ) -> None:
        self._columns = tuple(columns)
        self._key = key
        self._now = now
        self.placed: list[Placed[R]] = []
        self.palette: Palette = palette_for("")

    def column(self, key: str | None) -> Column[R] | None:
        return next((column for column in self._columns if column.key == key), None)

    def place(self, width: int) -> None:
        """Place the columns that fit into `width` cells, behind the mark of a row."""
        self.placed = place_columns(self._columns, width - 1)

    def header(self, table: PaintedTable) -> Strip:
        style = table.rich_style + self.palette.header
        held = f" {table.steady.note} · . " if table.steady.note else ""
        note = Segment(held, style + self.palette.style("warn"))
        return draw_header(self.placed, table.sort_key, table.sort_reverse, table.size.width, style, note)

    def row(self, table: PaintedTable, row: R, on_cursor: bool) -> Strip:
        """Draw a row; None is a row of a paged table that is not loaded."""
        base = table.rich_style
        if on_cursor:
            base += self.palette.cursor if table.has_focus else self.palette.cursor_blurred
        if row is None:
            return Strip(
                [Segment(fit("› …" if on_cursor else "  …", table.size.width), base)], table.size.width
            )
        toned = self.palette.cursor_tones or not on_cursor or not table.has_focus
        gone = table.steady.is_gone(row)
        palette = self.palette if toned and not gone else NO_TONES
        mark = row_sign(gone=gone, marked=self._key(row) in table.marked, on_cursor=on_cursor)
        style = base + Style(dim=True) if gone else base
        return draw_row(self.placed, row, self._now(), style, palette, mark, table.size.width)
