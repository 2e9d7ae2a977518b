"""The dialog that starts a run: a form of its declared inputs, or an initial state as JSON, and a note."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Input, Label, Static, TextArea

from victor_tui.dialogs.base import DialogBody, SendingDialog, json_object, json_text
from victor_tui.keys import bindings
from victor_tui.text import one_line


class TriggerDialog(SendingDialog[tuple[dict[str, Any], str] | None]):
    """A form that dismisses with (state, note), or None.

    `inputs` is the JSON Schema of the inputs that the workflow declares. Without it, the state is edited as JSON.
    """

    SENDS = "start"
    METHOD = "start_run"
    BINDINGS: ClassVar[list[BindingType]] = bindings("start")

    def __init__(self, title: str, state: dict[str, Any], inputs: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self._title, self._state, self._inputs = title, state, inputs

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Static(Content.assemble(("Start ", "bold"), (one_line(self._title), "bold")), id="head")
            with DialogBody(id="body", can_focus=False):
                yield from self._compose_state()
                yield Label("Note", classes="label")
                yield Input(id="note", compact=True)
            yield Static(id="error")
            with Horizontal(id="actions"):
                yield Button("Start", id="start", variant="primary", compact=True)
                yield Button("Cancel", id="leave", compact=True)
                json = "" if self._inputs is None else " · ctrl+r JSON"
                yield Label(f"ctrl+s start{json} · esc cancel", classes="hint")

    def _compose_state(self) -> ComposeResult:
        if self._inputs is None:
            yield Label("Initial state (a JSON object)", classes="label")
            yield TextArea(json_text(self._state), id="state", classes="tall")
            return
        from victor_tui.inbox.list_entry_dialog import RowDialog
        from victor_tui.widgets.form import Form

        yield Form(self._inputs, self._state or None, row_dialog=RowDialog)

    def on_mount(self) -> None:
        if self._inputs is None:
            self.query_one("#state").focus()
            return
        from victor_tui.widgets.form import Form

        self.query_one(Form).focus_first(scroll_visible=False)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "switch_form" or self._inputs is not None

    def applies(self, action: str) -> bool:
        return action != "switch_form" or self._inputs is not None

    async def action_switch_form(self) -> None:
        """Change between the fields of the inputs and their JSON."""
        from victor_tui.widgets.form import Form

        await self.query_one(Form).switch()
        self.show_error("")

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        if self._inputs is None:
            self.show_error(json_object(event.text_area.text)[1])

    def entered(self) -> None:
        if self._inputs is None:
            super().entered()
        else:
            self.focus_next()

    def action_submit(self) -> None:
        state = self._read_json() if self._inputs is None else self._read_form()
        if state is not None:
            self.dismiss((state, self.query_one("#note", Input).value))

    def _read_json(self) -> dict[str, Any] | None:
        """Return the state, or None after an error is shown."""
        area = self.query_one("#state", TextArea)
        value, problem = json_object(area.text)
        if value is None:
            self.show_error(problem)
            area.focus()
        return value

    def _read_form(self) -> dict[str, Any] | None:
        """Return the inputs, or None after the errors are shown."""
        from victor_tui.widgets.form import Form
        from victor_tui.widgets.form_fields import FormError

        form = self.query_one(Form)
        try:
            value = form.read()
        except FormError as error:
            value, errors = None, {error.path: str(error)}
        else:
            value = {} if value is None else value
            errors = form.errors(value)
        if errors:
            form.show_errors(errors)
            path, text = next(iter(errors.items()))
            more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
            self.show_error(f"{path}: {text}{more}" if path else f"{text}{more}")
            return None
        return dict(value) if isinstance(value, dict) else None
