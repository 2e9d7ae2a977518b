"""The waiting of the scheduling loop: early wake-ups, changes of the clock, and recent downtimes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta

from victor_engine.clock import Clock
from victor_engine.scheduling.downtime import Gap

CLOCK_JUMP = 5.0
"""Seconds by which the wall and monotonic clocks may differ between two looks before it counts as a jump."""

MAX_GAPS = 20
"""The number of downtimes that are kept to explain missed fires."""


@dataclass(frozen=True, slots=True)
class SetBack:
    """A clock that went back: the latest instant that it showed, and the last look by the present clock."""

    furthest: datetime
    looked: datetime


class LoopClock:
    """Waits that end early when `wake` is set, and the newest downtimes (`gaps`)."""

    def __init__(self, clock: Clock) -> None:
        self.wake = asyncio.Event()
        self.gaps: list[Gap] = []
        self.jumps: list[Gap] = []
        """The jumps forward that are not recorded yet."""
        self.set_back: SetBack | None = None
        """The step backward that is not handled yet."""
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Begin to compare the clocks."""
        self._wall, self._mono = self._clock.now(), self._clock.monotonic()
        self._furthest = self._wall

    def add_downtime(self, gap: Gap) -> None:
        """Keep a downtime, and drop the oldest if there are too many."""
        self.gaps = [*self.gaps[-MAX_GAPS + 1 :], gap]

    def look(self) -> None:
        """Compare the wall clock with the monotonic clock since the last look, and store a change.

        A jump forward is kept as a downtime.
        """
        before, self._wall = self._wall, self._clock.now()
        mono, self._mono = self._mono, self._clock.monotonic()
        elapsed = self._mono - mono
        if self._wall < self._furthest:
            looked = self._wall - timedelta(seconds=elapsed)
            self.set_back = self.set_back or SetBack(self._furthest, looked)
        elif (self._wall - before).total_seconds() - elapsed > CLOCK_JUMP:
            gap = Gap(before, self._wall, "the machine was suspended or its clock was set")
            self.add_downtime(gap)
            self.jumps.append(gap)
        self._furthest = self._wall

    async def wait(self, seconds: float) -> None:
        """Wait for `seconds`, or until `wake` is set."""
        sleep = asyncio.ensure_future(self._clock.sleep(seconds))
        wake = asyncio.ensure_future(self.wake.wait())
        try:
            await asyncio.wait({sleep, wake}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleep.cancel()
            wake.cancel()
