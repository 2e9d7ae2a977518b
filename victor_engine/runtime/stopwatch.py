"""Seconds at work, and waiting for the first of several things."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from victor_engine.clock import Clock


async def first_of(*waits: Coroutine[Any, Any, Any]) -> None:
    """Return when the first of them does; the others are cancelled."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


class Stopwatch:
    """Seconds at work: runs while at least one thing is at work, stands while people are waited for."""

    def __init__(self, clock: Clock, spent: float) -> None:
        self._clock = clock
        self._spent = spent
        self._active = 0
        self._since = 0.0

    @property
    def active(self) -> int:
        return self._active

    @property
    def seconds(self) -> float:
        running = self._clock.monotonic() - self._since if self._active else 0.0
        return self._spent + running

    @contextmanager
    def at_work(self) -> Iterator[None]:
        if self._active == 0:
            self._since = self._clock.monotonic()
        self._active += 1
        try:
            yield
        finally:
            self._active -= 1
            if self._active == 0:
                self._spent += self._clock.monotonic() - self._since
