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


class Passing(Widget):
    """Mix-in for a screen that is opened and closed: what it has begun ends before its children go.

    It stands behind the screen among the bases, for Textual takes styles from the first one only.
    """

    _quiet: Timer | None = None
    """What waits for a quiet moment."""

    def on_screen_suspend(self) -> None:
        """Textual cancels workers only after the children are gone; a worker may wake in between."""
        if not is_alive(self):
            self.hush()
            self.workers.cancel_node(self)

    def typed_ahead(self, key: str) -> bool:
        """Return whether `key` is ignored because nobody can have read yet what it would act on."""
        return False

    def when_quiet(self, call: Callable[[], object]) -> None:
        """Call once no key has come for a moment; a later call takes the place of this one."""
        self.hush()

        def now() -> None:
            self._quiet = None
            if is_alive(self):
                call()

        self._quiet = self.set_timer(QUIET, now)

    def hush(self) -> None:
        """Do not call what waits for a quiet moment."""
        if self._quiet is not None:
            self._quiet.stop()
            self._quiet = None
