"""The reading of the log of a command: everything at first, and at a limited rate when the log is capped.

A command whose log is capped is never made to wait. Of all that comes in a period the last part goes into the log,
so that the log can be followed, and the rest is counted.
"""

from __future__ import annotations

import asyncio
import time

from victor_engine.work.calls import CallContext
from victor_engine.work.invokers.results import LineSplitter

PERIOD = 0.2
"""Seconds between two parts that go into a capped log."""

PART = 65_536
"""Maximum bytes of such a part."""


class LogTap:
    """Receives the bytes of a log for `splitter`, which writes them into the log of `context`."""

    def __init__(self, splitter: LineSplitter, context: CallContext) -> None:
        self._splitter = splitter
        self._context = context
        self._last = bytearray()
        self._written = 0.0

    def feed(self, data: bytes) -> asyncio.Future[None] | None:
        """Take bytes. Return a future to await before more is read, while the log is not capped."""
        if not self._context.capped():
            self._splitter.feed(data)
            return self._context.room()
        now = time.monotonic()
        if now - self._written >= PERIOD:
            self._written = now
            self._flush_lines()
        self._last += self._splitter.take_rest() + data
        excess = len(self._last) - PART
        if excess > 0:
            # Drop whole lines, so that the rest begins with one.
            end = self._last.find(b"\n", excess)
            cut = end + 1 if end >= 0 else excess
            self._context.dropped(self._last.count(b"\n", 0, cut), cut)
            del self._last[:cut]
        return None

    def _flush_lines(self) -> None:
        """Write the whole lines of the last part. The rest waits, because the end of its line may be dropped."""
        end = self._last.rfind(b"\n") + 1
        self._splitter.feed(bytes(self._last[:end]))
        del self._last[:end]

    def close(self) -> None:
        """Write the last part."""
        self.flush()
        self._splitter.close()

    def flush(self) -> None:
        """Write the last part of what came."""
        if self._last:
            self._splitter.feed(bytes(self._last))
            self._last.clear()
