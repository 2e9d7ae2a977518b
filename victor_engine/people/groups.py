"""The Unix groups of users, looked up outside the event loop, and kept for less than a minute."""

from __future__ import annotations

import asyncio

from victor_engine.clock import Clock
from victor_engine.people import roles

CACHE_SECONDS = 30.0
"""Seconds for which the groups of a user are kept."""


class Groups:
    """The Unix groups of users. One lookup of a user runs at a time, however many callers wait for it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[str, tuple[float, frozenset[str]]] = {}
        self._pending: dict[str, asyncio.Task[frozenset[str]]] = {}

    async def of(self, user: str, seconds: float) -> frozenset[str]:
        """Return the groups of a user. Raise TimeoutError if the system does not answer within `seconds`."""
        known = self._known.get(user)
        if known is not None and self._clock.monotonic() < known[0]:
            return known[1]
        task = self._pending.get(user)
        if task is None:
            task = asyncio.create_task(self._look_up(user))
            self._pending[user] = task
        async with asyncio.timeout(seconds):
            return await asyncio.shield(task)

    def last(self, user: str) -> frozenset[str]:
        """Return the groups of the last lookup of a user, whatever its age; empty without one."""
        known = self._known.get(user)
        return known[1] if known is not None else frozenset()

    async def _look_up(self, user: str) -> frozenset[str]:
        since = self._clock.monotonic()
        try:
            found = await asyncio.to_thread(roles.unix_groups, user)
            self._known[user] = (since + CACHE_SECONDS, found)
            return found
        finally:
            del self._pending[user]
