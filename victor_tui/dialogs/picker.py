"""The base of the dialogs in which the user picks one row of a list. `/` filters the list."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Generic, TypeVar

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen

from victor_tui.filter_language import Filter, has_words, parse_words
from victor_tui.widgets.columns import Column
from victor_tui.widgets.filter_bar import FilterBar
from victor_tui.widgets.key_bar import KeyBar
from victor_tui.widgets.table import LineTable

ResultT = TypeVar("ResultT")
RowT = TypeVar("RowT")

NO_MATCH = "Nothing matches the filter.\n\n/  change the filter"


class Picker(ModalScreen[ResultT | None], Generic[ResultT, RowT]):
    """A list of rows that dismisses with a result, or None. Subclasses define the columns and the result."""

    DEFAULT_CSS = """
    Picker { align: center middle; }
    Picker > Vertical { width: 76; max-width: 96%; height: 16; max-height: 90%;
        background: $surface; border: round $primary; }
    """
    PICKER_TITLE: ClassVar[str] = ""
    EMPTY: ClassVar[str] = ""

    def __init__(self) -> None:
        super().__init__()
        self._rows: Sequence[RowT] = ()
        self._filter = Filter()

    # --- for subclasses -------------------------------------------------------------------------

    def columns(self) -> Sequence[Column[RowT]]:
        """Return the columns of the list."""
        raise NotImplementedError

    def name_of(self, row: RowT) -> str:
        """Return the name of a row, which identifies it."""
        raise NotImplementedError

    def text_of(self, row: RowT) -> str:
        """Return the text that the filter searches."""
        raise NotImplementedError

    def result_of(self, row: RowT) -> ResultT:
        """Return the result of picking a row."""
        raise NotImplementedError

    # --- shared ---------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        def now() -> datetime:
            return datetime.now(UTC)

        with Vertical() as box:
            box.border_title = self.PICKER_TITLE
            yield FilterBar("words", None, now, parse_words, (), collapses=True)
            yield LineTable[RowT](self.columns(), key=self.name_of, now=now, empty=self.EMPTY)
        yield KeyBar()

    @property
    def table(self) -> LineTable[Any]:
        return self.query_one(LineTable)

    def on_mount(self) -> None:
        self.table.focus()

    def show_rows(self, rows: Sequence[RowT]) -> None:
        """Show the rows that match the filter."""
        self._rows = rows
        shown = [row for row in rows if has_words(self._filter, self.text_of(row))]
        self.table.empty = NO_MATCH if rows else self.EMPTY
        self.table.set_rows(shown)
        self.query_one(FilterBar).note(f"{len(shown):,} of {len(rows):,}")

    def action_filter(self) -> None:
        self.query_one(FilterBar).edit()

    def on_filter_bar_changed(self, message: FilterBar.Changed) -> None:
        self._filter = message.filter
        self.show_rows(self._rows)

    def on_line_table_chosen(self, message: LineTable.Chosen) -> None:
        self.dismiss(self.result_of(message.row))

    def action_pick(self) -> None:
        self.table.action_choose()
