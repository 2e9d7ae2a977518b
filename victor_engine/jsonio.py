"""The JSON reader and writer of the engine: fast, compact and strict."""

from __future__ import annotations

import hashlib
import re
from array import array
from itertools import accumulate
from typing import Any

import msgspec

from victor_engine.text import shortened

MAX_DEPTH = 100
"""The maximum nesting of untrusted JSON: more could exhaust the stack of recursive code."""

MAX_SIZE = 16 * 1024 * 1024
"""The maximum size, in bytes, of one value that a run stores: a result, a state or an answer."""

MAX_VALUES = 200_000
"""The maximum number of items of lists and objects in a result or in a request, since each costs memory and time."""

_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_LEVELS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
"""Opening brackets are 1 level, and closing brackets -1, as signed bytes."""

_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))

_encoder = msgspec.json.Encoder()
_sorted_encoder = msgspec.json.Encoder(order="sorted")
_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder()


def dumps(value: Any) -> bytes:
    """Return compact JSON. NaN and infinities become null. Raises TypeError for a value that JSON cannot represent."""
    return _encoder.encode(value)


def dumps_text(value: Any) -> str:
    """Return compact JSON as text; see `dumps`."""
    return _encoder.encode(value).decode()


def short_text(value: Any, limit: int) -> str:
    """Return compact JSON of at most `limit` characters, for a message."""
    return shortened(dumps_text(value), limit)


def loads(data: bytes | str) -> Any:
    """Decode JSON. Raises ValueError, with the position, if the input is invalid."""
    return _decoder.decode(data)


def read(data: bytes | str) -> Any:
    """Decode untrusted JSON. Raises ValueError if it is invalid or has more than `MAX_DEPTH` levels of nesting."""
    check_depth(data)
    try:
        return _decoder.decode(data)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from None


def check_depth(data: bytes | str) -> None:
    """Raise ValueError if JSON text has more than `MAX_DEPTH` levels of nesting."""
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and _deep(raw):
        raise ValueError(f"nested more than {MAX_DEPTH} levels deep")


def _deep(raw: bytes) -> bool:
    left = _TEXT.sub(b"", raw).translate(_LEVELS, _NO_BRACKETS)
    return max(accumulate(array("b", left)), default=0) > MAX_DEPTH


def has_more_values(raw: bytes, maximum: int) -> bool:
    """Return whether JSON text has more than `maximum` items of lists and objects. It may be invalid."""
    if _values(raw) <= maximum:
        return False
    # Some of the signs may be in texts. Between an even and an odd quote is a text.
    parts = raw.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
    return sum(map(_values, parts[::2])) > maximum


def _values(raw: bytes) -> int:
    return raw.count(b",") + raw.count(b"[") + raw.count(b"{")


def canonical(value: Any) -> bytes:
    """Return JSON with sorted keys: equal content has equal bytes, independent of the order of keys."""
    return _sorted_encoder.encode(value)


def digest(value: Any) -> str:
    """Return the SHA-256 (hex) of the canonical JSON of `value`."""
    return hashlib.sha256(canonical(value)).hexdigest()
