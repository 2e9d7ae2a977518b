"""Rows that keep their places while the user chooses: a new order and new rows wait until the user is done.

A row that is gone stays in its place, dimmed, so that no other row comes under the hand.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from textual.widget import Widget

from victor_tui.key_queue import KeyQueueApp

R = TypeVar("R")

HAND_SECONDS = 2.0
"""Time in seconds after a key for which rows keep their places."""
_NOTHING: frozenset[Hashable] = frozenset()


@dataclass(frozen=True)
class InPlace(Generic[R]):
    """Rows in their old places, with the new content.

    `gone` has the keys of the rows that the new rows lack, `moved` is whether the new rows have another order.
    """

    rows: list[R]
    gone: frozenset[Hashable]
    moved: bool


def in_old_places(
    old: Sequence[R], new: Sequence[R], key: Callable[[R], Hashable], certain: range | None = None
) -> InPlace[R]:
    """Return the rows of `old` with the content of `new`.

    Of the rows that `new` lacks, only those at the positions `certain` are gone, because the others can be on another
    page. None means all.
    """
    fresh = {key(row): row for row in new}
    keys = [key(row) for row in old]
    places = range(len(keys)) if certain is None else certain
    gone = frozenset(each for place, each in enumerate(keys) if each not in fresh and place in places)
    known = set(keys)
    moved = [each for each in fresh if each in known] != [each for each in keys if each in fresh]
    return InPlace([fresh.get(each, row) for each, row in zip(keys, old, strict=True)], gone, moved)


class SteadyRows(Generic[R]):
    """The rows that a table holds back while the user chooses: a key a moment ago, marks, or an open dialog.

    `key` returns the key of a row, `marked` whether rows are marked. A table that is not `active` holds nothing back.
    """

    def __init__(
        self, table: Widget, key: Callable[[R], Hashable], marked: Callable[[], bool], *, active: bool
    ) -> None:
        self._table = table
        self._key = key
        self._marked = marked
        self._active = active
        self._of: Hashable = None
        self._free_since = self._lost_at = float("-inf")
        self._show: Callable[[], None] | None = None
        self.gone = _NOTHING
        """The keys of the rows that are gone, but still in their place."""
        self.note = ""
        """The description of the rows that are held back, such as `2 new`."""

    def is_gone(self, row: R) -> bool:
        return bool(self.gone) and self._key(row) in self.gone

    def let_go(self) -> None:
        """Forget the keys until now, because they asked for other rows."""
        self._free_since = asyncio.get_running_loop().time() if self._active else self._free_since

    @property
    def is_due(self) -> bool:
        """Whether rows are held back although the user is done."""
        return self._show is not None and not self._chooses()

    def show(self) -> bool:
        """Show the rows that are held back, in their order. Return False if there are none."""
        show, self._show = self._show, None
        self.gone, self.note = _NOTHING, ""
        if show is not None:
            show()
        return show is not None

    def place(
        self,
        old: Sequence[R],
        fresh: Sequence[R],
        cursor: R | None,
        show: Callable[[], None],
        *,
        of: Hashable = None,
        certain: range | None = None,
        added: int | None = None,
    ) -> list[R] | None:
        """Return the rows to show in their old places, or None to show the new ones.

        `cursor` is the row under the cursor. `show` shows the new rows. `of` is the list to which the rows belong: its
        filter and order. `added` is the change of the length of the list, if `fresh` is only a page of it.
        """
        same, self._of = of == self._of, of
        if self._show is not None:
            self._table.refresh()
        self._show, self.gone, self.note = None, _NOTHING, ""
        if not self._active or not same or not old:
            return None
        found = in_old_places(old, fresh, self._key, certain)
        if cursor is not None and self._key(cursor) in found.gone:
            self._lost_at = asyncio.get_running_loop().time()  # a key can be on its way to this row
        if not self._chooses():
            return None
        self.gone = found.gone
        count = (len(fresh) - len(old) if added is None else added) + len(found.gone)
        if count > 0 or found.moved or found.gone:
            self._show = show
            self._table.refresh()
            self.note = f"{count} new" if count > 0 else "new order" if found.moved else ""
        return found.rows

    def _chooses(self) -> bool:
        """Return whether rows keep their places now."""
        app, table = self._table.app, self._table
        if self._marked():
            return True
        if not table.is_attached or table.screen not in app.screen_stack:
            return False
        if app.screen is not table.screen:  # a dialog is open
            return True
        now = asyncio.get_running_loop().time()
        if now - self._lost_at < HAND_SECONDS:
            return True
        idle = app.key_queue.idle_seconds if isinstance(app, KeyQueueApp) else float("inf")
        return idle < min(HAND_SECONDS, now - self._free_since)
