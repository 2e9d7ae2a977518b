"""The dialog that reruns a run, with the same or another input and version."""

from __future__ import annotations

from typing import Any, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Input, Label, Select, Static, TextArea

from victor_engine.api import RunDetail
from victor_engine.errors import VictorError
from victor_tui.dialogs.base import DialogBody, json_object, json_text
from victor_tui.runs.version_field import EDITABLE, SHOWN, VersionedDialog, changed_lines, version_options
from victor_tui.text import one_line
from victor_tui.widgets.json_view import diff_style


class RerunDialog(VersionedDialog):
    """A dialog that sends the rerun and keeps edits after an error.

    It dismisses with the new run, or None.
    """

    SENDS = "rerun"
    METHOD = "rerun"

    BINDINGS: ClassVar[list[BindingType]] = []

    def __init__(self, detail: RunDetail) -> None:
        super().__init__(detail)
        self._text = json_text(detail.input)

    def compose(self) -> ComposeResult:
        run = self.detail.run
        with Vertical(id="box"):
            title = one_line(f"{run.workflow} {run.id}", 80)
            yield Static(Content.assemble(("Rerun ", "bold"), (title, "bold $primary")), id="head")
            with DialogBody(id="body", can_focus=False):
                yield Static("Starts a new run. The old run does not change.", classes="text")
                with Horizontal(classes="pair"):
                    yield Label("Version", classes="name")
                    options = version_options(run, ())
                    yield Select(options, value=run.version, allow_blank=False, id="version", compact=True)
                if len(self._text) > EDITABLE:
                    words = (
                        f"The input is kept. It has {len(self._text):,} characters, too many to edit here."
                    )
                    yield Static(words, markup=False, classes="text label")
                else:
                    yield Label("Input (a JSON object)", classes="label")
                    yield TextArea(self._text, id="state", classes="tall", compact=True)
                    yield Static(id="changes", classes="text")
                yield Label("Note (goes into the audit trail)", classes="label")
                yield Input(id="note", compact=True)
            yield Static(id="error")
            with Horizontal(id="actions"):
                yield Button("Rerun", id="rerun", variant="primary", compact=True)
                yield Button("Cancel", id="leave", compact=True)
                yield Label("ctrl+s rerun · esc cancel", classes="hint")

    def on_mount(self) -> None:
        self.query_one("#version").focus()
        self._draw_changes()

    def _state(self) -> tuple[dict[str, Any] | None, str]:
        """Return the edited input (None if unchanged), and its error."""
        for area in self.query("#state").results(TextArea):
            state, problem = json_object(area.text)
            return (None if problem or state == self.detail.input else state), problem
        return None, ""

    def on_text_area_changed(self) -> None:
        self.debounce.call(self._draw_changes)

    def _draw_changes(self) -> None:
        state, problem = self._state()
        self.show_error(problem)
        rows = [] if state is None else changed_lines(self.detail.input, state)
        shown = [Content.styled(one_line(row, 300), diff_style(row)) for row in rows[:SHOWN]]
        if not rows and not problem:
            shown = [Content.styled("Unchanged.", "$text-muted")]
        for line in self.query("#changes").results(Static):
            line.update(Content("\n").join(shown))

    def action_submit(self) -> None:
        self._send()

    @work(group="send", exclusive=True)
    async def _send(self) -> None:
        state, problem = self._state()
        if problem:
            self.show_error(problem)
            self.query_one("#state").focus()
            return
        run = self.detail.run
        version = str(self.query_one("#version", Select).value)
        note = self.query_one("#note", Input).value
        other = None if version == run.version else version
        try:
            found = await self.port.rerun(run.id, other, state, note)
        except VictorError as error:
            self.show_error(one_line(error.message))
        else:
            self.dismiss(found)
