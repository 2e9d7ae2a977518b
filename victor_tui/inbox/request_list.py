"""The requests that the inbox lists: a page of open or decided requests that match a filter, in an order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, cast

from msgspec.structs import replace

from victor_engine.api import Port, RequestInfo, RequestPage, RequestQuery
from victor_tui.feed import Loader, Subject
from victor_tui.inbox.filter_language import InboxFilter
from victor_tui.widgets.columns import Cell
from victor_tui.widgets.paged_table import PAGE, PagedTable

OPEN = ("held", "open")
DECIDED = ("answered", "expired", "withdrawn")
_Order = Literal["urgency", "workflow", "title", "kind", "age", "run"]


@dataclass(frozen=True)
class ListKey:
    """The identity of a list: its filter and its order. `order` is a column of the table, or None."""

    decided: bool
    filter: InboxFilter
    order: str | None
    reverse: bool


@dataclass(frozen=True)
class ListPage:
    """A page, and the list to which it belongs."""

    key: ListKey
    page: RequestPage


class InboxList:
    """The requests of one inbox. `table` returns its table, `now` the current time."""

    def __init__(self, table: Callable[[], PagedTable[RequestInfo]], now: Callable[[], datetime]) -> None:
        self._table = table
        self._now = now
        self.filter = InboxFilter()
        self.decided = False
        self.center: int | None = None
        """The position that the user scrolled to; None while the page is around the cursor."""

    @property
    def is_filtered(self) -> bool:
        return self.filter != InboxFilter()

    @property
    def key(self) -> ListKey:
        table = self._table()
        return ListKey(self.decided, self.filter, table.sort_key, table.sort_reverse)

    def loaders(self) -> dict[Subject, Loader]:
        """Return the loaders of the screen."""
        return {"inbox": self._load}

    async def _load(self, port: Port) -> ListPage:
        """Load the page around the row of the cursor, or around a position if that row is not loaded."""
        key, table = self.key, self._table()
        center, row = (table.cursor, table.row) if self.center is None else (self.center, None)
        query = replace(
            self.query(),
            offset=max(0, center - PAGE // 2),
            around=None if row is None else row.id,
        )
        return ListPage(key, await port.request_page(query))

    def query(self) -> RequestQuery:
        """Return the query of the list."""
        key = self.key
        order = cast(_Order, "urgency" if key.order in (None, "left") else key.order)
        found = self.filter.query(self._now(), DECIDED if self.decided else OPEN, PAGE)
        return replace(found, order=order, reverse=key.reverse)


class WorkflowGroups:
    """The groups of a table by workflow. The first request of a group shows the workflow and the group size.

    `shown` returns whether the table is grouped.
    """

    def __init__(self, shown: Callable[[], bool]) -> None:
        self._shown = shown
        self._counts: Mapping[str, int] = {}
        self._heads: set[str] = set()

    def cell(self, request: RequestInfo, now: datetime) -> Cell:
        """Return the cell of the workflow of a request."""
        if not self._shown():
            return request.workflow, "plain"
        if request.id in self._heads:
            # The number is first: a narrow column cuts the end.
            return f"{self._counts.get(request.workflow, 0)} × {request.workflow}", "head"
        return "  │", "dim"

    def set(self, counts: Mapping[str, int], rows: Sequence[RequestInfo]) -> bool:
        """Set the sizes of the groups, and find the first request of each group in the rows of the table.

        Return whether they have changed.
        """
        heads, before = set(), None
        for request in rows:
            if request.workflow != before:
                heads.add(request.id)
            before = request.workflow
        changed = heads != self._heads or counts != self._counts
        self._heads, self._counts = heads, counts
        return changed
