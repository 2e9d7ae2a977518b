"""A watchdog over the event loop: a thread that reports where a blocked loop is."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from victor_engine.engine import Engine

log = logging.getLogger(__name__)

PATIENCE = 10.0
"""Seconds without a turn of the event loop after which it counts as blocked."""

Noted = list[tuple[int, str]]
"""The runs and nodes that the engine evaluates."""

_BEAT = 1.0
"""Seconds between two signs of life, and between two looks at them."""


class LoopWatchdog:
    """Watches the running event loop until `stop`.

    When the loop is blocked, its stack is written to the log once. `noted` is called then, in the thread of the
    watchdog, and `blocked` with its result in the loop, when that continues.
    """

    def __init__(
        self, noted: Callable[[], Noted], blocked: Callable[[Noted], None], patience: float = PATIENCE
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._noted = noted
        self._blocked = blocked
        self._patience = patience
        self.on_lag: Callable[[float], None] = lambda seconds: None
        """Called in the loop, about once a second, with the lateness of its timer."""
        self._thread_of_loop = threading.get_ident()
        self._pause = min(_BEAT, patience / 4)
        self._seen = self._expected = time.monotonic()
        self._stopping = threading.Event()
        self._timer = self._loop.call_soon(self._beat)
        self._thread = threading.Thread(target=self._watch, name="victor-watchdog", daemon=True)
        self._thread.start()

    def alive(self) -> bool:
        """Return whether the loop has made a turn within the patience. May be called in any thread."""
        return time.monotonic() - self._seen < self._patience

    def stop(self) -> None:
        self._stopping.set()
        self._timer.cancel()
        self._thread.join(1.0)

    def _beat(self) -> None:
        self._seen = time.monotonic()
        self.on_lag(max(0.0, self._seen - self._expected))
        self._expected = self._seen + self._pause
        self._timer = self._loop.call_later(self._pause, self._beat)

    def _watch(self) -> None:
        since: float | None = None
        looked = time.monotonic()
        while not self._stopping.wait(self._pause):
            now = time.monotonic()
            if now - looked > self._patience:
                self._seen = now  # the whole process was stopped, not only its loop
            looked = now
            if self.alive():
                if since is not None:
                    log.error("the event loop continues; it was blocked for %.1f seconds", now - since)
                    since = None
            elif since is None:
                since = self._seen
                log.critical(
                    "the event loop has been blocked for %.1f seconds, so nothing is answered or executed. It is here:\n%s",
                    now - since,
                    self._stack(),
                )
                self._loop.call_soon_threadsafe(self._blocked, self._noted())

    def _stack(self) -> str:
        frame = sys._current_frames().get(self._thread_of_loop)
        return "".join(traceback.format_stack(frame)) if frame is not None else "(the thread has ended)\n"


def watch(engine: Engine) -> None:
    """Watch the event loop of an engine until the engine closes. Its `alive` then tells whether the loop is blocked."""
    quarantine = engine.runtime.quarantine
    watchdog = LoopWatchdog(lambda: quarantine.memory.read(), quarantine.blocked)
    engine.alive = watchdog.alive
    watchdog.on_lag = lambda seconds: engine.measures.lag(seconds)

    async def stop() -> None:
        watchdog.stop()

    engine.closers.append(stop)
