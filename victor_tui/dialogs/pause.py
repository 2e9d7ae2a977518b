"""Hold a schedule, with a note for whoever wonders and, if wanted, an end."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Input, Label, Static

from victor_engine.clock import Clock, SystemClock
from victor_tui.dialogs.base import Dialog, DialogBody
from victor_tui.widgets.safe import one_line

_SPAN = re.compile(r"(\d+)\s*([mhd])\Z")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def parse_until(text: str, now: datetime) -> datetime | None:
    """An instant in UTC from `90m`, `4h`, `2d` or local wall time `2026-03-10 14:00`; None if empty.

    Raises ValueError with the remedy.
    """
    text = text.strip()
    if not text:
        return None
    if span := _SPAN.match(text):
        return now + timedelta(**{_UNITS[span[2]]: int(span[1])})
    try:
        found = datetime.fromisoformat(text).astimezone(now.tzinfo)
    except ValueError:
        raise ValueError(
            f"{one_line(text, 40)} is not a time. Write 90m, 4h, 2d or 2026-03-10 14:00."
        ) from None
    if found <= now:
        raise ValueError("That instant has passed.")
    return found


class PauseDialog(Dialog[tuple[str, datetime | None] | None]):
    """Dismisses with (note, until), or None."""

    def __init__(self, title: str = "Pause", clock: Clock | None = None) -> None:
        super().__init__()
        self._title, self._clock = title, clock

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Static(Content.styled(one_line(self._title), "bold"), id="head")
            with DialogBody(id="body", can_focus=False):
                yield Label("Why (shown to everyone)", classes="label")
                yield Input(id="note", compact=True)
                yield Label("Until (empty: until somebody resumes it)", classes="label")
                yield Input(id="until", placeholder="90m, 4h, 2d or 2026-03-10 14:00", compact=True)
            yield Static(id="fault")
            with Horizontal(id="actions"):
                yield Button("Pause", id="pause", variant="primary", compact=True)
                yield Button("Leave", id="leave", compact=True)
                yield Label("ctrl+s pause · esc leave", classes="hint")

    def on_mount(self) -> None:
        self.query_one("#note").focus()

    def on_input_submitted(self) -> None:
        self.action_submit()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "pause":
            self.action_submit()
        else:
            self.dismiss(None)

    def action_submit(self) -> None:
        clock: Clock = self._clock or getattr(self.app, "clock", None) or SystemClock()
        field = self.query_one("#until", Input)
        try:
            until = parse_until(field.value, clock.now())
        except (ValueError, OverflowError) as error:
            self.fault(str(error))
            field.focus()
            return
        self.dismiss((self.query_one("#note", Input).value, until))
