"""The dialog that quits a console with an embedded engine."""

from __future__ import annotations

from typing import Literal

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Label, Static

from victor_engine.api import EngineInfo
from victor_tui.dialogs.base import Dialog, DialogBody
from victor_tui.text import one_line, plural

QuitChoice = Literal["stop", "stay", "daemon"]


class QuitDialog(Dialog[QuitChoice | None]):
    """A dialog that dismisses with stop, stay or daemon."""

    def __init__(self, info: EngineInfo) -> None:
        super().__init__()
        self._info = info

    def compose(self) -> ComposeResult:
        info = self._info
        facts = [
            f"{plural(info.running, 'run')} running, {info.waiting} waiting for people, {info.queued} queued."
        ]
        if info.next_fire is not None:
            name = one_line(info.next_fire_workflow or "a schedule", 60)
            facts.append(f"Next fire: {name} at {info.next_fire.astimezone():%Y-%m-%d %H:%M:%S}.")
        facts.append("Without an engine, no schedule fires. Runs continue when an engine starts again.")
        with Vertical(id="box"):
            yield Static(Content.styled("This console runs the engine", "bold"), id="head")
            with DialogBody(id="body", can_focus=False):
                yield Static("\n".join(facts), markup=False, classes="text")
            yield Static(id="error")
            with Horizontal(id="actions"):
                yield Button("Stay", id="stay", variant="primary", compact=True)
                yield Button("Hand over to a daemon", id="daemon", compact=True)
                yield Button("Stop and quit", id="stop", variant="warning", compact=True)
                yield Label("esc stay", classes="hint")

    def on_mount(self) -> None:
        self.query_one("#stay").focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        choices: dict[str | None, QuitChoice] = {"stop": "stop", "daemon": "daemon"}
        self.dismiss(choices.get(event.button.id, "stay"))

    def action_leave(self) -> None:
        self.dismiss("stay")
