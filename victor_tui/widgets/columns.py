"""The columns of a table: their layout, their cells, and the order of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from victor_tui.text import clean, fit
from victor_tui.theme import Palette, Tone

R = TypeVar("R")

Cell = tuple[str, Tone]
"""Text and tone of a cell."""


@dataclass(frozen=True)
class Column(Generic[R]):
    """One column. Columns with a higher `priority` number are dropped first if the table is too narrow.

    `cell` returns text and tone, or several pieces of them. `sort` returns the sort key. Columns with `grow`
    share the remaining width by this weight. The cells of `live` columns depend on the time.
    """

    key: str
    title: str
    width: int
    cell: Callable[[R, datetime], Cell | list[Cell]]
    sort: Callable[[R], Any] | None = None
    priority: int = 0
    grow: int = 0
    align: str = "left"
    live: bool = False


@dataclass(frozen=True)
class Placed(Generic[R]):
    """A column with its position and width at the current size."""

    column: Column[R]
    x: int
    width: int


def place_columns(columns: Sequence[Column[R]], width: int) -> list[Placed[R]]:
    """Return the columns that fit into `width` cells, with the remaining width distributed."""
    kept = list(columns)
    while len(kept) > 1 and sum(c.width + 2 for c in kept) - 1 > width:
        worst = max(c.priority for c in kept)
        kept.remove(next(c for c in reversed(kept) if c.priority == worst))
    spare = max(0, width - sum(c.width + 2 for c in kept) + 1)
    shares = sum(c.grow for c in kept)
    placed, x = [], 1
    for column in kept:
        share = spare * column.grow // shares if shares else 0
        placed.append(Placed(column, x, min(column.width + share, max(1, width - x))))
        x += column.width + share + 2
    return placed


def sort_rows(rows: Iterable[R], column: Column[R] | None, reverse: bool) -> list[R]:
    """Return the rows in the order of a column. Rows without a value come last."""
    if column is None or column.sort is None:
        return list(rows)
    value = column.sort
    present: list[R] = []
    absent: list[R] = []
    for row in rows:
        (absent if value(row) is None else present).append(row)
    present.sort(key=value, reverse=reverse)
    return present + absent


def draw_header(
    columns: Sequence[Placed[R]], sort_key: str | None, reverse: bool, width: int, style: Style, note: Segment
) -> Strip:
    """Draw the titles, with a sign at the sorted column, and a note in the last gap between titles that has space."""
    pieces, x = [Segment(" ", style)], 1
    gaps: list[tuple[int, int]] = []
    ended = 1
    for placed in columns:
        title = placed.column.title
        if placed.column.key == sort_key:
            title += " ▾" if reverse else " ▴"
        pieces.append(Segment(" " * (placed.x - x), style))
        shown = fit(title, placed.width, placed.column.align)
        pieces.append(Segment(shown, style))
        gaps.append((ended, placed.x + len(shown) - len(shown.lstrip())))
        x = placed.x + placed.width
        ended = placed.x + cell_len(shown.rstrip())
    strip = Strip(pieces).adjust_cell_length(width, style)
    gaps.append((ended, width))
    size = note.cell_length
    left = next((end - size for start, end in reversed(gaps) if end - start >= size), width - size)
    if not note.text or left <= 0:
        return strip
    return Strip([*strip.crop(0, left), note, *strip.crop(left + size, width)])


def draw_row(
    columns: Sequence[Placed[R]], row: R, now: datetime, base: Style, palette: Palette, mark: str, width: int
) -> Strip:
    """Draw the cells of a row after a mark of one character."""
    pieces, x = [Segment(mark, base + palette.style("key"))], 1
    for placed in columns:
        pieces.append(Segment(" " * (placed.x - x), base))
        pieces.extend(draw_cell(placed, row, now, base, palette))
        x = placed.x + placed.width
    return Strip(pieces).adjust_cell_length(width, base)


def draw_cell(placed: Placed[R], row: R, now: datetime, base: Style, palette: Palette) -> list[Segment]:
    """Draw the cell of a row in the width of its column."""
    content = placed.column.cell(row, now)
    if isinstance(content, tuple):
        text = fit(clean(content[0]), placed.width, placed.column.align)
        return [Segment(text, base + palette.style(content[1]))]
    pieces = [Segment(clean(text), base + palette.style(tone)) for text, tone in content]
    return list(Strip(pieces).adjust_cell_length(placed.width, base))
