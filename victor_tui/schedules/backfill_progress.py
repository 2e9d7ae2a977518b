"""The dialog that shows the progress of a backfill, and pauses, resumes or cancels it."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import tzinfo

from textual import work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Label, Static

from victor_engine.api import BackfillCommand, BackfillInfo, backfill_refusal
from victor_engine.errors import VictorError
from victor_tui.dialogs.base import Dialog, DialogBody
from victor_tui.dialogs.confirm import ConfirmDialog
from victor_tui.screen_lifecycle import is_alive
from victor_tui.text import clean, full, one_line, plain, plural, schedule_name

_BAR = 40
"""Width of the progress bar in cells."""
_ORDERS = {"oldest": "oldest first", "newest": "newest first"}
_REDOS = {
    "missing": "missing fires",
    "failed": "missing and failed fires",
    "all": "all fires",
}


class BackfillProgressDialog(Dialog[None]):
    """A dialog that shows one backfill and refreshes every second."""

    def __init__(self, backfill: BackfillInfo) -> None:
        super().__init__()
        self._backfill = backfill

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            name = one_line(schedule_name(self._backfill.spec.schedule_id, self._backfill.workflow), 60)
            yield Static(Content.styled(f"Backfill of {name}", "bold"), id="head")
            with DialogBody(id="body", can_focus=False):
                yield Static(id="progress", classes="text")
            yield Static(id="error")
            with Horizontal(id="actions"):
                yield Button("Close", id="leave", variant="primary", compact=True)
                yield Button("Pause", id="hold", compact=True)
                yield Button("Cancel backfill", id="end", compact=True)
                yield Label("tab enter press · esc close", classes="hint")

    def on_mount(self) -> None:
        self.query_one("#leave").focus()
        self._show()
        self.set_interval(1.0, self._tick)

    def _tick(self) -> None:
        if is_alive(self):
            self._refresh()

    @work(group="preview", exclusive=True)
    async def _refresh(self) -> None:
        try:
            found = await self.port.backfills(self._backfill.spec.schedule_id, 50)
        except VictorError as error:
            self.show_error(error.message)
            return
        self._backfill = next((each for each in found if each.id == self._backfill.id), self._backfill)
        self._show()

    def _show(self) -> None:
        info, zone = self._backfill, self._zone
        done = info.succeeded + info.failed
        filled = round(_BAR * done / info.total) if info.total else _BAR
        bad = round(_BAR * info.failed / info.total) if info.total and info.failed else 0
        left = max(0, info.total - done - info.running)
        style = {"running": "$primary", "paused": "$warning", "finished": "$success"}.get(info.status, "")
        lines = [
            Content.assemble(
                ("━" * (filled - bad), "$success"),
                ("━" * bad, "$error"),
                ("╌" * (_BAR - filled), "$text-muted"),
                (f" {done:,} of {info.total:,}  ", "bold"),
                (info.status, style),
            ),
            Content.assemble(
                (f"✓ {info.succeeded:,} succeeded  ", "$success"),
                (f"✗ {info.failed:,} failed  ", "$error" if info.failed else "$text-muted"),
                (f"● {info.running:,} running  ", "$primary"),
                (f"· {left:,} pending", "$text-muted"),
            ),
        ]
        if info.problem:
            lines.append(Content.styled(f"✗ {plain(info.problem)}", "$error"))
        spec = info.spec
        lines += [
            Content(""),
            Content(f"{full(spec.start, zone)} to {full(spec.end, zone)}"),
            Content(f"{_REDOS[spec.redo]}, {_ORDERS[spec.order]}, {spec.concurrency} at a time"),
            Content(f"backfill {info.id}, started by {clean(info.by)} at {full(info.created_at, zone)}"),
        ]
        if info.note:
            lines.append(Content(plain(info.note)))
        self.query_one("#progress", Static).update(Content("\n").join(lines))
        hold = self.query_one("#hold", Button)
        hold.label = "Resume" if self._accepts(BackfillCommand.RESUME) else "Pause"
        words = "tab enter press · esc close"
        ended = not self._accepts(BackfillCommand.CANCEL)
        self.query_one(".hint", Label).update("esc close" if ended else words)
        for button in (hold, self.query_one("#end", Button)):
            button.display = not ended
        self._fit_body()

    def _accepts(self, command: BackfillCommand) -> bool:
        return backfill_refusal(self._backfill.status, command) is None

    @property
    def _zone(self) -> tzinfo | None:
        return self.console.zone

    # --- actions --------------------------------------------------------------------------------

    def on_button_pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "hold":
            self.action_pause_or_resume()
        elif event.button.id == "end":
            self.action_cancel()
        else:
            self.dismiss(None)

    async def _execute(self, action: Awaitable[BackfillInfo]) -> None:
        try:
            self._backfill = await action
        except VictorError as error:
            self.show_error(error.message)
            return
        self.show_error("")
        self._show()

    @work(group="action", exclusive=True)
    async def action_pause_or_resume(self) -> None:
        if self._accepts(BackfillCommand.RESUME):
            await self._execute(self.port.resume_backfill(self._backfill.id))
        elif self._accepts(BackfillCommand.PAUSE):
            await self._execute(self.port.pause_backfill(self._backfill.id))

    @work(group="action", exclusive=True)
    async def action_cancel(self) -> None:
        info = self._backfill
        if not self._accepts(BackfillCommand.CANCEL):
            return
        left = max(0, info.total - info.succeeded - info.failed - info.running)
        body = f"{plural(left, 'fire')} will be skipped; active runs continue."
        dialog = ConfirmDialog("Cancel this backfill?", body, danger=True)
        note = await self.app.push_screen_wait(dialog)
        if note is not None:
            await self._execute(self.port.cancel_backfill(info.id, note))

    def action_submit(self) -> None:
        self.dismiss(None)
