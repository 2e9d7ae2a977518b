"""Identifiers: short, sortable by creation, safe to type.

Run, request and event-group ids are 13 characters of Crockford's base 32 (lower case): eight for
the time in milliseconds, five random. A prefix that is unique is accepted wherever an id is.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import datetime

from victor_engine.clock import to_us

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]


def _encode(number: int, width: int) -> str:
    digits = []
    while width > 1:
        number, pair = divmod(number, 1024)
        digits.append(_PAIRS[pair])
        width -= 2
    if width:
        digits.append(_ALPHABET[number & 31])
    return "".join(reversed(digits))


def new_id(now: datetime) -> str:
    """A fresh id for something created at `now`."""
    return next(fresh_ids(now))


def fresh_ids(now: datetime) -> Iterator[str]:
    """Ids for many things created at `now`, of which no two are the same.

    They count up from a random beginning: a thousand that were each drawn in one millisecond would
    meet one time in seventy.
    """
    milliseconds = (to_us(now) // 1000) & ((1 << 40) - 1)
    prefix, number = _encode(milliseconds, 8), secrets.randbits(25)
    while True:
        yield prefix + _encode(number, 5)
        number = (number + 1) & ((1 << 25) - 1)
