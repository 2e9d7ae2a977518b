"""The operators of expressions, within limits of size."""

from __future__ import annotations

import ast
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from victor_engine.definition.functions import MAX_ITEMS, MAX_TEXT
from victor_engine.errors import ExpressionError

MAX_BITS = 4096
"""Size of a whole number that an expression may make."""

HARMLESS = frozenset({int, float, str, bool, type(None), dict, list, tuple, set})
"""Types of values that can do nothing by themselves."""


@lru_cache(maxsize=1)
def operators() -> dict[type[ast.AST], Callable[..., Any]]:
    """What each operator does, by its type in the syntax tree."""
    import simpleeval

    simpleeval.MAX_STRING_LENGTH = MAX_TEXT
    return {**simpleeval.DEFAULT_OPERATORS, ast.Mult: times, ast.Pow: power, ast.Mod: modulo}


def times(a: Any, b: Any) -> Any:
    if isinstance(a, int) and isinstance(b, int) and a.bit_length() + b.bit_length() > MAX_BITS:
        raise ExpressionError(f"a number of more than {MAX_BITS} bits")
    for sequence, count in ((a, b), (b, a)):
        if (
            isinstance(sequence, str | list | tuple)
            and isinstance(count, int)
            and len(sequence) * count > MAX_ITEMS
        ):
            raise ExpressionError(f"a repetition of {len(sequence) * count} items; the most is {MAX_ITEMS}")
    return a * b


def power(a: Any, b: Any) -> Any:
    if isinstance(a, int) and isinstance(b, int) and b > 0 and a.bit_length() * b > MAX_BITS:
        raise ExpressionError(f"a number of more than {MAX_BITS} bits")
    return a**b


def modulo(a: Any, b: Any) -> Any:
    if isinstance(a, str):
        raise ExpressionError("% does not format text here; write f'{value}' or join the parts with +")
    return a % b


__all__ = ["HARMLESS", "MAX_BITS", "operators"]
