"""Screens come and go while things happen: what reaches one before it is composed, or while it goes.

A tick, a snapshot, a timer and the answer of the engine come from outside of a screen. Before it is
composed, and from the moment at which it is taken away, it has no children to show them with.
"""

from __future__ import annotations

from collections.abc import Callable

from textual.timer import Timer
from textual.widget import Widget

QUIET = 0.25
"""Seconds without a key before what depends on the keys is asked for or drawn."""


def is_alive(node: Widget) -> bool:
    """Whether `node` has its children: it is composed, and is not being taken away."""
    return node.is_mounted and node.is_attached and node.display


class QuietTimer:
    """Calls once no key has come for a moment; a later call takes the place of an earlier one."""

    def __init__(self, node: Widget) -> None:
        self._node = node
        self._timer: Timer | None = None

    @property
    def is_pending(self) -> bool:
        """Return whether a call waits for a quiet moment."""
        return self._timer is not None

    def call(self, call: Callable[[], object]) -> None:
        """Call in a quiet moment, unless the node is taken away before."""
        self.stop()

        def now() -> None:
            self._timer = None
            if is_alive(self._node):
                call()

        self._timer = self._node.set_timer(QUIET, now)

    def stop(self) -> None:
        """Do not call what waits for a quiet moment."""
        if self._timer is not None:
            self._timer.stop()
            self._timer = None


class Passing(Widget):
    """Mix-in for a screen that is opened and closed: what it has begun ends before its children go.

    It stands behind the screen among the bases, for Textual takes styles from the first one only.
    """

    def on_screen_suspend(self) -> None:
        """Textual cancels workers only after the children are gone; a worker may wake in between."""
        if not is_alive(self):
            self.workers.cancel_node(self)

    def typed_ahead(self, key: str) -> bool:
        """Return whether `key` is ignored because nobody can have read yet what it would act on."""
        return False
