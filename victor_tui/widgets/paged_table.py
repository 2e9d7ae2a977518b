"""A table of a long list of which only a part around the cursor is loaded.

The store counts, filters, sorts and cuts the pages; the table shows one page at its position in the list. Rows that are
not loaded are drawn as `…`. The table asks for another page before the cursor or the visible rows reach the end of the
loaded ones.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence, Set
from datetime import datetime
from typing import Any, TypeVar, overload

from textual.geometry import Size
from textual.message import Message

from victor_tui.widgets.columns import Column
from victor_tui.widgets.table import LineTable

R = TypeVar("R")

PAGE = 200
"""Number of rows of a page."""
MARGIN = 50
"""Number of rows before the end of the loaded ones at which the table asks for another page."""


class Window(Sequence[Any]):
    """A list of `total` rows, of which those from `offset` are loaded. The others are None."""

    def __init__(self, rows: Sequence[Any] = (), offset: int = 0, total: int = 0) -> None:
        self.loaded = rows
        self.offset = offset
        self._total = max(total, offset + len(rows))

    def __len__(self) -> int:
        return self._total

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._total))]
        if not 0 <= index < self._total:
            raise IndexError(index)
        place = index - self.offset
        return self.loaded[place] if 0 <= place < len(self.loaded) else None

    def covers(self, start: int, end: int) -> bool:
        """Return whether the rows from `start` to `end` are loaded, as far as they exist."""
        return self.offset <= max(0, start) and min(end, self._total) <= self.offset + len(self.loaded)


class PagedTable(LineTable[R]):
    """A `LineTable` of one page of a longer list. `show_page` shows a page."""

    class Wanted(Message):
        """The table needs the rows around the position `center`."""

        def __init__(self, center: int) -> None:
            super().__init__()
            self.center = center

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, PagedTable.Wanted)

    class Sorted(Message):
        """The user has chosen another order: `sort_key` and `sort_reverse` of the table."""

    def __init__(
        self,
        columns: Sequence[Column[R]],
        *,
        key: Callable[[R], Hashable],
        now: Callable[[], datetime],
        empty: str = "",
        sort: str | None = None,
        id: str | None = None,
        steady: bool = False,
    ) -> None:
        super().__init__(
            columns,
            key=lambda row: None if row is None else key(row),
            now=now,
            empty=empty,
            sort=sort,
            id=id,
            steady=steady,
        )
        self._window = Window()
        self._rows = self._window  # type: ignore[assignment]
        self._marked: dict[Hashable, R] = {}
        self.total = 0
        """The number of rows of the list."""

    @property
    def rows(self) -> Sequence[R]:
        """The loaded rows."""
        return self._window.loaded

    @property
    def marked_rows(self) -> list[R]:
        """The marked rows: those of the page in their order, then the others in the order of their marks."""
        here = [row for row in self.rows if self._key(row) in self.marked]
        others = [row for key, row in self._marked.items() if key not in self._index]
        return [*here, *others]

    def set_rows(self, rows: Iterable[R], of: Hashable = None) -> None:
        """Show a list that is loaded as a whole."""
        whole = list(rows)
        self.show_page(whole, 0, len(whole), of)

    def show_page(self, rows: Sequence[R], offset: int, total: int, of: Hashable = None) -> None:
        """Show a page of the list `of`. Keep the cursor on its row, the marks, and the strips of unchanged rows."""
        window, gone = self._window, self.steady.gone
        # At the ends of a part of a list, a row can have moved to another page.
        certain = range(
            0 if offset == 0 else MARGIN, len(window.loaded) - (0 if offset + len(rows) >= total else MARGIN)
        )
        kept = self.steady.place(
            window.loaded if self._has_near else (),
            rows,
            self._cursor_row,
            lambda: self._put_page(rows, offset, total),
            of=of,
            certain=certain,
            added=total - self.total,
        )
        if kept is None:
            self._put_page(rows, offset, total, gone)
        else:
            self._put_page(kept, window.offset, self.total, gone ^ self.steady.gone)

    def _put_page(self, rows: Sequence[R], offset: int, total: int, redrawn: Iterable[Hashable] = ()) -> None:
        first, self._loaded = not self._loaded, True
        old_row, shown = self._cursor_row, self.row
        old = dict(zip(self._index, self._window.loaded, strict=True))
        before = self._index
        self._window = Window(rows, offset, total)
        self.total = len(self._window)
        self._rows = self._window  # type: ignore[assignment]
        self._index = {self._key(row): offset + number for number, row in enumerate(rows)}
        for key in old.keys() - self._index.keys():
            self._strips.pop(key, None)
        for key, row in zip(self._index, rows, strict=True):
            if key in old and old[key] != row:
                self._strips.pop(key, None)
            if key in self._marked:
                self._marked[key] = row
        for key in redrawn:
            self._strips.pop(key, None)
        for key in self.steady.gone:
            self.marked.discard(key)
            self._marked.pop(key, None)
        if first or self.virtual_size.height != self.total + 1:
            self.virtual_size = Size(self.size.width, self.total + 1)
        self._follow(old_row)
        if first or redrawn or before != self._index or list(old.values()) != list(rows):
            self.refresh()
        if self.row != shown or shown != old_row:
            self.post_message(self.Highlighted(self, self.row))
        self._want()

    def _follow(self, old_row: R | None) -> None:
        """Move the cursor with its row. In the middle of the list, the row stays at its line of the screen."""
        target = self._index.get(self._key(old_row), self.cursor) if old_row is not None else self.cursor
        target = max(0, min(target, self.total - 1))
        if target == self.cursor:
            return
        if self.scroll_y > 0:
            self.scroll_to(y=self.scroll_y + target - self.cursor, animate=False, force=True)
        self.set_reactive(LineTable.cursor, target)
        self._show_cursor()
        self.refresh()

    def forget(self) -> None:
        """Remove all rows, and show that they are loading."""
        self.show_page((), 0, 0)
        self._loaded = False
        self.refresh()

    # --- pages ----------------------------------------------------------------------------------

    def watch_cursor(self, old: int, new: int) -> None:
        super().watch_cursor(old, new)
        self._want()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self._want()

    def _want(self) -> None:
        """Ask for another page if rows near the cursor or the visible rows are not loaded."""
        if not self._has_near:
            self.post_message(self.Wanted(self._middle))

    @property
    def _middle(self) -> int:
        """The position of the cursor if it is visible, else of the middle of the visible rows."""
        top = round(self.scroll_y)
        bottom = top + self.size.height
        return self.cursor if top <= self.cursor <= bottom else (top + bottom) // 2

    @property
    def _has_near(self) -> bool:
        """Whether the rows around the center are loaded."""
        return self._window.covers(self._middle - MARGIN, self._middle + MARGIN)

    # --- marks and order ------------------------------------------------------------------------

    def action_mark(self, to_cursor: bool = False) -> None:
        row = self.row
        super().action_mark(to_cursor)
        if row is not None:
            self._marked = _only(self.marked, {**self._marked, self._key(row): row})

    def action_mark_all(self) -> None:
        """Mark all loaded rows, or unmark all rows. A message reports if not all rows are loaded."""
        if set(self._index) <= self.marked:
            self.set_marks(())
            return
        self.set_marks({*self.marked, *self._index})
        if len(self.rows) < self.total:
            self.app.notify(
                f"{len(self.marked)} of {self.total} rows are marked: the rows near the cursor. "
                "Filter the list to mark all rows of a workflow.",
                markup=False,
            )

    def set_marks(self, keys: Iterable[Hashable]) -> None:
        """Mark exactly the rows with these keys."""
        self.marked = {key for key in keys if key in self._index or key in self._marked}
        loaded = dict(zip(self._index, self.rows, strict=True))
        self._marked = _only(self.marked, {**self._marked, **loaded})
        self._strips.clear()
        self.refresh()
        self.post_message(self.Highlighted(self, self.row))

    def sort_by(self, key: str | None, reverse: bool) -> None:
        """Sort by a column, or as the rows came."""
        self.sort_key, self.sort_reverse = key, reverse
        self.refresh()
        self.post_message(self.Sorted())


def _only(keys: Set[Hashable], rows: dict[Hashable, R]) -> dict[Hashable, R]:
    """Return the rows with these keys."""
    return {key: row for key, row in rows.items() if key in keys}
