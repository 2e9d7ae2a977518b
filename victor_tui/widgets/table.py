"""A table for live data, drawn line by line, with a cache of one strip per row.

Rows are frozen values with a key. `set_rows` compares rows by key and redraws only changed rows. The cursor
stays on its key. Columns that do not fit are dropped by priority. Control characters in cells are made
visible.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence, Set
from datetime import datetime
from typing import Any, ClassVar, Generic, TypeVar

from rich.segment import Segment
from textual import events, on
from textual.binding import BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from victor_tui.keys import bindings
from victor_tui.text import fit
from victor_tui.theme import palette_for
from victor_tui.widgets.columns import Column, sort_rows
from victor_tui.widgets.steady import SteadyRows
from victor_tui.widgets.table_painter import Painter

R = TypeVar("R")

LOADING = "Loading…"
"""The text of a table before its rows are loaded."""


class LineTable(ScrollView, Generic[R], can_focus=True):
    """A keyed table of frozen rows of type `R`. Rows of a `steady` one keep their places while the user chooses."""

    DEFAULT_CSS = """
    LineTable { height: 1fr; background: $background; color: $foreground; overflow-x: hidden;
        scrollbar-size-vertical: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = bindings("table")

    cursor: reactive[int] = reactive(0)

    class Highlighted(Message):
        """The cursor is on another row, or its row has changed. `row` is None if the table is empty."""

        def __init__(self, table: LineTable[Any], row: Any) -> None:
            super().__init__()
            self.table = table
            self.row = row

        @property
        def control(self) -> LineTable[Any]:
            return self.table

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, LineTable.Highlighted) and message.table is self.table

    class Chosen(Message):
        """Enter was pressed on a row, or it was clicked when it already had the cursor."""

        def __init__(self, table: LineTable[Any], row: Any) -> None:
            super().__init__()
            self.table = table
            self.row = row

        @property
        def control(self) -> LineTable[Any]:
            return self.table

    def __init__(
        self,
        columns: Sequence[Column[R]],
        *,
        key: Callable[[R], Hashable],
        now: Callable[[], datetime],
        empty: str = "",
        sort: str | None = None,
        reverse: bool = False,
        id: str | None = None,
        steady: bool = False,
    ) -> None:
        super().__init__(id=id)
        self.steady: SteadyRows[R] = SteadyRows(self, key, lambda: bool(self.marked), active=steady)
        self._key = key
        self._empty = empty
        self._loaded = False
        self.sort_key = sort
        self.sort_reverse = reverse
        self._rows: list[R] = []
        self._index: dict[Hashable, int] = {}
        self.marked: set[Hashable] = set()
        self._last_mark: Hashable = None
        self._strips: dict[Hashable, tuple[bool, Strip]] = {}
        self.painter: Painter[R] = Painter(columns, key, now)

    # --- data ---------------------------------------------------------------------------------

    @property
    def empty(self) -> str:
        """The text that is shown without rows."""
        return self._empty if self._loaded else LOADING

    @empty.setter
    def empty(self, text: str) -> None:
        if text != self._empty:
            self._empty = text
            self.refresh()

    def forget(self) -> None:
        """Remove all rows, and show that they are loading."""
        self.set_rows([])
        self._loaded = False
        self.refresh()

    @property
    def rows(self) -> Sequence[R]:
        return self._rows

    @property
    def row(self) -> R | None:
        """The row under the cursor; None if it is gone."""
        row = self._cursor_row
        return None if row is None or self.steady.is_gone(row) else row

    @property
    def _cursor_row(self) -> R | None:
        return self._rows[self.cursor] if 0 <= self.cursor < len(self._rows) else None

    @property
    def marked_rows(self) -> list[R]:
        """The marked rows in their order on the screen."""
        return [row for row in self._rows if self._key(row) in self.marked]

    def set_rows(self, rows: Iterable[R], of: Hashable = None) -> None:
        """Show `rows` of the list `of`. Keep the cursor, the marks, and the strips of unchanged rows."""
        if not self._loaded:
            self._loaded = True
            self.refresh()
        fresh, gone = sort_rows(rows, self.painter.column(self.sort_key), self.sort_reverse), self.steady.gone
        kept = self.steady.place(self._rows, fresh, self._cursor_row, lambda: self._put_rows(fresh), of=of)
        self._put_rows(fresh if kept is None else kept, gone ^ self.steady.gone)

    def _put_rows(self, rows: list[R], redrawn: Set[Hashable] = frozenset()) -> None:
        old_row, shown = self._cursor_row, self.row
        old_index, old_rows = self._index, self._rows
        self._rows = rows
        self._index = {self._key(row): i for i, row in enumerate(self._rows)}
        moved = len(old_rows) != len(self._rows)
        dirty: list[int] = []
        for key, i in self._index.items():
            before = old_index.get(key)
            if before is None:
                moved = True
            else:
                previous, row = old_rows[before], self._rows[i]
                if previous is not row and previous != row:
                    self._strips.pop(key, None)
                    dirty.append(i)
                moved = moved or before != i
        moved = moved or bool(redrawn)
        for key in (old_index.keys() - self._index.keys()) | redrawn:
            self._strips.pop(key, None)
            self.marked.discard(key)
        self._keep_cursor(old_row)
        if moved:
            self.virtual_size = Size(self.size.width, len(self._rows) + 1)
            self.refresh()
        else:
            for i in dirty:
                self._refresh_row(i)
        if self.row != shown or shown != old_row:
            self.post_message(self.Highlighted(self, self.row))

    def show_held(self) -> bool:
        """Show the rows that are held back. Return False if there are none."""
        self._strips.clear()
        return self.steady.show()

    def _keep_cursor(self, old_row: R | None) -> None:
        index = None if old_row is None else self._index.get(self._key(old_row))
        target = max(0, min(self.cursor, len(self._rows) - 1)) if index is None else index
        if target != self.cursor:
            self.set_reactive(LineTable.cursor, target)
            self._show_cursor()
            self.refresh()

    def select(self, key: Hashable) -> bool:
        """Move the cursor to the row with this key. Return False if it does not exist."""
        index = self._index.get(key)
        if index is not None:
            self.cursor = index
        return index is not None

    def tick(self) -> None:
        """Redraw the visible rows whose time-dependent cells have changed. Show held rows if the user is done."""
        if self.steady.is_due:
            self.show_held()
        if not any(p.column.live for p in self.painter.placed):
            return
        top = round(self.scroll_y)
        for i in range(top, min(len(self._rows), top + self.size.height)):
            row = self._rows[i]
            key = self._key(row)
            cached = self._strips.get(key)
            if cached is None:
                continue
            fresh = self.painter.row(self, row, cached[0])
            if fresh != cached[1]:
                self._strips[key] = (cached[0], fresh)
                self._refresh_row(i)

    # --- drawing ------------------------------------------------------------------------------

    def on_mount(self) -> None:
        self.painter.palette = palette_for(self.app.theme)
        self.watch(self.app, "theme", self.redraw, init=False)

    def on_resize(self, event: events.Resize) -> None:
        self.painter.place(event.size.width)
        self.virtual_size = Size(event.size.width, len(self._rows) + 1)
        self.redraw()

    def _refresh_row(self, index: int) -> None:
        y = index + 1 - round(self.scroll_y)
        if 0 < y < self.size.height:
            self.refresh(Region(0, y, self.size.width, 1))

    def render_line(self, y: int) -> Strip:
        if not self.painter.placed:
            self.painter.place(self.size.width)
        if y == 0:
            return self.painter.header(self)
        index = round(self.scroll_y) + y - 1
        width, base = self.size.width, self.rich_style
        if index >= len(self._rows):
            text = ""
            if not self._rows:
                lines = self.empty.split("\n")
                text = "  " + lines[y - 2] if 0 <= y - 2 < len(lines) else ""
            return Strip([Segment(fit(text, width), base + self.painter.palette.style("dim"))], width)
        row = self._rows[index]
        key = self._key(row)
        on_cursor = index == self.cursor
        cached = self._strips.get(key)
        if cached is None or cached[0] != on_cursor:
            cached = (on_cursor, self.painter.row(self, row, on_cursor))
            self._strips[key] = cached
        return cached[1]

    # --- cursor -------------------------------------------------------------------------------

    def validate_cursor(self, value: int) -> int:
        return max(0, min(value, len(self._rows) - 1))

    def watch_cursor(self, old: int, new: int) -> None:
        self._show_cursor()
        self._refresh_row(old)
        self._refresh_row(new)
        self.post_message(self.Highlighted(self, self.row))

    def _show_cursor(self) -> None:
        top, visible = round(self.scroll_y), self.size.height - 1
        if visible <= 0:
            return
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False, force=True)
        elif self.cursor >= top + visible:
            self.scroll_to(y=self.cursor - visible + 1, animate=False, force=True)

    @on(events.Focus)
    @on(events.Blur)
    def _redraw_cursor(self) -> None:
        if (row := self._cursor_row) is not None:
            self._strips.pop(self._key(row), None)
            self._refresh_row(self.cursor)

    def action_move(self, step: int) -> None:
        self.cursor += step

    def action_page(self, step: int) -> None:
        self.cursor += step * max(1, self.size.height - 2)

    def action_edge(self, end: int) -> None:
        self.cursor = 0 if end == 0 else len(self._rows) - 1

    def action_choose(self) -> None:
        if self.row is not None:
            self.post_message(self.Chosen(self, self.row))

    def action_mark(self, to_cursor: bool = False) -> None:
        """Mark the row, or unmark it; with `to_cursor`, mark all rows from the last mark to the cursor."""
        begin = self._index.get(self._last_mark)
        if to_cursor and begin is None:
            self.notify("Mark the first row with space, then go to the last row and press *.", markup=False)
            return
        if to_cursor and begin is not None:
            first, last = sorted((begin, self.cursor))
            found = {key for key, index in self._index.items() if first <= index <= last}
            self.set_marks(self.marked | found)
            if len(found) <= last - first:
                self.notify("Only the loaded rows of this range are marked.", markup=False)
            return
        if self.row is None:
            return
        key = self._key(self.row)
        self.marked.symmetric_difference_update({key})
        self._last_mark = key
        self._redraw_cursor()
        self.post_message(self.Highlighted(self, self.row))
        self.cursor += 1

    def action_mark_all(self) -> None:
        """Mark all listed rows, or unmark them if all are marked."""
        everything = set(self._index)
        self.set_marks(() if everything <= self.marked else everything)

    def redraw(self) -> None:
        """Redraw all rows, after a change of the theme or of data outside the rows that their cells depend on."""
        self.painter.palette = palette_for(self.app.theme)
        self._strips.clear()
        self.refresh()

    def set_marks(self, keys: Iterable[Hashable]) -> None:
        """Mark exactly the rows with these keys."""
        self.marked = {key for key in keys if key in self._index}
        self._strips.clear()
        self.refresh()
        self.post_message(self.Highlighted(self, self.row))

    # --- order --------------------------------------------------------------------------------

    def action_sort_next(self) -> None:
        """Sort by the next visible column that can be sorted."""
        keys = [p.column.key for p in self.painter.placed if p.column.sort is not None]
        if keys:
            index = keys.index(self.sort_key) + 1 if self.sort_key in keys else 0
            self.sort_by(keys[index % len(keys)], False)

    def action_sort_flip(self) -> None:
        self.sort_by(self.sort_key, not self.sort_reverse)

    def sort_by(self, key: str | None, reverse: bool) -> None:
        """Sort by a column, or as the rows came."""
        self.show_held()
        self.sort_key, self.sort_reverse = key, reverse
        self._put_rows(sort_rows(self._rows, self.painter.column(key), reverse))
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        if event.y == 0:
            for placed in self.painter.placed:
                if placed.x <= event.x < placed.x + placed.width and placed.column.sort is not None:
                    same = placed.column.key == self.sort_key
                    self.sort_by(placed.column.key, not self.sort_reverse if same else False)
            return
        index = round(self.scroll_y) + event.y - 1
        if index >= len(self._rows):
            return
        if index == self.cursor:
            self.action_choose()
        self.cursor = index


def line_of(table: LineTable[Any]) -> str:
    """Return the text of the row under the cursor; empty if there is none."""
    row = table.row
    return " ".join(table.painter.row(table, row, False).text.split()) if row is not None else ""
