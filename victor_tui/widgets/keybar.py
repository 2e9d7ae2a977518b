"""The footer, which never loses the keys for help and for leaving."""

from __future__ import annotations

from rich.cells import cell_len
from textual import events
from textual.app import ComposeResult
from textual.widgets import Footer
from textual.widgets._footer import FooterKey

ALWAYS = ("help", "leave")
"""Actions whose keys stay however little room there is."""

_PADDING = 3
"""Cells of a key beside its name and what it does."""


class KeyBar(Footer):
    """As many keys as the line holds. Those of the screen that come last make room first; the help has them."""

    def __init__(self) -> None:
        super().__init__(show_command_palette=False)

    def compose(self) -> ComposeResult:
        keys = [key for key in super().compose() if isinstance(key, FooterKey)]
        excess = sum(map(_width, keys)) - (self.size.width or self.app.size.width)
        for key in reversed(keys):
            if excess > 0 and key.action not in ALWAYS:
                excess -= _width(key)
                keys.remove(key)
        yield from keys

    def on_resize(self, event: events.Resize) -> None:
        self.call_after_refresh(self.recompose)


def _width(key: FooterKey) -> int:
    return cell_len(key.key_display) + cell_len(key.description) + _PADDING
