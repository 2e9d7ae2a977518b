"""Time as an argument: one clock that everything asks, and a fake one that tests drive.

All instants inside the engine are aware datetimes in UTC; the store keeps them as integer
microseconds since 1970-01-01T00:00:00Z (`to_us` / `from_us`).
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
"""Seconds of the longest duration that the engine takes, about 100 years: an instant plus this still exists."""


def to_us(instant: datetime) -> int:
    """Microseconds since the epoch of an aware datetime (any zone)."""
    if instant.tzinfo is None:
        raise ValueError(f"a naive datetime has no instant: {instant!r}")
    return (instant - _EPOCH) // _US


def from_us(us: int) -> datetime:
    """The aware UTC datetime of `us` microseconds since the epoch."""
    return _EPOCH + timedelta(microseconds=us)


class Clock(Protocol):
    """Where the engine gets the time from."""

    def now(self) -> datetime:
        """The current instant, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back; unrelated to the wall clock."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` of this clock's monotonic time."""
        ...

    def timeout(self, seconds: float | None) -> asyncio.Timeout:
        """A context that raises TimeoutError once `seconds` of this clock have passed; None: never."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))

    def timeout(self, seconds: float | None) -> asyncio.Timeout:
        return asyncio.timeout(seconds)


class FakeClock:
    """A clock that stands still until a test moves it.

    `advance` moves both wall and monotonic time and wakes sleepers in order; `set_wall` moves the
    wall clock alone (a clock set by hand, or a machine that was suspended).
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
                # A context that was left meanwhile has nothing to end any more.
                with contextlib.suppress(RuntimeError):
                    context.reschedule(loop.time())

            future.add_done_callback(end)
            heapq.heappush(self._sleepers, (self._mono + seconds, next(self._order), future))
        return context

    @property
    def sleeping(self) -> int:
        """How many tasks wait on this clock."""
        return sum(not future.done() for _, _, future in self._sleepers)

    def set_wall(self, instant: datetime) -> None:
        """Set the wall clock without letting time pass."""
        self._wall = instant.astimezone(UTC)

    async def advance(self, seconds: float) -> None:
        """Let `seconds` pass, waking every sleeper at its own moment."""
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
