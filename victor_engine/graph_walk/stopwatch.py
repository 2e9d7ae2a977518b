"""A stopwatch of active time, and helpers that wait for several things."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from victor_engine.clock import Clock

T = TypeVar("T")


async def first_of(*waits: Coroutine[Any, Any, Any]) -> None:
    """Return when the first of the coroutines returns. The others are cancelled."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


async def await_shielded(future: asyncio.Future[T], then: Callable[[asyncio.Future[T]], None]) -> T:
    """Wait for a future that continues even if this coroutine is cancelled. `then` is called when it is done, in any
    case, and before the caller continues."""
    done = asyncio.get_running_loop().create_future()

    def ended(future: asyncio.Future[T]) -> None:
        then(future)
        if not done.done():
            done.set_result(None)

    future.add_done_callback(ended)
    await done
    return future.result()


async def committed(commit: asyncio.Future[T], react: Callable[[T], None]) -> T:
    """Wait for a commit, and call `react` with its result after the commit.

    `react` changes memory and processes. It is called even if the caller was cancelled, because the
    transition commits anyway. It is not called if the transition was refused.
    """

    def ended(done: asyncio.Future[T]) -> None:
        if not done.cancelled() and done.exception() is None:
            react(done.result())

    return await await_shielded(commit, ended)


class Stopwatch:
    """Counts active seconds: it runs while at least one strand is active."""

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

    @property
    def microseconds(self) -> int:
        return int(self.seconds * 1_000_000)

    @contextmanager
    def measure(self) -> Iterator[None]:
        if self._active == 0:
            self._since = self._clock.monotonic()
        self._active += 1
        try:
            yield
        finally:
            self._active -= 1
            if self._active == 0:
                self._spent += self._clock.monotonic() - self._since
