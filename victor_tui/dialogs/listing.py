"""The dialog that shows a list of lines, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Label, OptionList, Static

from victor_tui.dialogs.base import Dialog, DialogBody
from victor_tui.filter_language import Filter, has_words, parse_words
from victor_tui.keys import bindings
from victor_tui.row_values import Here
from victor_tui.widgets.filter_bar import FilterBar


@dataclass(frozen=True)
class Line:
    """One line, and the values that `c` copies from it, each with a label."""

    content: Content
    values: tuple[tuple[str, str], ...] = ()


class ListingDialog(Dialog[None]):
    """A list of lines. `empty` is shown instead of an empty list."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("listing")

    def __init__(self, title: str, lines: Sequence[Line], empty: str) -> None:
        super().__init__()
        self._title, self._lines, self._empty = title, list(lines), empty
        self._shown: list[Line] = self._lines
        self._filter = Filter()

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Static(Content.styled(self._title, "bold"), id="head")
            with DialogBody(id="body", can_focus=False):
                yield FilterBar("words", None, lambda: datetime.now(UTC), parse_words, (), collapses=True)
                yield OptionList(*self._contents(), id="lines", compact=True, markup=False)
            yield Static(id="error")
            with Horizontal(id="actions"):
                yield Button("Close", id="leave", compact=True)
                yield Label("newest first · c copy · / filter · esc close", classes="hint")

    def _contents(self) -> list[Content]:
        return [line.content for line in self._shown] or [Content(self._empty)]

    def on_mount(self) -> None:
        lines = self.query_one("#lines", OptionList)
        lines.focus()
        lines.highlighted = 0

    def here(self) -> Here:
        """Return the values of the line under the cursor."""
        at = self.query_one(OptionList).highlighted
        return Here(list(self._shown[at].values) if at is not None and at < len(self._shown) else [])

    def action_filter(self) -> None:
        self.query_one(FilterBar).edit()

    def on_filter_bar_changed(self, message: FilterBar.Changed) -> None:
        self._filter = message.filter
        self._shown = [line for line in self._lines if has_words(self._filter, line.content.plain)]
        lines = self.query_one(OptionList)
        lines.set_options(self._contents())
        lines.highlighted = 0
        self.query_one(FilterBar).note(f"{len(self._shown):,} of {len(self._lines):,}")

    def on_button_pressed(self) -> None:
        self.dismiss(None)

    def action_submit(self) -> None:
        self.dismiss(None)
