"""Durations as people write them. A command that only asks an engine imports this, and not the reader of workflows."""

from __future__ import annotations

import re
from typing import Any

from victor_engine.clock import LONGEST

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|sec|m|min|h|d|w)", re.IGNORECASE)
_LONGEST_DURATION = 100
"""The maximum number of characters of a duration: the pattern takes long for many digits."""

_UNIT = {"ms": 0.001, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def parse_duration(value: Any) -> float | None:
    """Return the seconds of `90`, `1.5`, `30s`, `10m` or `1h30m`; None if it is none of these or too long."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value) if abs(value) <= LONGEST else None
    if not isinstance(value, str):
        return None
    text = value.strip().lower()
    if len(text) > _LONGEST_DURATION:
        return None
    if re.fullmatch(r"\d+(\.\d+)?", text):
        seconds = float(text)
    elif re.fullmatch(rf"(?:{_DURATION.pattern}\s*)+", text):
        seconds = sum(float(number) * _UNIT[unit] for number, unit in _DURATION.findall(text))
    else:
        return None
    return seconds if seconds <= LONGEST else None


def duration_text(seconds: float) -> str:
    """Return a duration in seconds as text: `45 s`, `10 m`, `1 h 30 m`, `2 d`."""
    if seconds < 60 or seconds != int(seconds):
        return f"{seconds:g} s"
    parts: list[str] = []
    left = int(seconds)
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])
