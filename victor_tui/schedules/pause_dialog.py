"""The dialog that pauses schedules, with a reason and an optional end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Input, Label, Static

from victor_tui.dialogs.base import DialogBody, SendingDialog
from victor_tui.schedules.time_fields import parse_until
from victor_tui.text import one_line, plain, relative

HINT = "empty: until resumed · 4h · monday · mon 07:30 · tomorrow 08:00 · 2026-03-10 14:00"


class PauseDialog(SendingDialog[tuple[str, datetime | None] | None]):
    """A form that dismisses with (note, until), or None. `names` are the schedules if there are several."""

    SENDS = "pause"
    METHOD = "pause_schedule"

    def __init__(self, title: str = "Pause", names: Sequence[str] = ()) -> None:
        super().__init__()
        self._title, self._names = title, names
        self.until: datetime | None = None

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Static(Content.styled(one_line(self._title), "bold"), id="head")
            with DialogBody(id="body", can_focus=False):
                if self._names:
                    yield Static(Content(plain(", ".join(self._names))), classes="text names")
                yield Label("Reason (shown to everyone)", classes="label")
                yield Input(id="note", compact=True)
                yield Label("Until", classes="label")
                yield Input(id="until", placeholder=HINT, compact=True)
                yield Static(id="until-preview", classes="remark")
            yield Static(id="error")
            with Horizontal(id="actions"):
                yield Button("Pause", id="pause", variant="primary", compact=True)
                yield Button("Cancel", id="leave", compact=True)
                yield Label("ctrl+s pause · esc cancel", classes="hint")

    def on_mount(self) -> None:
        self.query_one("#note").focus()
        self._preview()

    def on_input_changed(self) -> None:
        self._preview()

    def _preview(self) -> bool:
        """Show the parsed end in full, or its error. Return whether it is valid."""
        line = self.query_one("#until-preview", Static)
        try:
            span = parse_until(self.query_one("#until", Input).value, self.now(), self.console.zone)
        except ValueError as error:
            line.update(Content.styled(plain(str(error)), "$error"))
            return False
        self.until = None if span is None else span.start
        if span is None:
            line.update(Content.styled("until resumed", "$text-muted"))
            return True
        local = span.start.astimezone(self.console.zone)
        words = f"until {local:%A %Y-%m-%d %H:%M %Z}, {relative(span.start, self.now())}"
        line.update(Content.styled(f"{words}. {span.note}" if span.note else words, "$success"))
        return True

    def action_submit(self) -> None:
        if not self._preview():
            self.query_one("#until").focus()
            return
        self.dismiss((self.query_one("#note", Input).value, self.until))
