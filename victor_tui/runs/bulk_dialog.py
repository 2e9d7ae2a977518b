"""The dialog that executes one command on many runs and shows the result of each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from textual import work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Label, Static

from victor_engine.api import RunInfo
from victor_engine.errors import VictorError
from victor_tui.dialogs.base import Dialog, DialogBody
from victor_tui.text import one_line, plural
from victor_tui.widgets.lines import LineView

CONCURRENCY = 16
"""Number of concurrent commands. Their writes share commits."""


class BulkDialog(Dialog[int]):
    """Execute `action` for every id and list the results, failures first.

    Dismisses with the number of failures. Closing the dialog early starts no further actions.
    """

    def __init__(self, title: str, ids: Sequence[str], action: Callable[[str], Awaitable[RunInfo]]) -> None:
        super().__init__()
        self._title, self._ids, self._action = title, list(ids), action
        self._succeeded: list[Content] = []
        self._failed: list[Content] = []
        self._stopping = False

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Static(Content.styled(one_line(self._title), "bold"), id="head")
            with DialogBody(id="body", can_focus=False):
                yield Static(id="count", classes="text")
                yield LineView(id="results")
            yield Static(id="error")
            with Horizontal(id="actions"):
                yield Button("Close", id="close", variant="primary", compact=True)
                yield Label("↑↓ scroll · esc close", classes="hint")

    def on_mount(self) -> None:
        self.query_one("#close").focus()
        self._run()

    def on_button_pressed(self) -> None:
        self.action_leave()

    def action_leave(self) -> None:
        self._stopping = True
        self.dismiss(len(self._failed))

    @work(group="bulk")
    async def _run(self) -> None:
        slots = asyncio.Semaphore(CONCURRENCY)

        async def one(run_id: str) -> None:
            async with slots:
                if not self._stopping:
                    await self._one(run_id)

        self._draw()
        await asyncio.gather(*(one(run_id) for run_id in self._ids))
        self._draw(done=True)

    async def _one(self, run_id: str) -> None:
        try:
            run = await self._action(run_id)
        except VictorError as error:
            self._failed.append(
                Content.assemble(
                    ("✗ ", "$text-error"),
                    (one_line(run_id, 40), "bold"),
                    (f"  {one_line(error.message, 300)}", "$text-error"),
                )
            )
        else:
            self._succeeded.append(
                Content.assemble(
                    ("✓ ", "$text-success"), (run.id, "bold"), (f"  {one_line(run.status)}", "$text-muted")
                )
            )
        self._draw()

    def _draw(self, done: bool = False) -> None:
        if not self.is_mounted:
            return
        count, total = len(self._succeeded) + len(self._failed), len(self._ids)
        words = f"{len(self._succeeded)} done" + (f", {len(self._failed)} failed" if self._failed else "")
        if not done:
            words += f", {plural(total - count, 'run')} to go"
        self.query_one("#count", Static).update(
            Content.styled(words, "$text-error" if self._failed else "$foreground")
        )
        self.query_one("#results", LineView).set_lines([*self._failed, *self._succeeded])
        self._fit_body()
