"""A dry run of a migration: what it would make of a state, before anybody depends on it."""

from __future__ import annotations

import json
from difflib import unified_diff
from typing import Any

from textual import work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.timer import Timer
from textual.widgets import Button, Label, Static, TextArea

from victor_engine.api import MigrationPreview, Port
from victor_engine.errors import VictorError
from victor_tui.dialogs.base import Dialog, DialogBody, json_object
from victor_tui.widgets.safe import one_line
from victor_tui.widgets.value import diff_style

_DEBOUNCE = 0.25
"""Seconds without a key before the dry run is asked for."""
_SHOWN = 400
"""Lines of a difference that are shown."""


def state_diff(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """A unified diff of two states as JSON, whole where they are small; empty where nothing changes."""

    def lines(state: dict[str, Any]) -> list[str]:
        return json.dumps(state, indent=2, ensure_ascii=False, sort_keys=True, default=str).splitlines()

    old, new = lines(before), lines(after)
    return list(unified_diff(old, new, lineterm="", n=3))[2:]


def preview_text(preview: MigrationPreview) -> Content:
    """The path, the steps in words and the difference."""
    path = " · ".join(step.replace("->", " → ") for step in preview.path)
    lines = [Content.styled(one_line(path, 300) or "no migration", "bold")]
    if preview.breaking:
        lines.append(Content.styled("! breaking: what reads the old state needs a change too", "$warning"))
    lines += [Content.styled(f"  {one_line(step, 300)}", "$text-muted") for step in preview.steps]
    rows = state_diff(preview.before, preview.after)
    if not rows:
        lines.append(Content.styled("The state stays as it is.", "$text-muted"))
    lines += [Content.styled(one_line(row, 300), diff_style(row)) for row in rows[:_SHOWN]]
    if len(rows) > _SHOWN:
        lines.append(Content.styled(f"… {len(rows) - _SHOWN} more lines", "$text-muted"))
    return Content("\n").join(lines)


class MigrateDialog(Dialog[None]):
    """Shows what the migrations from one version to another do to the state typed in; changes nothing."""

    def __init__(self, workflow: str, from_version: str, to_version: str) -> None:
        super().__init__()
        self._of = workflow, from_version, to_version
        self._timer: Timer | None = None

    def compose(self) -> ComposeResult:
        workflow, old, new = (one_line(part, 60) for part in self._of)
        with Vertical(id="box"):
            yield Static(
                Content.assemble(("Migrate ", "bold"), (f"{workflow} {old} → {new}", "bold $primary")),
                id="head",
            )
            with DialogBody(id="body"):
                yield Label("State to try it on (a JSON object; nothing is changed)", classes="label")
                yield TextArea("{}", id="state", compact=True)
                yield Static(id="result", classes="text")
            yield Static(id="fault")
            with Horizontal(id="actions"):
                yield Button("Close", id="leave", compact=True)
                yield Label("ctrl+s try now · pgup pgdn scroll · esc close", classes="hint")

    def on_mount(self) -> None:
        area = self.query_one("#state", TextArea)
        area.select_all()
        area.focus()
        self._try()

    def on_button_pressed(self) -> None:
        self.dismiss(None)

    def on_text_area_changed(self) -> None:
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(_DEBOUNCE, self._try)

    def action_submit(self) -> None:
        self._try()

    @work(group="preview", exclusive=True)
    async def _try(self) -> None:
        result = self.query_one("#result", Static)
        state, problem = json_object(self.query_one("#state", TextArea).text)
        if state is None:
            self.fault(problem)
            return
        port: Port = self.app.port  # type: ignore[attr-defined]
        try:
            preview = await port.preview_migration(*self._of, state)
        except VictorError as error:
            self.fault(error.message)
            result.update("")
            return
        self.fault("")
        result.update(preview_text(preview))
