"""The lifecycle of screens: events that arrive before a screen is composed or while it is removed.

Ticks, snapshots, timers and responses of the engine come from outside the screen. Before it is composed, and
while it is removed, it has no children to show them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from textual.timer import Timer
from textual.widget import Widget

QUIET = 0.25
"""Time in seconds without a key before a preview of the input is loaded or drawn."""


def is_alive(node: Widget) -> bool:
    """Return whether `node` has its children: it is composed, and is not being removed."""
    return node.is_mounted and node.is_attached and node.display


def in_document_order(screen: Widget, widgets: list[Widget]) -> list[Widget]:
    """Return `widgets` in the order in which `screen` composes them.

    Textual sorts the focus chain by position. A widget that is not laid out yet has no position, so a key that
    moves the focus would skip it.
    """
    wanted = set(widgets)
    return [widget for widget in screen.walk_children(Widget) if widget in wanted]


class DebounceTimer:
    """A debounce timer: it calls after a time without keys, and a later call replaces an earlier one."""

    def __init__(self, node: Widget) -> None:
        self._node = node
        self._timer: Timer | None = None

    @property
    def is_pending(self) -> bool:
        """Whether a call is pending."""
        return self._timer is not None

    def call(self, call: Callable[[], object]) -> None:
        """Schedule a call, unless the node is removed before."""
        self.stop()

        def now() -> None:
            self._timer = None
            if is_alive(self._node):
                call()

        self._timer = self._node.set_timer(QUIET, now)

    def stop(self) -> None:
        """Cancel the pending call."""
        if self._timer is not None:
            self._timer.stop()
            self._timer = None


@runtime_checkable
class PreparesForKeys(Protocol):
    """A screen that prepares for each key."""

    def before_key(self, key: str) -> None:
        """Prepare the screen for a key that is about to be delivered."""
        ...


class ManagedScreen(Widget):
    """A mix-in for screens that cancels their workers before their children are removed.

    It must come after the screen class in the bases, because Textual takes styles from the first base only.
    """

    def on_screen_suspend(self) -> None:
        """Cancel the workers. Textual cancels them only after it removed the children."""
        if not is_alive(self):
            self.workers.cancel_node(self)

    def typed_ahead(self, key: str) -> bool:
        """Return whether to ignore `key`, because the user typed it before the dialog was visible."""
        return False
