"""One thing done to many runs, with a result for each as it comes."""

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

AT_ONCE = 16
"""Runs that are worked on at the same time: their writes share commits."""


class BulkDialog(Dialog[int]):
    """Does `action` to every id and lists what became of each, failures first when all are done.

    Dismisses with how many failed. Leaving early lets what has begun end, and begins no more.
    """

    def __init__(self, title: str, ids: Sequence[str], action: Callable[[str], Awaitable[RunInfo]]) -> None:
        super().__init__()
        self._title, self._ids, self._action = title, list(ids), action
        self._good: list[Content] = []
        self._bad: list[Content] = []
        self._leaving = False

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Static(Content.styled(one_line(self._title), "bold"), id="head")
            with DialogBody(id="body", can_focus=False):
                yield Static(id="count", classes="text")
                yield LineView(id="results")
            yield Static(id="fault")
            with Horizontal(id="actions"):
                yield Button("Close", id="close", variant="primary", compact=True)
                yield Label("↑↓ scroll · esc close", classes="hint")

    def on_mount(self) -> None:
        self.query_one("#close").focus()
        self._run()

    def on_button_pressed(self) -> None:
        self.action_leave()

    def action_leave(self) -> None:
        self._leaving = True
        self.dismiss(len(self._bad))

    @work(group="bulk")
    async def _run(self) -> None:
        places = asyncio.Semaphore(AT_ONCE)

        async def one(run_id: str) -> None:
            async with places:
                if not self._leaving:
                    await self._one(run_id)

        self._draw()
        await asyncio.gather(*(one(run_id) for run_id in self._ids))
        self._draw(done=True)

    async def _one(self, run_id: str) -> None:
        try:
            run = await self._action(run_id)
        except VictorError as error:
            self._bad.append(
                Content.assemble(
                    ("✗ ", "$text-error"),
                    (one_line(run_id, 40), "bold"),
                    (f"  {one_line(error.message, 300)}", "$text-error"),
                )
            )
        else:
            self._good.append(
                Content.assemble(
                    ("✓ ", "$text-success"), (run.id, "bold"), (f"  {one_line(run.status)}", "$text-muted")
                )
            )
        self._draw()

    def _draw(self, done: bool = False) -> None:
        if not self.is_mounted:
            return
        count, total = len(self._good) + len(self._bad), len(self._ids)
        words = f"{len(self._good)} done" + (f", {len(self._bad)} not" if self._bad else "")
        if not done:
            words += f", {plural(total - count, 'run')} to go"
        self.query_one("#count", Static).update(
            Content.styled(words, "$text-error" if self._bad else "$foreground")
        )
        # While it runs, the newest are of interest; at the end, what did not work.
        self.query_one("#results", LineView).set_lines([*self._bad, *self._good])
        self._fit_body()
