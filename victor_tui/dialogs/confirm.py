"""The dialog that asks for a confirmation, with a note for the audit trail."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Input, Label, Static

from victor_tui.dialogs.base import DialogBody, Held, SendingDialog
from victor_tui.text import one_line, plain


class ConfirmDialog(SendingDialog[str | None], Held[str | None]):
    """A confirmation that dismisses with the note, which can be empty, or None for no."""

    SENDS = "yes"

    def __init__(self, title: str, body: str, note: bool = True, danger: bool = False) -> None:
        super().__init__(classes="-danger" if danger else "")
        self._title, self._body, self._note, self._danger = title, body, note, danger

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Static(Content.styled(one_line(self._title), "bold"), id="head")
            with DialogBody(id="body", can_focus=False):
                yield Static(plain(self._body), markup=False, classes="text")
                if self._note:
                    yield Label("Note (goes into the audit trail)", classes="label")
                    yield Input(id="note", compact=True)
            yield Static(id="error")
            with Horizontal(id="actions"):
                yield Button("Yes", id="yes", variant="error" if self._danger else "primary", compact=True)
                yield Button("No", id="no", compact=True)
                yield Label("ctrl+s yes · esc no", classes="hint")

    def on_mount(self) -> None:
        self.query_one("#note" if self._note else "#no").focus()

    def entered(self) -> None:
        self.show_error("ctrl+s confirms.", "$warning")

    def action_submit(self) -> None:
        self.dismiss(self.query_one("#note", Input).value if self._note else "")
