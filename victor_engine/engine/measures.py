"""The receivers of measurements of an engine. Without metrics they do nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


def _ignore(seconds: float) -> None:
    """Ignore a measurement."""


@dataclass(slots=True)
class Measures:
    """Receivers of seconds, called in the event loop: the lag of the loop, and the duration of a client's call."""

    lag: Callable[[float], None] = _ignore
    call: Callable[[float], None] = _ignore
