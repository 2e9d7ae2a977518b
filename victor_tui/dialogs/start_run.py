"""The dialog that starts a run, with an initial state as JSON and a note."""

from __future__ import annotations

from typing import Any

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Input, Label, Static, TextArea

from victor_tui.dialogs.base import DialogBody, SendingDialog, json_object, json_text
from victor_tui.text import one_line


class TriggerDialog(SendingDialog[tuple[dict[str, Any], str] | None]):
    """A form that dismisses with (state, note), or None."""

    SENDS = "start"
    METHOD = "start_run"

    def __init__(self, title: str, state: dict[str, Any]) -> None:
        super().__init__()
        self._title, self._state = title, state

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Static(Content.assemble(("Start ", "bold"), (one_line(self._title), "bold")), id="head")
            with DialogBody(id="body", can_focus=False):
                yield Label("Initial state (a JSON object)", classes="label")
                text = json_text(self._state)
                yield TextArea(text, id="state", classes="tall")
                yield Label("Note", classes="label")
                yield Input(id="note", compact=True)
            yield Static(id="error")
            with Horizontal(id="actions"):
                yield Button("Start", id="start", variant="primary", compact=True)
                yield Button("Cancel", id="leave", compact=True)
                yield Label("ctrl+s start · esc cancel", classes="hint")

    def on_mount(self) -> None:
        self.query_one("#state").focus()

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        self.show_error(json_object(event.text_area.text)[1])

    def action_submit(self) -> None:
        area = self.query_one("#state", TextArea)
        value, problem = json_object(area.text)
        if value is None:
            self.show_error(problem)
            area.focus()
            return
        self.dismiss((value, self.query_one("#note", Input).value))
