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

from victor_engine.api import RequestInfo, RequestQuery
from victor_tui.feed import Loader, Subject
from victor_tui.inboxfilter import CYCLE, FIELDS, InboxFilter, parse_inbox_filter
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
            query = RequestQuery(statuses=("answered", "expired", "withdrawn"))
            return {"done": lambda port: port.requests(query)}
        # The app keeps both fresh whatever is shown; here they are drawn.
        return {
            "requests": lambda port: port.requests(RequestQuery()),
            "held": lambda port: port.requests(RequestQuery(statuses=("held",))),
        }

    def draw(self, subject: Subject) -> None:
        self._fill()

    def _shown(self) -> list[RequestInfo]:
        if self.show_done:
            oldest = datetime.min.replace(tzinfo=self.now().tzinfo)
            rows: list[RequestInfo] = self.snapshot("done") or []
            return sorted(rows, key=lambda q: q.answered_at or oldest, reverse=True)
        return [*self.console.held_answers, *self.console.open_requests]

    def _fill(self) -> None:
        now, me = self.now(), self.console.user
        rows = [request for request in self._shown() if self._filter.matches(request, now, me)]
        table = self.requests_table
        if not rows and self._filter != InboxFilter():
            table.empty = EMPTY_FILTER
        else:
            table.empty = EMPTY_DONE if self.show_done else EMPTY
        self._counts = Counter(request.workflow for request in rows)
        table.set_rows(rows)
        self._head_groups()

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
        self._fill()
        found = len(self.requests_table.rows)
        self.query_one(FilterBar).note(
            f"{found} of {len(self._shown())}" if message.filter != InboxFilter() else ""
        )

    def on_filter_bar_done(self) -> None:
        bar = self.query_one(FilterBar)
        bar.display = bool(bar.value)
        self.requests_table.focus()
