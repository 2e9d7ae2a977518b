"""The results of expressions as JSON values, within the limits on texts and items."""

from __future__ import annotations

from typing import Any

from victor_engine.definition.expressions.budget import (
    ITEM,
    Evaluation,
    plain,
)
from victor_engine.errors import ExpressionError

JSON_ATOMS = frozenset({bool, int, type(None)})
"""Types whose values are JSON as they are."""


def as_json(value: Any, run: Evaluation) -> Any:
    """Return a copy of a value as JSON values: tuples and sets become lists. Raises ExpressionError for others."""
    kind = type(value)
    if kind is str:
        if len(value) > 255:
            run.charge(len(value) >> 8, len(value))
        if not value.isascii():
            _check_text(value)
        return value
    if kind is int or kind is bool or value is None:
        return value
    if kind is float:
        if value - value != 0:
            raise _not_json(f"the result contains the number {value}")
        return value
    if kind is dict:
        run.charge(len(value) + 1, len(value) * 2 * ITEM)
        return {_key(key, run): as_json(item, run) for key, item in value.items()}
    if kind is list or kind is tuple:
        run.charge(len(value) + 1, len(value) * ITEM)
        return [as_json(item, run) for item in value]
    if kind is set:
        run.charge(len(value) + 1, len(value) * ITEM)
        try:
            ordered = sorted(value)  # the order of a set differs between processes
        except TypeError:
            ordered = list(value)
        return [as_json(item, run) for item in ordered]
    return as_json(plain(value, "the result"), run)


def _key(key: Any, run: Evaluation) -> str:
    text = written(key, run)
    if not text.isascii():
        _check_text(text)
    return text


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _not_json("the result contains a text with an unpaired surrogate") from None


def _not_json(what: str) -> ExpressionError:
    return ExpressionError(f"{what}, which JSON cannot represent", error_type="ResultNotJSON")


def written(value: Any, run: Evaluation) -> str:
    """Return a value as the text that a formatted string or a key shows. Charge its length."""
    if type(value) is str:
        return value
    run.measure(value, written=True)
    return str(value)
