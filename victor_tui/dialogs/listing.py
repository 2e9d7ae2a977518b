"""The dialog that shows a list of lines, newest first."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Label, Static

from victor_tui.dialogs.base import Dialog, DialogBody


class ListingDialog(Dialog[None]):
    """A scrolling list. `empty` is shown instead of an empty list."""

    def __init__(self, title: str, lines: Sequence[Content], empty: str) -> None:
        super().__init__()
        self._title, self._lines, self._empty = title, lines, empty

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Static(Content.styled(self._title, "bold"), id="head")
            with DialogBody(id="body"):
                yield Static(Content("\n").join(self._lines or [Content(self._empty)]), classes="text")
            yield Static(id="error")
            with Horizontal(id="actions"):
                yield Button("Close", id="leave", compact=True)
                yield Label("newest first · ↑ ↓ pgup pgdn scroll · esc close", classes="hint")

    def on_mount(self) -> None:
        self.query_one("#body").focus()

    def on_button_pressed(self) -> None:
        self.dismiss(None)

    def action_submit(self) -> None:
        self.dismiss(None)
