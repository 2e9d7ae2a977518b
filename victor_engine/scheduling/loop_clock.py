"""Sitting and watching the clock: how the loop lets time pass, and what it knows of when nobody watched."""

from __future__ import annotations

import asyncio
import logging

from victor_engine.clock import Clock
from victor_engine.scheduling.downtime import Gap

log = logging.getLogger(__name__)

CLOCK_JUMP = 5.0
"""Seconds by which wall and monotonic clock may drift apart in one wait before it counts as a jump."""

MAX_GAPS = 20
"""Absences that are remembered to say why a fire was missed."""


class Watch:
    """Waits that end early when a schedule changes (`kick`), and the newest few absences (`gaps`)."""

    def __init__(self, clock: Clock) -> None:
        self.kick = asyncio.Event()
        self.gaps: list[Gap] = []
        self._clock = clock

    def absent(self, gap: Gap) -> None:
        """Remember that nothing was looked at for a while."""
        self.gaps = [*self.gaps[-MAX_GAPS + 1 :], gap]

    async def wait(self, seconds: float) -> None:
        """Let so much time pass, unless a schedule changes before.

        A clock that jumps meanwhile is told of; time that was left out by it is an absence.
        """
        wall, mono = self._clock.now(), self._clock.monotonic()
        sleep = asyncio.ensure_future(self._clock.sleep(seconds))
        kick = asyncio.ensure_future(self.kick.wait())
        try:
            await asyncio.wait({sleep, kick}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleep.cancel()
            kick.cancel()
        passed = (self._clock.now() - wall).total_seconds()
        if abs(passed - (self._clock.monotonic() - mono)) > CLOCK_JUMP:
            log.warning("the clock jumped by %.0f s; schedules are looked at again", passed)
            if passed > CLOCK_JUMP:
                self.absent(Gap(wall, self._clock.now(), "the machine slept, or its clock was set,"))
