"""JSON as the engine reads and writes it: fast, compact, and strict about what it accepts."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

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


def canonical(value: Any) -> bytes:
    """JSON with sorted keys, so that equal content has equal bytes whatever its key order."""
    return _sorted_encoder.encode(value)


def digest(value: Any) -> str:
    """SHA-256 (hex) of the canonical JSON of `value`."""
    return hashlib.sha256(canonical(value)).hexdigest()
