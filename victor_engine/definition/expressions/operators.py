"""The operators of expressions. Each one charges for the size of its operands before it does its work."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any

from victor_engine.definition.expressions.budget import ITEM, MAX_BITS, MAX_ITEMS, MAX_TEXT, PLAIN, Evaluation
from victor_engine.errors import ExpressionError, ExpressionLimitError

Operator = Callable[[Evaluation, Any, Any], Any]

_NUMBERS = frozenset({int, float, bool})

_LEAST, _GREATEST = -(1 << 62), 1 << 62
"""Numbers between these are short: comparing with them is faster than counting bits."""


def add(run: Evaluation, a: Any, b: Any) -> Any:
    """Return `a + b`."""
    if type(a) in _NUMBERS:
        value = a + b
        return value if _LEAST < value < _GREATEST else run.number(value)
    if isinstance(a, str) and isinstance(b, str):
        run.text(len(a) + len(b), "+")
    elif isinstance(a, list | tuple) and isinstance(b, list | tuple):
        length = len(a) + len(b)
        if length > MAX_TEXT:
            raise ExpressionLimitError(f"+ makes a list of {length} items; the maximum is {MAX_TEXT}")
        run.charge((length >> 4) + 1, length * 8)
    return a + b


def subtract(run: Evaluation, a: Any, b: Any) -> Any:
    """Return `a - b`."""
    if type(a) is set:
        run.charge(len(a), len(a) * ITEM)
    value = a - b
    if type(a) is set:
        return value
    return value if _LEAST < value < _GREATEST else run.number(value)


def times(run: Evaluation, a: Any, b: Any) -> Any:
    """Return `a * b`."""
    if type(a) is float or type(b) is float:
        return a * b
    if isinstance(a, int) and isinstance(b, int):
        if a.bit_length() + b.bit_length() > MAX_BITS:
            raise ExpressionLimitError(f"a number has more than {MAX_BITS} bits")
        return a * b
    for sequence, count in ((a, b), (b, a)):
        if isinstance(sequence, str | list | tuple) and isinstance(count, int):
            length = len(sequence) * count
            if length > MAX_ITEMS:
                raise ExpressionLimitError(f"* makes {length} items; the maximum is {MAX_ITEMS}")
            if length > 0:
                run.charge((length >> 4) + 1, length * (1 if isinstance(sequence, str) else 8))
    return a * b


def power(run: Evaluation, a: Any, b: Any) -> Any:
    """Return `a ** b`."""
    if isinstance(a, int) and isinstance(b, int) and b > 0 and a.bit_length() * b > MAX_BITS:
        raise ExpressionLimitError(f"a number has more than {MAX_BITS} bits")
    value = a**b
    if isinstance(value, complex):
        raise ExpressionError("the result is a complex number, which JSON cannot represent")
    return value


def modulo(run: Evaluation, a: Any, b: Any) -> Any:
    """Return `a % b`. Raises ExpressionError for a text, which would be formatted."""
    if isinstance(a, str):
        raise ExpressionError("% does not format text here; write f'{value}' or join the parts with +")
    _long_division(run, a, b)
    return a % b


def floor_divide(run: Evaluation, a: Any, b: Any) -> Any:
    """Return `a // b`."""
    _long_division(run, a, b)
    return a // b


def divide(run: Evaluation, a: Any, b: Any) -> Any:
    """Return `a / b`."""
    _long_division(run, a, b)
    return a / b


def _long_division(run: Evaluation, a: Any, b: Any) -> None:
    if type(a) is int and type(b) is int and b.bit_length() > 64:
        run.charge((a.bit_length() >> 6) * (b.bit_length() >> 6) >> 4)


def _compared(compare: Callable[[Any, Any], Any], same_length: bool) -> Operator:
    """Return a comparison that charges for the values that it may read: at most the smaller operand."""

    def compared(run: Evaluation, a: Any, b: Any) -> Any:
        kind = type(a)
        if kind is str:
            if type(b) is str and len(a) > 255:
                run.charge(min(len(a), len(b)) >> 8)
        elif (
            kind not in PLAIN
            and type(b) not in PLAIN
            and not (same_length and kind is type(b) and len(a) != len(b))
        ):
            run.measure(a)
        return compare(a, b)

    return compared


def contains(run: Evaluation, part: Any, whole: Any) -> bool:
    """Return whether `part` is in `whole`."""
    kind = type(whole)
    if kind is str:
        run.charge(len(whole) >> 8)
    elif kind is list or kind is tuple:
        if type(part) is str:
            run.charge((len(whole) >> 2) + len(whole) * (len(part) >> 8))
        elif type(part) in PLAIN:
            run.charge(len(whole) >> 2)
        else:
            run.charge(len(whole) * run.measure(part))
    elif kind is dict or kind is set:
        run.hashed(part)
    return part in whole


def _not_contains(run: Evaluation, part: Any, whole: Any) -> bool:
    return not contains(run, part, whole)


OPERATORS: dict[type[ast.AST], Operator] = {
    ast.Add: add, ast.Sub: subtract, ast.Mult: times, ast.Div: divide, ast.FloorDiv: floor_divide,
    ast.Mod: modulo, ast.Pow: power, ast.Eq: _compared(operator.eq, True), ast.NotEq: _compared(operator.ne, True),
    ast.Lt: _compared(operator.lt, False), ast.LtE: _compared(operator.le, False),
    ast.Gt: _compared(operator.gt, False), ast.GtE: _compared(operator.ge, False), ast.In: contains,
    ast.NotIn: _not_contains, ast.Is: lambda run, a, b: a is b, ast.IsNot: lambda run, a, b: a is not b,
}  # fmt: skip
"""The functions of the operators with two operands, by type in the syntax tree."""

UNARY: dict[type[ast.AST], Callable[[Any], Any]] = {
    ast.Not: operator.not_, ast.USub: operator.neg, ast.UAdd: operator.pos,
}  # fmt: skip

__all__ = ["OPERATORS", "UNARY", "Operator", "add", "contains"]
