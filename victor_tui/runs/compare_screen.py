"""The screen that compares two runs: outcomes, durations of nodes, inputs and states."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import Static

from victor_engine.api import ACTIVE_RUN_STATUSES, RunComparison, RunInfo, RunQuery
from victor_engine.errors import VictorError
from victor_tui.base_screen import ConsoleScreen
from victor_tui.keys import bindings
from victor_tui.row_values import Here, run_why
from victor_tui.runs.comparison import comparison_lines
from victor_tui.text import clean, moment
from victor_tui.theme import run_mark
from victor_tui.widgets.lines import LineView

EARLIER = 200
"""Number of earlier runs that the keys can step through."""


class CompareScreen(ConsoleScreen):
    """A run beside an earlier run: `other`, or the last success before it."""

    MODE = "history"
    CSS_PATH = "compare_screen.tcss"
    AUTO_FOCUS: ClassVar[str | None] = "LineView"
    LIVE_PREVIEW = False
    KEYS = "compare"
    BINDINGS: ClassVar[list[BindingType]] = bindings("compare")

    def __init__(self, run: RunInfo, other: str | None = None) -> None:
        super().__init__()
        self.run = run
        self.other = other
        self.found: RunComparison | None = None
        self._earlier: list[RunInfo] = []
        self._only_different = False

    def here(self) -> Here:
        run, other = self.run, self.other
        older = [("id of the older run", other)] if other is not None else []
        values = [("id of the newer run", run.id), *older]
        return Here(values, run_why(run, self.now()), run.id, lambda: self._open_again(run, other))

    def _open_again(self, run: RunInfo, other: str | None) -> None:
        self.console.push_screen(CompareScreen(run, other))

    def compose_body(self) -> ComposeResult:
        yield Static("", id="compare-head", markup=False)
        yield LineView(id="compared")

    def on_mount(self) -> None:
        self._begin()

    def tick(self) -> None:
        if self.found is not None and self._active(self.found):
            self._compare()

    @staticmethod
    def _active(found: RunComparison) -> bool:
        return any(side.run.status in ACTIVE_RUN_STATUSES for side in (found.left, found.right))

    # --- which runs ---------------------------------------------------------------------------

    @work(group="compare", exclusive=True)
    async def _begin(self) -> None:
        """Load the earlier runs, and select one if `other` is None."""
        query = RunQuery(workflow=self.run.workflow, before_id=self.run.id, limit=EARLIER)
        try:
            self._earlier = await self.port.runs(query)
        except VictorError as error:
            self.console.report(error)
            return
        if self.other is None:
            good = [run for run in self._earlier if run.status == "succeeded"] or self._earlier
            self.other = good[0].id if good else None
        await self._load()

    @work(group="compare", exclusive=True)
    async def _compare(self) -> None:
        await self._load()

    async def _load(self) -> None:
        if self.other is None:
            words = f" Nothing to compare with: {clean(self.run.workflow)} has no earlier run."
            self.query_one(LineView).set_lines([Content.styled(words, "$foreground-muted")])
            return
        try:
            self.found = await self.port.compare_runs(self.other, self.run.id)
        except VictorError as error:
            self.console.report(error)
            return
        self._draw_all()

    @property
    def _position(self) -> int:
        """The index of the other run in the earlier runs, or -1."""
        return next((i for i, run in enumerate(self._earlier) if run.id == self.other), -1)

    def action_step(self, by: int) -> None:
        position = self._position + by
        if 0 <= position < len(self._earlier):
            self.other = self._earlier[position].id
            self._compare()
        else:
            self.notify("This workflow has no more runs in that direction.", markup=False)

    def action_yesterday(self) -> None:
        wanted = self.run.created_at - timedelta(days=1)
        if not self._earlier:
            self.notify("This workflow has no earlier run.", markup=False)
            return
        self.other = min(self._earlier, key=lambda run: abs(run.created_at - wanted)).id
        self._compare()

    # --- drawing ------------------------------------------------------------------------------

    def on_resize(self) -> None:
        self._draw_all()

    def _draw_all(self) -> None:
        if self.found is None:
            return
        now, zone = self.now(), self.console.zone
        left, right = self.found.left.run, self.found.right.run
        marks = run_mark(left.status), run_mark(right.status)
        offset = f"  −{self._position + 1}" if self._position >= 0 else ""
        self.query_one("#compare-head", Static).update(
            Content.assemble(
                (f" {clean(right.workflow)} ", "bold"),
                (f"{marks[0].glyph} {left.id} {moment(left.created_at, now, zone)}", "$foreground"),
                (" compared with ", "$foreground-muted"),
                (f"{marks[1].glyph} {right.id} {moment(right.created_at, now, zone)}", "$foreground"),
                (offset, "$foreground-muted"),
            )
        )
        view = self.query_one(LineView)
        width = max(60, view.size.width or self.size.width)
        view.set_lines(comparison_lines(self.found, width, zone, now, self._only_different))

    def action_different(self) -> None:
        self._only_different = not self._only_different
        self._draw_all()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "filter"

    def action_back(self) -> None:
        self.dismiss()

    def action_open_older(self) -> None:
        if self.other is not None:
            self.console.navigator.open_run(self.other)

    def action_open_newer(self) -> None:
        self.console.navigator.open_run(self.run.id)
