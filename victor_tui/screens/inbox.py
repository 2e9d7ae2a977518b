"""Inbox: who is asked what, how long there is, and what happens in silence."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content
from textual.reactive import reactive
from textual.widgets import Static

from victor_engine.api import RequestInfo, RequestQuery
from victor_tui.feed import Loader, Subject
from victor_tui.inboxfilter import CYCLE, FIELDS, InboxFilter, parse_inbox_filter
from victor_tui.openrequests import PAGE, Page, found_page, open_page
from victor_tui.screens.inbox_actions import InboxActions
from victor_tui.screens.inbox_cells import inbox_columns
from victor_tui.screens.inbox_facts import body_facts, head_facts
from victor_tui.widgets.filterbar import FilterBar
from victor_tui.widgets.request import RequestPreview, request_context
from victor_tui.widgets.table import Cell, LineTable

EMPTY = """Nobody is asked anything. All clear.

A workflow that needs a person puts its question here, rings the bell,
and shows it in the header of every screen.

v  show what was decided before"""
EMPTY_DONE = "Nothing has been decided yet.\n\nv  back to open requests"
DECIDED = ("answered", "expired", "withdrawn")
EMPTY_FILTER = "No request fits the filter.\n\n/ changes it, f goes on to the next view"


class InboxScreen(InboxActions):
    MODE = "inbox"
    CSS_PATH = "inbox.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "f", "next_view", "View", id="inbox.view", tooltip="All, mine, my groups, unclaimed, overdue"
        ),
        Binding(
            "w",
            "group",
            "By workflow",
            id="inbox.group",
            tooltip="Group by workflow, or sort by urgency",
            show=False,
        ),
        Binding("v", "toggle_done", "Done", id="inbox.done", tooltip="Open requests, or decided ones"),
    ]

    show_done: reactive[bool] = reactive(False)
    grouped: reactive[bool] = reactive(False)

    def __init__(self) -> None:
        super().__init__()
        self._filter = InboxFilter()
        self._counts: Counter[str] = Counter()
        self._heads: set[str] = set()
        """Requests that head the group of their workflow."""

    def compose_body(self) -> ComposeResult:
        bar = FilterBar(
            "mine  groups  unclaimed  overdue  workflow:deploy  words",
            self.console.zone,
            parse_inbox_filter,
            tuple(FIELDS),
        )
        bar.display = False
        yield bar
        told = Static("", id="cut", markup=False)
        told.display = False
        yield told
        with Container(classes="body tall"):
            yield LineTable[RequestInfo](
                inbox_columns(self._group_cell),
                key=lambda request: request.id,
                now=self.now,
                sort="left",
                empty=EMPTY,
                id="requests",
            )
            yield RequestPreview()

    def _group_cell(self, request: RequestInfo, now: datetime) -> Cell:
        if not self.grouped or self.requests_table.sort_key != "workflow":
            return request.workflow, "plain"
        if request.id in self._heads:
            return f"{request.workflow} ({self._counts[request.workflow]})", "head"
        return "  │", "dim"

    # --- data -----------------------------------------------------------------------------------

    def loaders(self) -> dict[Subject, Loader]:
        if self.show_done:
            return {"done": self._found(DECIDED)}
        # The app keeps these two fresh whatever is shown; here they are drawn.
        kept: dict[Subject, Loader] = {
            "requests": open_page,
            "held": lambda port: port.requests(RequestQuery(statuses=("held",))),
        }
        return {**kept, "found": self._found(("open",))} if self._asks_store else kept

    def _found(self, statuses: tuple[str, ...]) -> Loader:
        chosen = self._filter
        return lambda port: found_page(port, chosen.query(self.now(), statuses, PAGE))

    @property
    def _cut(self) -> bool:
        """Whether more requests may be open than are held here."""
        return len(self.console.open_requests) >= PAGE

    @property
    def _asks_store(self) -> bool:
        """Whether what is held here is not enough to filter."""
        return not self.show_done and self._cut and self._filter != InboxFilter()

    def draw(self, subject: Subject) -> None:
        self._fill()

    def _shown(self) -> list[RequestInfo]:
        if self.show_done:
            oldest = datetime.min.replace(tzinfo=self.now().tzinfo)
            done: Page | None = self.snapshot("done")
            rows = done.rows if done is not None else []
            return sorted(rows, key=lambda q: q.answered_at or oldest, reverse=True)
        found: Page | None = self.snapshot("found") if self._asks_store else None
        asked = found.rows if found is not None else self.console.open_requests
        return [*self.console.held_answers, *asked]

    def _fill(self) -> None:
        now, me = self.now(), self.console.user
        rows = [request for request in self._shown() if self._filter.matches(request, now, me)]
        table = self.requests_table
        subject: Subject = "done" if self.show_done else "found" if self._asks_store else "requests"
        if not rows and self.snapshot(subject) is None:
            table.forget()
            return
        if not rows and self._filter != InboxFilter():
            table.empty = EMPTY_FILTER
        else:
            table.empty = EMPTY_DONE if self.show_done else EMPTY
        self._counts = Counter(request.workflow for request in rows)
        table.set_rows(rows)
        self._head_groups()
        self._tell_cut(len(rows))

    def _tell_cut(self, shown: int) -> None:
        """Say how many are shown of how many, in the bar of the filter and where not all are."""
        page: Page | None = self.snapshot("done" if self.show_done else "found")
        filtered = self._filter != InboxFilter()
        if not self.show_done and not filtered:
            total = self.console.open_count + len(self.console.held_answers)
        elif page is not None and (self.show_done or self._asks_store):
            total = page.total if len(page.rows) < page.total else shown
        else:
            total = shown
        told = self.query_one("#cut", Static)
        told.display = shown < total
        if told.display:
            order = "the newest" if self.show_done else "the most urgent"
            told.update(f"{shown} of {total} shown, {order} · / searches all of them")
        if filtered:
            self.query_one(FilterBar).note(f"{shown} of {max(total, self._count_all())}")

    def _count_all(self) -> int:
        """How many the filter chooses from, as far as that is known."""
        if self.show_done:
            return 0
        return self.console.open_count + len(self.console.held_answers)

    def _head_groups(self) -> None:
        """The first request of each workflow, in the order on the screen, names it."""
        heads, before = set(), None
        for request in self.requests_table.rows:
            if request.workflow != before:
                heads.add(request.id)
            before = request.workflow
        if heads != self._heads:
            self._heads = heads
            self.requests_table.redraw()

    def tick(self) -> None:
        # Time alone moves a request into a view, and an answer out of reach of being taken back.
        if self._filter.views or (not self.show_done and self.snapshot("held")):
            self._fill()
        if self._asks_store and {"soon", "overdue"} & set(self._filter.views):
            self.console.feed.mark_stale("found")
        super().tick()

    def watch_show_done(self, done: bool) -> None:
        if not self.is_mounted:
            return
        self._sort()
        self.requests_table.set_rows([])
        self.console.feed.watch(self.loaders())
        self._fill()

    def watch_grouped(self) -> None:
        if self.is_mounted:
            self._sort()
            self._fill()

    def _sort(self) -> None:
        """By urgency, grouped by workflow, or (what is decided) newest first."""
        table = self.requests_table
        table.sort_key = "workflow" if self.grouped else None if self.show_done else "left"
        table.sort_reverse = False
        table.redraw()

    # --- preview --------------------------------------------------------------------------------

    def _explain(self, to_top: bool) -> None:
        for pane in self.query(RequestPreview):
            request: RequestInfo | None = self.current
            if request is None:
                pane.show_head(self.facts())
                pane.show_body(None, self.facts(), Content(""), to_top=True)
                continue
            pane.show_head(head_facts(self.facts(), request, self.now(), self.console.zone))
            key = (request.id, request.digest, len(request.messages), self.app.theme)
            if not pane.is_showing(key):
                pane.show_body(
                    key, body_facts(self.facts(), request), request_context(request), to_top=to_top
                )

    # --- actions --------------------------------------------------------------------------------

    def action_toggle_done(self) -> None:
        self.show_done = not self.show_done

    def action_group(self) -> None:
        self.grouped = not self.grouped

    def action_filter(self) -> None:
        bar = self.query_one(FilterBar)
        bar.display = True
        bar.edit()

    def action_next_view(self) -> None:
        """From one of the views to the next; a filter of one's own gives way to the first."""
        bar = self.query_one(FilterBar)
        place = CYCLE.index(bar.value) if bar.value in CYCLE else -1
        bar.value = CYCLE[(place + 1) % len(CYCLE)]
        bar.display = bool(bar.value)

    def on_filter_bar_changed(self, message: FilterBar.Changed) -> None:
        self._filter = message.filter
        if self.show_done or self._asks_store:
            self.console.feed.watch(self.loaders())
        if message.filter == InboxFilter():
            self.query_one(FilterBar).note("")
        self._fill()

    def on_filter_bar_done(self) -> None:
        bar = self.query_one(FilterBar)
        bar.display = bool(bar.value)
        self.requests_table.focus()
