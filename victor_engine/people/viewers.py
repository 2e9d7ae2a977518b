"""The users who have a request open in a console. Only the memory of the engine has them; nothing is stored."""

from __future__ import annotations

from victor_engine.api import Actor
from victor_engine.clock import Clock

VIEW_SECONDS = 6.0
"""Seconds after which a view ends, unless the console renews it. A console that vanished renews nothing."""
MOST_VIEWS = 1000
"""Maximum number of views; further ones are not recorded."""

Console = tuple[int, str, str | None]
"""One console: the uid, the user and the terminal."""


class Viewers:
    """The views of one engine. `changes` counts up when a view begins or ends."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[tuple[str, Console], float] = {}
        self._changes = 0

    def view(self, request_id: str, actor: Actor) -> None:
        """Record or renew the view of a console."""
        self._end_old()
        key = (request_id, _console(actor))
        if key not in self._until:
            if len(self._until) >= MOST_VIEWS:
                return
            self._changes += 1
        self._until[key] = self._clock.monotonic() + VIEW_SECONDS

    def leave(self, request_id: str, actor: Actor) -> None:
        """End the view of a console."""
        if self._until.pop((request_id, _console(actor)), None) is not None:
            self._changes += 1

    def others(self, request_id: str, actor: Actor) -> tuple[str, ...]:
        """Return the users of the other consoles that view a request, in alphabetical order."""
        self._end_old()
        own = _console(actor)
        return tuple(sorted({each[1] for found, each in self._until if found == request_id and each != own}))

    @property
    def changes(self) -> int:
        """The number of changes so far."""
        self._end_old()
        return self._changes

    def _end_old(self) -> None:
        now = self._clock.monotonic()
        ended = [key for key, until in self._until.items() if until <= now]
        for key in ended:
            del self._until[key]
        self._changes += len(ended)


def _console(actor: Actor) -> Console:
    return actor.uid, actor.user, actor.tty
