"""The Inbox screen: requests to people."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.content import Content
from textual.reactive import reactive
from textual.widgets import Static

from victor_engine.api import RequestInfo, RequestPage
from victor_tui.base_screen import TableScreen
from victor_tui.feed import Loader, Subject
from victor_tui.inbox.actions import RequestCommands
from victor_tui.inbox.columns import inbox_columns
from victor_tui.inbox.facts import body_facts, head_facts
from victor_tui.inbox.filter_language import CYCLE, FIELDS, parse_inbox_filter
from victor_tui.inbox.open_view import ViewersWatch
from victor_tui.inbox.request_list import InboxList, ListPage, WorkflowGroups
from victor_tui.inbox.request_pane import RequestPreview, request_context
from victor_tui.keys import bindings
from victor_tui.saved_views import SavedView
from victor_tui.widgets.filter_bar import FilterBar
from victor_tui.widgets.paged_table import PagedTable
from victor_tui.widgets.table import LineTable

EMPTY = """No open requests.

A request of a workflow appears here, rings the bell,
and is counted in the header of every screen.

v  show decided requests"""
EMPTY_DONE = "No decided requests yet.\n\nv  back to the open requests"
EMPTY_FILTER = "No request matches the filter.\n\n/  change the filter\nf  next view"


class InboxScreen(TableScreen):
    MODE = "inbox"
    CSS_PATH = "screen.tcss"
    KEYS = "inbox"
    BINDINGS: ClassVar[list[BindingType]] = bindings("inbox")

    show_done: reactive[bool] = reactive(False)
    grouped: reactive[bool] = reactive(False)

    def __init__(self) -> None:
        super().__init__()
        self.viewers = ViewersWatch(self)
        self.requests = InboxList(lambda: self.requests_table, self.now)
        self.groups = WorkflowGroups(lambda: self.grouped and self.requests_table.sort_key == "workflow")
        # Made here, because the feed can load a page before the screen is composed and while it is removed.
        self.requests_table: PagedTable[RequestInfo] = PagedTable(
            inbox_columns(self.groups.cell),
            key=lambda request: request.id,
            now=self.now,
            sort="left",
            empty=EMPTY,
            id="requests",
            steady=True,
        )
        self.commands = RequestCommands(self, lambda: self.requests_table, self.requests.query)

    def compose_body(self) -> ComposeResult:
        yield FilterBar(
            "mine  groups  unclaimed  overdue  workflow:deploy  words",
            self.console.zone,
            self.now,
            parse_inbox_filter,
            tuple(FIELDS),
            collapses=True,
        )
        notice = Static("", id="cut", markup=False)
        notice.display = False
        yield notice
        with Container(classes="body tall"):
            yield self.requests_table
            yield RequestPreview()

    # --- data -----------------------------------------------------------------------------------

    def loaders(self) -> dict[Subject, Loader]:
        return self.requests.loaders()

    def draw(self, subject: Subject) -> None:
        listed: ListPage | None = self.snapshot("inbox")
        if listed is None or listed.key != self.requests.key:
            return  # the page of another filter or order; this one is being loaded
        page, table = listed.page, self.requests_table
        if not page.total and self.requests.is_filtered:
            table.empty = EMPTY_FILTER
        else:
            table.empty = EMPTY_DONE if self.show_done else EMPTY
        table.show_page(page.rows, page.offset, page.total, of=listed.key)
        if self.groups.set(page.groups, table.rows):
            table.redraw()
        _show_totals(self, page)

    def tick(self) -> None:
        if {"soon", "overdue"} & set(self.requests.filter.views):
            self.console.feed.mark_stale("inbox")  # these views depend on the time
        if not self.viewers.looking:
            self.run_worker(self.viewers.look(), group="viewers")
        super().tick()

    def watch_show_done(self, done: bool) -> None:
        self.requests.decided = done
        if not self.is_mounted:
            return
        self.requests_table.forget()
        _sort(self)

    def watch_grouped(self) -> None:
        if self.is_mounted:
            _sort(self)

    def show_view(self, view: SavedView) -> None:
        """Show a saved view."""
        self.grouped = view.order == "workflow"
        self.show_done = view.decided
        table, bar = self.requests_table, self.query_one(FilterBar)
        table.sort_key, table.sort_reverse = view.order, view.reverse
        bar.value = view.filter
        table.redraw()
        self.reload()

    @on(PagedTable.Sorted)
    def reload(self) -> None:
        """Load the page of the list, as its filter and its order are now."""
        self.requests.center = None
        self.console.feed.watch(self.loaders())

    def on_paged_table_wanted(self, message: PagedTable.Wanted) -> None:
        cursor = self.requests_table.cursor
        self.requests.center = None if message.center == cursor else message.center
        self.console.feed.watch(self.loaders())

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

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self.commands.allows(str(parameters[0])) if action == "request" else True

    def action_request(self, command: str) -> None:
        self.commands.start(command)

    def on_line_table_chosen(self, message: LineTable.Chosen) -> None:
        if self.commands.allows("answer_this"):
            self.commands.start("answer_this")

    def action_toggle_done(self) -> None:
        self.show_done = not self.show_done

    def action_group(self) -> None:
        self.grouped = not self.grouped

    def action_next_view(self) -> None:
        """Switch to the next view. Any other filter is replaced by the first view."""
        bar = self.query_one(FilterBar)
        index = CYCLE.index(bar.value) if bar.value in CYCLE else -1
        bar.value = CYCLE[(index + 1) % len(CYCLE)]

    def on_filter_bar_changed(self, message: FilterBar.Changed) -> None:
        self.requests.filter = message.filter
        if not self.requests.is_filtered:
            self.query_one(FilterBar).note("")
        self.reload()


def _sort(screen: InboxScreen) -> None:
    """Sort by urgency, by workflow if grouped, or newest first for decided requests."""
    table = screen.requests_table
    table.sort_key = "workflow" if screen.grouped else None if screen.show_done else "left"
    table.sort_reverse = False
    table.redraw()
    screen.reload()


def _show_totals(screen: InboxScreen, page: RequestPage) -> None:
    """Show the number of matches in the filter bar, and report if not all texts were searched."""
    notice = screen.query_one("#cut", Static)
    notice.display = page.searched is not None
    if page.searched is not None:
        notice.update(
            f"cut: words searched in the first {page.searched} requests only · narrow it with workflow:"
        )
    if not screen.requests.is_filtered:
        return
    every = screen.console.queue.open + len(screen.console.answers.held)
    found = f"{page.total} found" if screen.show_done else f"{page.total} of {max(every, page.total)}"
    screen.query_one(FilterBar).note(found)
