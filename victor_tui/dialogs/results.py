"""The dialog that shows the results of a command on several objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Label, Static

from victor_tui.dialogs.base import Dialog, DialogBody
from victor_tui.text import one_line, plain


@dataclass(frozen=True, slots=True)
class Result:
    """The result for one object. An empty `error` means success."""

    name: str
    error: str = ""
    note: str = ""


class ResultsDialog(Dialog[None]):
    """A list of results, failures first."""

    def __init__(self, title: str, results: Sequence[Result]) -> None:
        super().__init__()
        self._title = title
        self._results = sorted(results, key=lambda result: not result.error)

    def compose(self) -> ComposeResult:
        failed = sum(bool(result.error) for result in self._results)
        count = f"{len(self._results) - failed} of {len(self._results)} done"
        tone = "$warning" if failed else "$success"
        with Vertical(id="box"):
            yield Static(Content.assemble((one_line(self._title), "bold"), ("  " + count, tone)), id="head")
            with DialogBody(id="body"):
                yield Static(self._listing(failed), classes="text")
            yield Static(id="error")
            with Horizontal(id="actions"):
                yield Button("Close", id="leave", variant="primary", compact=True)
                hint = "failed ones stay marked · esc close" if failed else "esc close"
                yield Label(hint, classes="hint")

    def _listing(self, failed: int) -> Content:
        lines = []
        for result in self._results:
            if result.error:
                name = f"✗ {one_line(result.name, 60)}: "
                lines.append(Content.assemble((name, "$error"), (plain(result.error), "")))
            else:
                note = f"  {plain(result.note)}" if result.note else ""
                lines.append(
                    Content.assemble((f"✓ {one_line(result.name, 60)}", "$success"), (note, "$text-muted"))
                )
        return Content("\n").join(lines)

    def on_mount(self) -> None:
        self.query_one("#body").focus()

    def on_button_pressed(self) -> None:
        self.dismiss(None)

    def action_submit(self) -> None:
        self.dismiss(None)
