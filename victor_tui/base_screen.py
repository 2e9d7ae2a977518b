"""What the screens share: header, banner, footer and the feed; and, of most, a table and a preview."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.reactive import reactive
from textual.screen import Screen
from textual.widgets import Static

from victor_tui.app_context import InConsole
from victor_tui.feed import FeedReader, Subject
from victor_tui.widgets.header import HeaderBar
from victor_tui.widgets.key_bar import KeyBar
from victor_tui.widgets.preview import Facts, Preview
from victor_tui.widgets.table import LineTable


class ConsoleScreen(Screen[None], InConsole, FeedReader):
    """A screen of the console. Subclasses say what they watch and draw it."""

    MODE: ClassVar[str] = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "slash", "filter", "Filter", key_display="/", id="screen.filter", tooltip="Filter this table"
        ),
        Binding("tab", "app.focus_next", "Next pane", id="screen.next", tooltip="Next pane", show=False),
    ]

    # --- to be filled in ----------------------------------------------------------------------

    def compose_body(self) -> ComposeResult:
        yield from ()

    def draw(self, subject: Subject) -> None:
        """A subject was loaded again."""

    def action_filter(self) -> None:
        """Go to the filter line."""

    # --- shared -------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        yield HeaderBar(self.MODE)
        yield Static("", id="banner", markup=False)
        yield from self.compose_body()
        yield KeyBar()

    def on_screen_resume(self) -> None:
        if self not in self.console.screen_stack:  # built ahead, or left again
            return
        loaders = self.loaders()
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


class TableScreen(ConsoleScreen):
    """A screen with a table, and a preview of the row under the cursor. Subclasses explain a row."""

    LIVE_PREVIEW: ClassVar[bool] = True
    """Whether the preview depends on the clock."""
    AUTO_FOCUS: ClassVar[str | None] = "LineTable"

    current: reactive[Any] = reactive(None, bindings=True)
    """The row under the cursor: what the keys act on."""

    def explain(self, row: Any) -> Facts | None:
        """What the preview says about a row."""
        return None

    def on_mount(self) -> None:
        self.watch(self.app, "theme", self._explain_again, init=False)

    def feed_refreshed(self, subject: Subject) -> None:
        """Draw what is new; a screen that is not composed yet draws it all when it is resumed."""
        if self.query(LineTable) and subject in self.loaders():
            self.draw(subject)

    def tick(self) -> None:
        for table in self.query(LineTable):
            table.tick()
        if self.LIVE_PREVIEW:
            self._explain_again()

    def on_line_table_highlighted(self, message: LineTable.Highlighted) -> None:
        if not message.table.display:
            return  # of two tables that share a place, the one in sight says what is current
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
