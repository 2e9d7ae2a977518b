"""The limits of clients: for each connection, and for all connections of one user together."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from victor_engine.errors import UsageError
from victor_engine.service import protocol

CONNECTIONS_PER_USER = 100
"""Maximum open connections of one user, so that no user can take the connections of the others."""

GREETING_SECONDS = 10.0
"""Maximum seconds until the hello message of a client."""

UNFINISHED_SECONDS = 30.0
"""Maximum seconds from the first byte of a message to its end."""

STALLED_SECONDS = 60.0
"""Seconds after which a connection is closed if `STALLED_BYTES` wait and the client reads none of them."""

STALLED_BYTES = 1024 * 1024

BURST_SECONDS = 2.0
"""Seconds of calls that a client may send at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one connection, or one user, may use."""

    subscriptions: int
    calls: int
    """Concurrent calls. Further calls wait in the socket."""
    calls_per_second: float
    """Calls in a second. Further calls wait in the socket."""
    incoming: int
    """Bytes of unfinished messages and of calls in work."""
    outgoing: int
    """Bytes that wait until the client reads them."""


CONNECTION = Limits(
    subscriptions=16,
    calls=256,
    calls_per_second=1000,
    incoming=2 * protocol.MAX_REQUEST,
    outgoing=2 * protocol.MAX_MESSAGE,
)
USER = Limits(
    subscriptions=400,
    calls=1024,
    calls_per_second=3000,
    incoming=4 * protocol.MAX_REQUEST,
    outgoing=3 * protocol.MAX_MESSAGE,
)


class Account:
    """What a connection uses of its limits. The account of its user is the `parent`."""

    def __init__(self, limits: Limits, whose: str, parent: Account | None = None) -> None:
        self.limits = limits
        self.whose = whose
        self.parent = parent
        self.subscriptions = 0
        self.incoming = 0
        self.slots = asyncio.Semaphore(limits.calls)
        self._allowance = limits.calls_per_second * BURST_SECONDS
        self._counted = 0.0

    def fits(self, size: int) -> bool:
        """Return whether `size` further incoming bytes are within the limits."""
        return self.incoming + size <= self.limits.incoming and (
            self.parent is None or self.parent.fits(size)
        )

    def hold(self, size: int) -> None:
        """Count incoming bytes; a negative size returns them."""
        self.incoming += size
        if self.parent is not None:
            self.parent.hold(size)

    def subscribe(self) -> None:
        """Count a subscription. Raise UsageError if that is one too many."""
        if self.subscriptions >= self.limits.subscriptions:
            raise UsageError(
                f"subscribe: {self.whose} has {self.subscriptions} subscriptions, which is the maximum; end one, or "
                "use the events of another subscription"
            )
        if self.parent is not None:
            self.parent.subscribe()
        self.subscriptions += 1

    def unsubscribe(self) -> None:
        self.subscriptions -= 1
        if self.parent is not None:
            self.parent.unsubscribe()

    def wait_for(self, now: float) -> float:
        """Count one call, and return the seconds to wait before it begins. `now` is a monotonic time."""
        rate = self.limits.calls_per_second
        earned = (now - self._counted) * rate
        self._allowance = min(rate * BURST_SECONDS, self._allowance + earned) - 1
        self._counted = now
        wait = max(0.0, -self._allowance / rate)
        return wait if self.parent is None else max(wait, self.parent.wait_for(now))
