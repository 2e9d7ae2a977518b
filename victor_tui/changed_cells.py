"""The cells that a terminal shows, so that an update writes only those that change.

Textual draws whole lines of each widget that it refreshes. Over a slow line most of these bytes repeat cells that
the terminal shows already: a clock that moves by a second costs its whole line.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from itertools import pairwise

from rich.cells import cell_len
from rich.segment import Segment
from textual.strip import Strip

Cell = tuple[str, Hashable]
"""A sign and its style. An unknown cell is None."""
GAP = 8
"""Unchanged cells between two changed ones that are written again: to move the cursor costs about as much."""


class ShownCells:
    """The cells that the terminal shows. A cell is unknown until it is written."""

    def __init__(self) -> None:
        self._rows: dict[int, list[Cell | None]] = {}

    def forget(self) -> None:
        """Treat all cells as unknown, because something else may have written to the terminal."""
        self._rows.clear()

    def changes(self, x: int, y: int, strip: Strip) -> Iterator[tuple[int, Strip]]:
        """Yield the parts of `strip` that row `y` does not show from column `x` on, and note that it shows them."""
        segments = [segment for segment in strip if segment.text and not segment.control]
        plain = all(len(segment.text) == cell_len(segment.text) for segment in segments)
        cells = _cells(segments, plain=plain)
        row = self._rows.setdefault(y, [])
        end = x + len(cells)
        row.extend([None] * (end - len(row)))
        shown = row[x:end]
        if shown == cells:
            return
        row[x:end] = cells
        if not plain:
            yield x, strip
            return
        for start, stop in _ranges([i for i, cell in enumerate(cells) if cell != shown[i]]):
            yield x + start, _crop(segments, start, stop)


def _cells(segments: Sequence[Segment], *, plain: bool) -> Sequence[Cell]:
    """Return a cell for each column. The signs of `plain` segments all have one column.

    Terminals disagree about the width of wide and combining characters. The cells of a strip with such characters
    have the whole strip as their style: it is written whole if one of them differs, so that a shift by a column
    does not stay on the screen.
    """
    if plain:
        return [(sign, style) for text, style, _ in segments for sign in text]
    whole = tuple((text, style) for text, style, _ in segments)
    return [("", whole)] * sum(cell_len(segment.text) for segment in segments)


def _ranges(changed: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the first and the last column plus one of each range of changed columns, without small gaps."""
    start = changed[0]
    for before, after in pairwise(changed):
        if after - before > GAP:
            yield start, before + 1
            start = after
    yield start, changed[-1] + 1


def _crop(segments: Sequence[Segment], start: int, stop: int) -> Strip:
    """Return the columns from `start` to before `stop` of segments whose signs all have one column."""
    pieces = []
    offset = 0
    for text, style, _ in segments:
        piece = text[max(0, start - offset) : max(0, stop - offset)]
        if piece:
            pieces.append(Segment(piece, style))
        offset += len(text)
    return Strip(pieces, stop - start)
