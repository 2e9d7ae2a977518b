"""The requests that the inbox lists: open or decided requests that match a filter, and their total."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime

from victor_engine.api import RequestInfo, RequestQuery
from victor_tui.base_screen import ConsoleScreen
from victor_tui.feed import Loader, Subject
from victor_tui.inbox.filter_language import InboxFilter
from victor_tui.inbox.open_requests import PAGE, Page, found_page, open_page
from victor_tui.widgets.columns import Cell

DECIDED = ("answered", "expired", "withdrawn")


class InboxList:
    """The requests of one inbox, from the snapshots of its screen. `decided` selects decided requests."""

    def __init__(self, screen: ConsoleScreen) -> None:
        self._screen = screen
        self.filter = InboxFilter()
        self.decided = False

    @property
    def is_filtered(self) -> bool:
        return self.filter != InboxFilter()

    @property
    def needs_store_filter(self) -> bool:
        """Whether the store must filter, because more requests can be open than the console has loaded."""
        return not self.decided and self.is_filtered and len(self._screen.console.open_requests) >= PAGE

    @property
    def subject(self) -> Subject:
        """The subject of the snapshot with the rows."""
        return "done" if self.decided else "found" if self.needs_store_filter else "requests"

    def loaders(self) -> dict[Subject, Loader]:
        """Return the loaders of the screen."""
        if self.decided:
            return {"done": self._found(DECIDED)}
        # The application always keeps these two fresh. Here they are drawn.
        kept: dict[Subject, Loader] = {
            "requests": open_page,
            "held": lambda port: port.requests(RequestQuery(statuses=("held",))),
        }
        return {**kept, "found": self._found(("open",))} if self.needs_store_filter else kept

    def _found(self, statuses: tuple[str, ...]) -> Loader:
        chosen, screen = self.filter, self._screen
        return lambda port: found_page(port, chosen.query(screen.now(), statuses, PAGE))

    def rows(self) -> list[RequestInfo]:
        """Return the requests to list. Decided requests are in the order newest first."""
        now, me = self._screen.now(), self._screen.console.user
        return [request for request in self._unfiltered() if self.filter.matches(request, now, me)]

    def _unfiltered(self) -> list[RequestInfo]:
        screen = self._screen
        if self.decided:
            oldest = datetime.min.replace(tzinfo=screen.now().tzinfo)
            done: Page | None = screen.snapshot("done")
            rows = done.rows if done is not None else []
            return sorted(rows, key=lambda q: q.answered_at or oldest, reverse=True)
        found: Page | None = screen.snapshot("found") if self.needs_store_filter else None
        opened = found.rows if found is not None else screen.console.open_requests
        return [*screen.console.held_answers, *opened]

    def total(self, shown: int) -> int:
        """Return the total number of matches, of which `shown` are listed."""
        page: Page | None = self._screen.snapshot("done" if self.decided else "found")
        if not self.decided and not self.is_filtered:
            return self.count_open()
        if page is not None and (self.decided or self.needs_store_filter):
            return page.total if len(page.rows) < page.total else shown
        return shown

    def count_open(self) -> int:
        """Return the number of requests that are open or whose answer can be undone."""
        return self._screen.console.open_count + len(self._screen.console.held_answers)


class WorkflowGroups:
    """The groups of a table by workflow. The first request of a group shows the workflow and the group size.

    `shown` returns whether the table is grouped.
    """

    def __init__(self, shown: Callable[[], bool]) -> None:
        self._shown = shown
        self._counts: Counter[str] = Counter()
        self._heads: set[str] = set()

    def cell(self, request: RequestInfo, now: datetime) -> Cell:
        """Return the cell of the workflow of a request."""
        if not self._shown():
            return request.workflow, "plain"
        if request.id in self._heads:
            return f"{request.workflow} ({self._counts[request.workflow]})", "head"
        return "  │", "dim"

    def count(self, rows: Sequence[RequestInfo]) -> None:
        """Count the requests of each workflow."""
        self._counts = Counter(request.workflow for request in rows)

    def find_heads(self, rows: Sequence[RequestInfo]) -> bool:
        """Find the first request of each group in the order of the table.

        Return whether they have changed.
        """
        heads, before = set(), None
        for request in rows:
            if request.workflow != before:
                heads.add(request.id)
            before = request.workflow
        changed = heads != self._heads
        self._heads = heads
        return changed
