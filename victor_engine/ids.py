"""Identifiers: short, sortable by creation, safe to type.

Run, request and event-group ids are 13 characters of Crockford's base 32 (lower case): eight for
the time in milliseconds, five random. A prefix that is unique is accepted wherever an id is.
"""

from __future__ import annotations

import secrets
from datetime import datetime

from victor_engine.clock import to_us

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def _encode(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 32)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))


def new_id(now: datetime) -> str:
    """A fresh id for something created at `now`."""
    milliseconds = (to_us(now) // 1000) & ((1 << 40) - 1)
    return _encode(milliseconds, 8) + _encode(secrets.randbits(25), 5)
