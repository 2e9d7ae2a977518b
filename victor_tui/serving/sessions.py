"""The visitors of a served console: the token that admits them, their sessions, and the hosts that a browser may name."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable

LIFETIME = 12 * 3600.0
"""Seconds after which a session ends."""
MOST = 100
"""Maximum sessions. The oldest one ends when another one begins."""

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


class Sessions:
    """The sessions of visitors who had the token. `now` returns a monotonic time."""

    def __init__(self, token: str, now: Callable[[], float]) -> None:
        self._digest = _digest(token)
        self._now = now
        self._ends: dict[str, float] = {}

    def accepts(self, token: str) -> bool:
        """Return whether a text is the token."""
        return hmac.compare_digest(_digest(token), self._digest)

    def begin(self) -> str:
        """Begin a session, and return the text that identifies it."""
        if len(self._ends) >= MOST:
            del self._ends[next(iter(self._ends))]
        text = secrets.token_urlsafe(32)
        self._ends[_digest(text)] = self._now() + LIFETIME
        return text

    def has(self, text: str) -> bool:
        """Return whether a text identifies a session that has not ended."""
        return self._ends.get(_digest(text), 0.0) > self._now()


def is_loopback_host(host: str) -> bool:
    """Return whether the header `Host` names this machine, with any port: a tunnel can have another one.

    A page of another host whose name was made to lead to this machine sends that name.
    """
    name, _, port = host.rpartition(":")
    if host in LOOPBACK_NAMES:
        return True
    return name in LOOPBACK_NAMES and port.isascii() and port.isdigit()


def is_same_origin(origin: str, host: str) -> bool:
    """Return whether the header `Origin` names the page that this server sent to a visitor."""
    return origin == f"http://{host}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
