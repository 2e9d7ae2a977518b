"""Patterns of schemas, matched with a limit of processor time.

A pattern comes from the author of a workflow and the text from another person. With backtracking, a short text can take
years. `regex` measures the time while it matches; `re` cannot.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

LIMIT = 0.05
"""Maximum seconds of processor time for one text and one pattern."""
TOTAL = 0.2
"""Maximum seconds of processor time for all patterns of one validation."""

_left: ContextVar[list[float]] = ContextVar("victor_pattern_seconds")


class SlowPatternError(Exception):
    """A pattern exceeds its time."""

    def __init__(self, pattern: str) -> None:
        super().__init__(
            f"cannot be checked: the pattern {pattern} takes too long on this text; enter another text, or simplify "
            "the pattern in the schema"
        )


@contextmanager
def budget() -> Iterator[None]:
    """Limit all patterns of this block together to `TOTAL` seconds."""
    token = _left.set([TOTAL])
    try:
        yield
    finally:
        _left.reset(token)


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> Any:
    import regex

    return regex.compile(pattern)


def pattern_error(pattern: str) -> str | None:
    """Return why a pattern is not valid, or None."""
    import regex

    try:
        _compiled(pattern)
    except regex.error as error:
        return str(error)
    except (RecursionError, OverflowError, MemoryError):
        return "it is too large"
    return None


def found(pattern: str, text: str) -> bool:
    """Return whether a pattern occurs in a text. Raise SlowPatternError if that takes too long."""
    left = _left.get(None) or [TOTAL]
    if left[0] <= 0:
        raise SlowPatternError(pattern)
    before = time.process_time()
    try:
        return _compiled(pattern).search(text, timeout=min(LIMIT, left[0])) is not None
    except TimeoutError:
        raise SlowPatternError(pattern) from None
    finally:
        left[0] -= time.process_time() - before


def bounded(draft: Any) -> Any:
    """Return the validator class `draft`, with the keywords that match patterns replaced by bounded ones."""
    from jsonschema import ValidationError, validators

    def pattern(validator: Any, wanted: str, value: Any, schema: Any) -> Iterator[Any]:
        if validator.is_type(value, "string") and not found(wanted, value):
            yield ValidationError(f"{value!r} does not match {wanted!r}")

    def pattern_properties(validator: Any, named: Any, value: Any, schema: Any) -> Iterator[Any]:
        if validator.is_type(value, "object"):
            for wanted, inner in named.items():
                for name, member in value.items():
                    if found(wanted, name):
                        yield from validator.descend(member, inner, path=name, schema_path=wanted)

    def additional_properties(validator: Any, inner: Any, value: Any, schema: Any) -> Iterator[Any]:
        if not validator.is_type(value, "object"):
            return
        known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
        more = [
            name
            for name in value
            if name not in known and not any(found(wanted, name) for wanted in patterns)
        ]
        if validator.is_type(inner, "object"):
            for name in more:
                yield from validator.descend(value[name], inner, path=name)
        elif inner is False and more:
            yield ValidationError(f"must not have {', '.join(map(repr, more))}")

    return validators.extend(
        draft,
        {
            "pattern": pattern,
            "patternProperties": pattern_properties,
            "additionalProperties": additional_properties,
        },
    )
