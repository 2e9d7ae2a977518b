"""The lines of a log. The view follows the end until the user scrolls up or goes to a match."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import datetime, tzinfo
from typing import ClassVar

from textual.binding import BindingType
from textual.content import Content
from textual.events import MouseScrollUp, Resize
from textual.message import Message

from victor_engine.api import LogLine
from victor_tui.keys import bindings
from victor_tui.text import clean, moment, one_line
from victor_tui.widgets.lines import LineView

LONGEST = 4000
"""Maximum number of drawn characters of a line."""
MOST = 20_000
"""Maximum number of lines in memory. The command line prints any number."""
_LEAD = 30
"""Approximate width of time and node before the text, in cells."""


class LogLines(LineView):
    """The log of a run, of all nodes or of one, with marked matches of a search.

    The view stays at the end while `follow` is set. Only visible lines are drawn.
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings("log")

    follow = True

    class Released(Message):
        """Scrolling has changed `follow`."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.zone: tzinfo | None = None
        self.today = datetime.min
        """The current time. Lines of today show only the time of day."""
        self.node: str | None = None
        """The node whose lines are visible; None shows all lines."""
        self.search = ""
        self.matches: list[int] = []
        """Indexes of the visible lines that match the search."""
        self.match: int | None = None
        """Index of the current match in `matches`."""
        self.last_seq = 0
        """Sequence number of the newest line, visible or not."""
        self._all: list[LogLine] = []
        self._shown: list[LogLine] = []
        self._widest_text = 0

    # --- content --------------------------------------------------------------------------------

    def extend(self, lines: Sequence[LogLine]) -> None:
        """Append lines, and drop the oldest lines above the maximum."""
        if not lines:
            return
        self.last_seq = lines[-1].seq
        self._all.extend(lines)
        if len(self._all) > MOST:
            del self._all[: len(self._all) - MOST]
            self.narrow()
            return
        self._add([line for line in lines if self.node in (None, line.node_id)])
        self._settle()

    def narrow(self) -> None:
        """Show the lines that match the current `node` and `search`."""
        self._shown, self.matches, self.match, self._widest_text = [], [], None, 0
        self._add([line for line in self._all if self.node in (None, line.node_id)])
        self._settle()

    def _add(self, lines: Sequence[LogLine]) -> None:
        first, wanted = len(self._shown), self.search.lower()
        self._shown.extend(lines)
        if wanted:
            found = [
                first + i for i, line in enumerate(lines) if wanted in one_line(line.text, LONGEST).lower()
            ]
            self.matches.extend(found)
        longest = max((len(line.text) + len(line.node_id) for line in lines), default=0)
        self._widest_text = max(self._widest_text, min(longest, LONGEST))

    def _settle(self) -> None:
        self.set_line_count(max(1, len(self._shown)), self._widest_text + _LEAD)
        self.keep_up()

    def line_at(self, index: int) -> Content:
        if not self._shown:
            return Content.styled(" no output", "$foreground-muted")
        line = self._shown[index]
        style = "$text-warning" if line.stream == "engine" else "$foreground"
        text = Content.styled(one_line(line.text, LONGEST), style)
        here = self.match is not None and self.matches[self.match] == index
        return Content.assemble(
            ("▸" if here else " ", "$text-warning"),
            (f"{moment(line.at, self.today, self.zone)} ", "$foreground-muted"),
            (f"{clean(line.node_id)} ", "$text-accent"),
            self._marked(text),
        )

    def _marked(self, text: Content) -> Content:
        """Return the text with every match in reverse style."""
        wanted = self.search.lower()
        if not wanted:
            return text
        low, at = text.plain.lower(), -1
        while (at := low.find(wanted, at + 1)) >= 0:
            text = text.stylize("reverse", at, at + len(wanted))
        return text

    # --- searching ------------------------------------------------------------------------------

    def search_for(self, text: str) -> None:
        """Search for `text`, and go to the first match from the visible lines on."""
        self.search = text
        self.narrow()
        if self.matches:
            at = bisect_left(self.matches, round(self.scroll_offset.y))
            self._go_to(min(at, len(self.matches) - 1))

    def step(self, by: int) -> None:
        """Go to the next or previous match, and continue at the other end."""
        if not self.matches:
            return
        if self.match is None:
            top = round(self.scroll_offset.y)
            here = bisect_left(self.matches, top) if by > 0 else bisect_right(self.matches, top) - 1
            self._go_to(here % len(self.matches))
        else:
            self._go_to((self.match + by) % len(self.matches))

    def _go_to(self, match: int) -> None:
        self._set_follow(False)
        self.match = match
        self._cache.clear()
        self.scroll_to(y=max(0, self.matches[match] - self.size.height // 2), animate=False, immediate=True)
        self.refresh()

    # --- following -------------------------------------------------------------------------------

    def keep_up(self) -> None:
        """Scroll to the end after the next refresh if `follow` is set."""
        if self.follow:
            self.call_after_refresh(self._to_end)

    def on_resize(self, _event: Resize) -> None:
        self.keep_up()

    def _to_end(self) -> None:
        if self.follow:
            self.scroll_end(animate=False, immediate=True)

    def _set_follow(self, follow: bool) -> None:
        if follow != self.follow:
            self.follow = follow
            self.post_message(self.Released())

    def action_move(self, by: int) -> None:
        self._set_follow(self.follow and by > 0)
        super().action_move(by)

    def action_page(self, by: int) -> None:
        self._set_follow(self.follow and by > 0)
        super().action_page(by)

    def action_edge(self, side: int) -> None:
        self._set_follow(side > 0)
        super().action_edge(side)

    def on_mouse_scroll_up(self, _event: MouseScrollUp) -> None:
        self._set_follow(False)
