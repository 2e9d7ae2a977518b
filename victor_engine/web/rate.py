"""The limits of one token: calls in a second, and concurrent calls and streams."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from victor_engine.errors import UsageError
from victor_engine.web.problems import HttpError

BURST_SECONDS = 2.0
"""Seconds of calls that a token may send at once."""
CALLS = 16
"""Concurrent calls of one token."""
STREAMS = 8
"""Concurrent streams of events of one token."""


class TokenUsage:
    """The use of the limits by one token. `now` returns a monotonic time, and `per_second` the calls in a second."""

    def __init__(self, name: str, per_second: float, now: Callable[[], float]) -> None:
        self._name = name
        self._rate = per_second
        self._now = now
        self._allowance = per_second * BURST_SECONDS
        self._counted = now()
        self._active = {"calls": 0, "streams": 0}

    @property
    def idle(self) -> bool:
        return not any(self._active.values())

    def count(self) -> None:
        """Count a call. Raise HttpError 429 if that is one too many."""
        now = self._now()
        earned = (now - self._counted) * self._rate
        self._allowance = min(self._rate * BURST_SECONDS, self._allowance + earned)
        self._counted = now
        if self._allowance < 1:
            raise self._refused(
                f"more than {self._rate:g} calls in a second", (1 - self._allowance) / self._rate
            )
        self._allowance -= 1

    @contextmanager
    def active(self, kind: Literal["calls", "streams"]) -> Iterator[None]:
        """Count a call or a stream while the block runs. Raise HttpError 429 if that is one too many."""
        most = STREAMS if kind == "streams" else CALLS
        if self._active[kind] >= most:
            raise self._refused(f"more than {most} concurrent {kind}", 1)
        self._active[kind] += 1
        try:
            yield
        finally:
            self._active[kind] -= 1

    def _refused(self, reason: str, wait: float) -> HttpError:
        error = UsageError(f"token:{self._name} has {reason}; wait and try again")
        return HttpError(429, error, {"Retry-After": str(math.ceil(wait))})
