"""The lines of a log: they stay at their end until somebody scrolls up to read."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.events import MouseScrollUp, Resize
from textual.message import Message

from victor_tui.widgets.lines import LineView


class LogLines(LineView):
    """A view that is kept at its end by whoever adds lines, as long as `follow` is set."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home", "edge(-1)", "Top", show=False),
        Binding("end", "edge(1)", "Bottom", show=False),
    ]

    follow = True

    class Released(Message):
        """Whether the end is followed has changed by scrolling."""

    def keep_up(self) -> None:
        """Go to the end if it is followed, once the lines and the size are settled."""
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
