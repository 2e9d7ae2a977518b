"""The panes of the screen of one run, and the reader of their data."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from victor_engine.api import AttemptInfo, AttemptState, LogLine, RunInfo
from victor_engine.errors import VictorError
from victor_tui.base_screen import ConsoleScreen
from victor_tui.runs import run_header
from victor_tui.runs.gantt import Gantt
from victor_tui.runs.log_view import LogLines
from victor_tui.text import clean

_PAGE = 2000
"""Maximum number of log lines of one read."""


class RunReader:
    """A reader of the parts of a run that the feed does not load. It shows errors in the banner."""

    def __init__(self, screen: ConsoleScreen, run_id: str) -> None:
        self.screen = screen
        self._run_id = run_id

    async def attempt_state(self, attempt: int) -> AttemptState | None:
        """Return the state before and after an attempt, or None after an error."""
        try:
            return await self.screen.port.attempt_state(self._run_id, attempt)
        except VictorError as error:
            self.screen.show_banner(clean(error.message))
            return None

    async def log_page(self, after: int) -> Sequence[LogLine] | None:
        """Return at most one page of lines after a sequence number, or None after an error."""
        try:
            return await self.screen.port.run_log(self._run_id, after, _PAGE)
        except VictorError as error:
            self.screen.show_banner(clean(error.message))
            return None


class LogPane(Vertical):
    """The log of a run, with a summary line."""

    def __init__(self, reader: RunReader, *, id: str) -> None:
        super().__init__(id=id)
        self.lines = LogLines(id="log")
        self._facts = Static("", id="log-facts", markup=False)
        self._reader = reader
        self._reading = False

    def compose(self) -> ComposeResult:
        yield self._facts
        yield self.lines

    def on_mount(self) -> None:
        self.lines.zone = self._reader.screen.console.zone
        self.draw_facts()

    def draw_facts(self) -> None:
        self._facts.update(run_header.log_facts(self.lines))

    def read_new_lines(self) -> None:
        """Read new lines in a worker."""
        self._reader.screen.run_worker(self._read_new_lines(), group="log")

    async def _read_new_lines(self) -> None:
        if self._reading:
            return
        self._reading = True
        try:
            self.lines.today = self._reader.screen.now()
            while (page := await self._reader.log_page(self.lines.last_seq)) is not None:
                if not self.is_attached:
                    return  # the screen was closed during the read
                self.lines.extend(page)
                if len(page) < _PAGE:
                    break
        finally:
            self._reading = False
        self.draw_facts()

    def on_log_lines_released(self) -> None:
        self.draw_facts()

    def toggle_follow(self) -> None:
        """Switch follow mode on or off."""
        self.lines.follow = not self.lines.follow
        self.lines.keep_up()
        self.draw_facts()

    def narrow_to(self, node: str | None) -> None:
        """Show the lines of one node only, or of all nodes again."""
        self.lines.node = None if self.lines.node is not None else node
        self.lines.narrow()

    def search_for(self, text: str) -> None:
        """Mark the matches of a text and go to the next one."""
        self.lines.search_for(text)
        self.draw_facts()

    def step(self, by: int) -> None:
        """Go to the next or previous match."""
        self.lines.step(by)
        self.draw_facts()


class AttemptsPane(Vertical):
    """The attempts of a run as bars over time, with a scale and the facts of the selected attempt."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.gantt = Gantt(id="gantt")
        self._facts = Static("", id="gantt-facts", markup=False)
        self._scale = Static("", id="gantt-scale", markup=False)

    def compose(self) -> ComposeResult:
        yield self._facts
        yield self._scale
        yield self.gantt

    def show(self, run: RunInfo, attempts: Sequence[AttemptInfo], now: datetime) -> None:
        self.gantt.show(run, attempts, now)
        self._draw_scale()

    def _draw_scale(self) -> None:
        self._scale.update(Content.styled(self.gantt.scale(), "$foreground-muted"))
        self._facts.update(run_header.attempt_facts(self.gantt.current))

    def on_gantt_selected(self) -> None:
        self._draw_scale()
