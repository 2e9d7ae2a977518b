"""The waiting of the scheduling loop: early wake-ups, jumps of the clock, and recent downtimes."""

from __future__ import annotations

import asyncio
import logging

from victor_engine.clock import Clock
from victor_engine.scheduling.downtime import Gap

log = logging.getLogger(__name__)

CLOCK_JUMP = 5.0
"""Seconds by which the wall and monotonic clocks may differ in one wait before it counts as a jump."""

MAX_GAPS = 20
"""The number of downtimes that are kept to explain missed fires."""


class LoopClock:
    """Waits that end early when `wake` is set, and the newest downtimes (`gaps`)."""

    def __init__(self, clock: Clock) -> None:
        self.wake = asyncio.Event()
        self.gaps: list[Gap] = []
        self._clock = clock

    def add_downtime(self, gap: Gap) -> None:
        """Keep a downtime, and drop the oldest if there are too many."""
        self.gaps = [*self.gaps[-MAX_GAPS + 1 :], gap]

    async def wait(self, seconds: float) -> None:
        """Wait for `seconds`, or until `wake` is set.

        A jump of the clock is logged. A jump forward counts as a downtime.
        """
        wall, mono = self._clock.now(), self._clock.monotonic()
        sleep = asyncio.ensure_future(self._clock.sleep(seconds))
        wake = asyncio.ensure_future(self.wake.wait())
        try:
            await asyncio.wait({sleep, wake}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleep.cancel()
            wake.cancel()
        passed = (self._clock.now() - wall).total_seconds()
        if abs(passed - (self._clock.monotonic() - mono)) > CLOCK_JUMP:
            log.warning("the clock jumped by %.0f s; the scheduler checks all schedules again", passed)
            if passed > CLOCK_JUMP:
                cause = "the machine was suspended or its clock was set"
                self.add_downtime(Gap(wall, self._clock.now(), cause))
