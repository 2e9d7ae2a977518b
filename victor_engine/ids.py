"""Identifiers that are short, sortable by time of creation and easy to type.

Ids of runs, requests and groups of events are 13 characters of Crockford's base 32 (lower case): eight for the
time in milliseconds, five random. Commands accept a unique prefix of an id.
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
    """Return a new id for an object created at `now`."""
    return next(fresh_ids(now))


def fresh_ids(now: datetime) -> Iterator[str]:
    """Yield distinct ids for objects created at `now`.

    They count up from a random start. With independent random ids, a thousand ids of one millisecond would contain
    a duplicate in one of seventy cases.
    """
    milliseconds = (to_us(now) // 1000) & ((1 << 40) - 1)
    prefix, number = _encode(milliseconds, 8), secrets.randbits(25)
    while True:
        yield prefix + _encode(number, 5)
        number = (number + 1) & ((1 << 25) - 1)
