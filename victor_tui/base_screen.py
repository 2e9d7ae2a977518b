"""The base classes of screens: header, banner, footer and feed, and for most a table and a preview."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.reactive import reactive
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

from victor_tui.app_context import InConsole
from victor_tui.feed import FeedReader, Subject
from victor_tui.journal import Place
from victor_tui.keys import bindings
from victor_tui.row_values import Here, row_values, row_why, widget_values
from victor_tui.screen_lifecycle import in_document_order
from victor_tui.widgets.filter_bar import FilterBar
from victor_tui.widgets.header import HeaderBar
from victor_tui.widgets.key_bar import KeyBar
from victor_tui.widgets.preview import Facts, Preview
from victor_tui.widgets.table import LineTable, line_of


class ConsoleScreen(Screen[None], InConsole, FeedReader):
    """A screen of the console. Subclasses return the loaders of their subjects and draw the snapshots."""

    MODE: ClassVar[str] = ""
    KEYS: ClassVar[str] = ""
    """The scope of the keys of the screen in the table of keys."""
    BINDINGS: ClassVar[list[BindingType]] = bindings("screen")

    # --- for subclasses -----------------------------------------------------------------------

    def compose_body(self) -> ComposeResult:
        yield from ()

    def draw(self, subject: Subject) -> None:
        """Draw a subject that was loaded again."""

    def action_filter(self) -> None:
        """Focus the filter bar."""

    def here(self) -> Here:
        """Return the values and the explanation of the row under the cursor, and the object of the screen."""
        return Here(widget_values(self.focused))

    # --- shared -------------------------------------------------------------------------------

    @property
    def focus_chain(self) -> list[Widget]:
        """The widgets that can get the focus, in the order of the document."""
        return in_document_order(self, super().focus_chain)

    def compose(self) -> ComposeResult:
        yield HeaderBar(self.MODE)
        yield Static("", id="banner", markup=False)
        yield from self.compose_body()
        yield KeyBar(self.console.access.refusal)

    def on_screen_resume(self) -> None:
        if self not in self.console.screen_stack:  # prepared, or closed again
            return
        loaders = self.loaders()
        visit(self)
        self.console.feed.watch(loaders)
        for subject in loaders:
            if subject in self.console.feed.snapshots:
                self.draw(subject)
        self.console.update_header()

    def show_banner(self, text: str) -> None:
        for banner in self.query("#banner").results(Static):
            banner.update(text)
            banner.set_class(bool(text), "-shown")

    def snapshot(self, subject: Subject) -> Any:
        return self.console.feed.snapshots.get(subject)

    def facts(self) -> Facts:
        return Facts(self.app.theme)


def visit(screen: ConsoleScreen) -> None:
    """Keep a screen for the keys that go back and forward."""
    console, here = screen.console, screen.here()
    mode = console.current_mode or screen.MODE

    def open_again() -> None:
        console.show_mode(mode)
        if here.reopen is not None:
            here.reopen()

    console.session.visit(Place(mode, type(screen).__name__, here.of), open_again)


class TableScreen(ConsoleScreen):
    """A screen with a table, and a preview of the row under the cursor. Subclasses implement `explain`."""

    LIVE_PREVIEW: ClassVar[bool] = True
    """Whether the preview depends on the time."""
    AUTO_FOCUS: ClassVar[str | None] = "LineTable"

    current: reactive[Any] = reactive(None, bindings=True)
    """The row under the cursor, on which the keys act."""

    _wanted_filter: str | None = None
    """The filter to set when the filter bar is mounted."""

    def show_filter(self, text: str) -> None:
        """Set the filter, now or when the filter bar is mounted."""
        bar = next(iter(self.query(FilterBar)), None)
        if bar is None or not bar.is_mounted:
            self._wanted_filter = text
        else:
            bar.value = text

    def action_filter(self) -> None:
        for bar in self.query(FilterBar):
            bar.edit()

    def explain(self, row: Any) -> Facts | None:
        """Return the preview of a row."""
        return None

    def here(self) -> Here:
        values = row_values(self.current) or widget_values(self.focused)
        lines = [line for table in self.query(LineTable) if table.display and (line := line_of(table))]
        return Here([*values, *(("line", line) for line in lines)], row_why(self.current, self.now()))

    def on_mount(self) -> None:
        self.watch(self.app, "theme", self._explain_again, init=False)
        if self._wanted_filter is not None:
            self.show_filter(self._wanted_filter)
        else:
            self.console.first_shown(self)

    def on_screen_resume(self) -> None:
        for table in self.query(LineTable):
            table.steady.let_go()

    def feed_refreshed(self, subject: Subject) -> None:
        """Draw a refreshed subject.

        A screen that is not composed yet draws all subjects when it is resumed.
        """
        if self.query(LineTable) and subject in self.loaders():
            self.draw(subject)

    def tick(self) -> None:
        for table in self.query(LineTable):
            table.tick()
        if self.LIVE_PREVIEW:
            self._explain_again()

    def on_line_table_highlighted(self, message: LineTable.Highlighted) -> None:
        if not message.table.display:
            return  # only the visible table sets the current row
        before, self.current = self.current, message.row
        moved = self._identity(before) != self._identity(message.row)
        self._explain(to_top=moved)

    @staticmethod
    def _identity(row: Any) -> Any:
        return getattr(row, "id", row)

    def _explain_again(self, *_: object) -> None:
        self._explain(to_top=False)

    def _explain(self, to_top: bool) -> None:
        for preview in self.query(Preview):
            facts = self.explain(self.current) if self.current is not None else None
            preview.show(facts if facts is not None else self.facts(), to_top=to_top)
