"""The two lines at the top: workspace, engine and alerts, then the screens."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from pathlib import Path

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from victor_engine.api import EngineInfo, QueueInfo
from victor_engine.identity import user_name
from victor_tui.inbox.urgency import deadline_tone
from victor_tui.keys import SCREENS
from victor_tui.text import clean, fit_path
from victor_tui.theme import Tone, palette_for


@dataclass(frozen=True)
class HeaderState:
    """The data of the header."""

    now: datetime
    engine: EngineInfo | None = None
    queue: QueueInfo = field(default_factory=lambda: QueueInfo(0))
    owns_engine: bool = False
    problem: str = ""

    @property
    def urgency(self) -> Tone:
        """The tone of the most urgent request of the queue."""
        first = self.queue.next
        return "dim" if first is None else deadline_tone(first.deadline, self.now)


SOCKET_WIDTH = 140
"""Minimum width of the terminal for the socket of the engine."""

Piece = tuple[str, Tone]
_ACTIVE = Style(reverse=True)
"""Added to the style of the name of the current screen."""


def engine_words(state: HeaderState, width: int = 80) -> Piece:
    """Return the engine in use: the embedded engine, a daemon, the engine of another console, or none.

    The user is shown if it is not the user of the console, and the socket if there is space.
    """
    engine = state.engine
    if state.problem:
        return state.problem, "bad"
    if engine is None:
        return "connecting…", "dim"
    if engine.mode == "readonly":
        if engine.beside is not None:
            return f"engine {engine.beside or ''}".rstrip() + " · read only", "ok"
        return "no engine · read only", "warn"
    if state.owns_engine:
        return f"engine here · {engine.pid}", "ok"
    kind = "daemon" if engine.mode == "daemon" else "engine"
    if engine.engine_user not in ("", user_name(os.geteuid())):
        kind += f" of {engine.engine_user}"
    where = f" · {engine.socket}" if engine.socket and width >= SOCKET_WIDTH else ""
    return f"{kind} · {engine.pid}{where}", "ok"


class HeaderBar(Widget):
    """A widget that draws a `HeaderState`. A click on the name of a screen requests that screen."""

    DEFAULT_CSS = """
    HeaderBar { height: 2; dock: top; background: $panel; color: $foreground; }
    """

    state: reactive[HeaderState | None] = reactive(None)
    zone: tzinfo | None = None

    class ScreenPicked(Message):
        def __init__(self, mode: str) -> None:
            super().__init__()
            self.mode = mode

    def __init__(self, active: str, id: str | None = None) -> None:
        super().__init__(id=id)
        self.active = active
        self._tabs: list[tuple[int, int, str]] = []

    def render_line(self, y: int) -> Strip:
        if self.state is None or y > 1:
            return Strip.blank(self.size.width, self.rich_style)
        return self._top(self.state) if y == 0 else self._screens(self.state)

    def _strip(self, left: list[Piece], right: list[Piece]) -> Strip:
        palette, base, width = palette_for(self.app.theme), self.rich_style, self.size.width

        def draw(pieces: list[Piece]) -> Strip:
            styles = [base + palette.style(tone) for _, tone in pieces]
            return Strip(
                [
                    Segment(text, style + _ACTIVE if tone == "active" else style)
                    for (text, tone), style in zip(pieces, styles, strict=True)
                ]
            )

        start, end = draw(left), draw(right)
        space = max(0, width - end.cell_length)
        return Strip.join([start.adjust_cell_length(space, base), end]).adjust_cell_length(width, base)

    def _top(self, state: HeaderState) -> Strip:
        engine = state.engine
        workspace = clean(engine.workspace) if engine else ""
        clock = state.now.astimezone(self.zone)
        wide = self.size.width >= 100
        right: list[Piece] = []
        if engine is not None and engine.limited:
            right += [("your requests only  ", "dim")]
        elif engine is not None:
            right += [(f"● {engine.running} running  ", "busy" if engine.running else "dim")]
            if engine.queued and wide:
                right.append((f"◌ {engine.queued} queued  ", "dim"))
            if engine.failed_recently:
                right.append((f"✗ {engine.failed_recently} failed 24h  ", "bad"))
        words, tone = engine_words(state, self.size.width)
        right += [(clean(words), tone), (f"  {clock:%H:%M:%S} {clock:%Z} ", "head")]
        space = self.size.width - sum(len(text) for text, _ in right) - 10
        path = fit_path(workspace, space, str(Path.home())) if space >= 8 else ""
        if space < -2:  # the cells of " victor " are not free
            right.pop(0)
        return self._strip([(" victor ", "head"), (path, "dim")], right)

    def _screens(self, state: HeaderState) -> Strip:
        pieces: list[Piece] = []
        self._tabs, x = [], 0
        for number, (mode, title, _) in enumerate(SCREENS, 1):
            name = f" {number} {title} "
            count = f"◆{state.queue.count} " if mode == "inbox" and state.queue.count else ""
            active = mode == self.active
            pieces.append((name, "active" if active else "plain"))
            if count:
                pieces.append((count, state.urgency))
            pieces.append((" ", "plain"))
            self._tabs.append((x, x + len(name) + len(count), mode))
            x += len(name) + len(count) + 1
        return self._strip(pieces, self._alert(state))

    def _alert(self, state: HeaderState) -> list[Piece]:
        """Return the number of urgent requests of the queue as words, because colours alone are not enough."""
        deadlines = state.queue.deadlines
        urgent = sum(deadline_tone(deadline, state.now) == "bad" for deadline in deadlines)
        more = "+" if urgent == len(deadlines) < state.queue.count else ""
        if urgent and self.size.width >= 78:
            return [(f"! {urgent}{more} urgent · a ", "bad")]
        if state.engine is not None and state.engine.files is not None and state.engine.files.differ:
            return [("≠ files differ ", "warn")] if self.size.width >= 76 else []
        return []

    def on_click(self, event: events.Click) -> None:
        if event.y != 1:
            return
        for start, end, mode in self._tabs:
            if start <= event.x < end:
                self.post_message(self.ScreenPicked(mode))
