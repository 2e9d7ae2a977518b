"""When a crowd that is due at one instant is begun to be written, so that it is ready then and not long before."""

from __future__ import annotations

CROWD = 16
"""Schedules that have to be due at one instant for their fires to be written ahead (`store.ahead`)."""

LARGEST = 4096
"""Fires that are written ahead at most; what else is due at that instant is decided after them."""

SLACK = 0.05
"""Seconds for the way to the disk, and to be ready before."""

MARGIN = 1.5
"""How much longer than it took before it may take."""

LONGEST = 1.0
"""Seconds for which nothing else is written, at most."""

FIRST_GUESS = 0.0002
"""Seconds that the deciding of one fire takes, until it is known."""


class Lead:
    """How long before its instant a crowd is begun to be written; learns from how long it took."""

    def __init__(self) -> None:
        self._each = FIRST_GUESS

    def seconds(self, fires: int) -> float:
        return min(LONGEST, SLACK + MARGIN * self._each * fires)

    def learn(self, fires: int, seconds: float) -> None:
        """To decide so many fires took so long."""
        self._each = (self._each + seconds / fires) / 2
