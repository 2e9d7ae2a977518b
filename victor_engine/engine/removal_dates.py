"""The planned dates of removal of versions: when one passes, the version is removed."""

from __future__ import annotations

import asyncio
import logging

from victor_engine.api import ENGINE_ACTOR
from victor_engine.clock import Clock, from_us
from victor_engine.errors import VictorError
from victor_engine.graph_walk.stopwatch import first_of
from victor_engine.store.db import Store
from victor_engine.store.repositories import definitions
from victor_engine.versioning import lifecycle

log = logging.getLogger(__name__)

POLL = 30.0
"""Maximum seconds between two looks at the dates, because the wall clock may be set."""


class RemovalDates:
    """Removes deprecated versions at their planned dates, while the engine runs and when it starts."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._changed = asyncio.Event()

    async def apply(self) -> None:
        """Remove the versions whose date has passed."""
        now = self._clock.now()
        upcoming = await self._store.read(definitions.next_removal)
        if upcoming is not None and from_us(upcoming) <= now:
            await self._store.write(lambda tx: lifecycle.remove_due(tx, ENGINE_ACTOR))

    async def watch(self) -> None:
        """Remove each version when its date passes."""
        while True:
            self._changed.clear()
            seconds = POLL
            try:
                await self.apply()
                upcoming = await self._store.read(definitions.next_removal)
                if upcoming is not None:
                    left = (from_us(upcoming) - self._clock.now()).total_seconds()
                    seconds = min(max(left, 0.0), POLL)
            except VictorError as error:
                log.error("versions could not be removed at their dates, the next try follows: %s", error)
            await first_of(self._clock.sleep(seconds), self._changed.wait())

    def changed(self) -> None:
        """Look at the dates again, after a commit that changed them."""
        self._changed.set()
