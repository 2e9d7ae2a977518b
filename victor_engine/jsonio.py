"""JSON as the engine reads and writes it: fast, compact, and strict about what it accepts."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import msgspec

MAX_DEPTH = 100
"""Levels of nesting in JSON of a stranger: more would exhaust the stack of what walks through it."""

_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))

_encoder = msgspec.json.Encoder()
_sorted_encoder = msgspec.json.Encoder(order="sorted")
_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder()


def dumps(value: Any) -> bytes:
    """Compact JSON. NaN and infinities become null; raises TypeError for what JSON cannot hold."""
    return _encoder.encode(value)


def dumps_text(value: Any) -> str:
    return _encoder.encode(value).decode()


def loads(data: bytes | str) -> Any:
    """Decode JSON; raises ValueError with a position on bad input."""
    return _decoder.decode(data)


def read(data: bytes | str) -> Any:
    """Decode JSON of a stranger. ValueError for bad input, and for more than `MAX_DEPTH` levels of nesting."""
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
    left = _TEXT.sub(b"", raw).translate(None, _NO_BRACKETS)
    for _ in range(MAX_DEPTH):  # each turn takes the innermost level away
        left = left.replace(b"[]", b"").replace(b"{}", b"")
        if not left:
            return False
    return True


def canonical(value: Any) -> bytes:
    """JSON with sorted keys, so that equal content has equal bytes whatever its key order."""
    return _sorted_encoder.encode(value)


def digest(value: Any) -> str:
    """SHA-256 (hex) of the canonical JSON of `value`."""
    return hashlib.sha256(canonical(value)).hexdigest()
