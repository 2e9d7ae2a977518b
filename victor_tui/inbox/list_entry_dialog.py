"""The dialog that edits one entry of a list of objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Label, Static

from victor_tui.dialogs.base import DialogBody
from victor_tui.dialogs.editor import EditorDialog
from victor_tui.text import one_line
from victor_tui.widgets.form import Form
from victor_tui.widgets.form_fields import FormError


class RowDialog(EditorDialog[dict[str, Any] | None]):
    """A form that dismisses with an object that matches `schema`, or None.

    Escape asks before it discards edits.
    """

    def __init__(self, title: str, schema: Mapping[str, Any], row: Any) -> None:
        super().__init__()
        self._title, self._schema, self._row = title, schema, row
        self._before: dict[str, Any] = {}
        self._warned = False

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Static(Content.styled(one_line(self._title, 200), "bold"), id="head")
            with DialogBody(id="body", can_focus=False):
                yield Form(self._schema, self._row, row_dialog=RowDialog)
            yield Static(id="error")
            with Horizontal(id="actions"):
                yield Button("Keep", id="keep", variant="primary", compact=True)
                yield Button("Cancel", id="leave", compact=True)
                yield Label("ctrl+s keep · tab · esc cancel", classes="hint")

    def on_mount(self) -> None:
        form = self.query_one(Form)
        self._before = form.snapshot()
        form.focus_first()

    def typed_ahead(self, key: str) -> bool:
        """Return False: keys typed ahead are safe, because the dialog sends nothing."""
        return False

    def on_button_pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "keep":
            self.action_submit()
        else:
            self.action_leave()

    def action_leave(self) -> None:
        if self.query_one(Form).snapshot() != self._before and not self._warned:
            self._warned = True
            self.show_error(
                "Your changes are not kept yet: ctrl+s keeps them, esc again discards them.", "$warning"
            )
        else:
            self.dismiss(None)

    def action_submit(self) -> None:
        form = self.query_one(Form)
        try:
            value = form.read()
            errors = form.errors(value)
        except FormError as error:
            value, errors = None, {error.path: str(error)}
        if errors:
            form.show_errors(errors)
            path, text = next(iter(errors.items()))
            self.show_error(f"{path}: {text}" if path else text)
        else:
            self.dismiss(value)
