"""Clocks: the only source of time of the engine, and a fake one for tests.

All instants inside the engine are aware datetimes in UTC. The store has them as integer microseconds since
1970-01-01T00:00:00Z (`to_us` / `from_us`).
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import time
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Protocol

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)

LONGEST = 100 * 366 * 86_400.0
"""The longest duration in seconds, about 100 years: adding it to an instant cannot overflow."""


def to_us(instant: datetime) -> int:
    """Return the microseconds since the epoch of an aware datetime. Raises ValueError for a naive one."""
    if instant.tzinfo is None:
        raise ValueError(f"a datetime without a time zone is not an instant: {instant!r}")
    return (instant - _EPOCH) // _US


def from_us(us: int) -> datetime:
    """Return the aware UTC datetime of `us` microseconds since the epoch."""
    return _EPOCH + timedelta(microseconds=us)


class Clock(Protocol):
    """The interface of clocks."""

    def now(self) -> datetime:
        """Return the current instant, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back, independent of the wall clock."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` of this clock's monotonic time."""
        ...

    def timeout(self, seconds: float | None) -> asyncio.Timeout:
        """Return a context that raises TimeoutError after `seconds` of this clock, or never with None."""
        ...


class SystemClock:
    """The clock of the machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))

    def timeout(self, seconds: float | None) -> asyncio.Timeout:
        return asyncio.timeout(seconds)


class FakeClock:
    """A clock whose time changes only when a test changes it.

    `advance` changes both wall and monotonic time and wakes sleepers in order. `set_wall` changes only the wall
    clock (a clock that was set, or a machine that was suspended).
    """

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._wall = start.astimezone(UTC)
        self._mono = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = count()

    def now(self) -> datetime:
        return self._wall

    def monotonic(self) -> float:
        return self._mono

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._mono + seconds, next(self._order), future))
        await future

    def timeout(self, seconds: float | None) -> asyncio.Timeout:
        context = asyncio.timeout(None)
        if seconds is not None:
            loop = asyncio.get_running_loop()
            future: asyncio.Future[None] = loop.create_future()

            def end(_: asyncio.Future[None]) -> None:
                # The context may have been left already.
                with contextlib.suppress(RuntimeError):
                    context.reschedule(loop.time())

            future.add_done_callback(end)
            heapq.heappush(self._sleepers, (self._mono + seconds, next(self._order), future))
        return context

    @property
    def sleeping(self) -> int:
        """The number of tasks that wait on this clock."""
        return sum(not future.done() for _, _, future in self._sleepers)

    def set_wall(self, instant: datetime) -> None:
        """Set the wall clock without letting time pass."""
        self._wall = instant.astimezone(UTC)

    async def advance(self, seconds: float) -> None:
        """Advance the time by `seconds`, and wake each sleeper at its own time."""
        target = self._mono + seconds
        while self._sleepers and self._sleepers[0][0] <= target:
            when, _, future = heapq.heappop(self._sleepers)
            self._wall += timedelta(seconds=when - self._mono)
            self._mono = when
            if not future.done():
                future.set_result(None)
            for _ in range(5):
                await asyncio.sleep(0)
        self._wall += timedelta(seconds=target - self._mono)
        self._mono = target
        for _ in range(5):
            await asyncio.sleep(0)
