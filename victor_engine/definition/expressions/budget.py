"""The budget of an evaluation, which operators and functions charge for their work.

A step is about 100 nanoseconds of work: the steps of `LOCAL` take about a millisecond. The size counts the
bytes of new values. Both are charged before the work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from victor_engine.errors import ExpressionError, ExpressionLimitError

MAX_TEXT = 1_000_000
"""The maximum number of characters of a text that an expression makes."""

MAX_ITEMS = 200_000
"""The maximum number of items that a comprehension, range or repetition makes."""

MAX_BITS = 4096
"""The maximum number of bits of the result of a multiplication or a power."""

MAX_DIGITS = 4300
"""The maximum number of digits of an integer that is parsed, formatted or rounded."""

LONG = 16_384
"""The maximum number of bits of an integer: `MAX_DIGITS`, with a margin for sums."""

ITEM = 32
"""The bytes that an item of a list or an object counts."""

PLAIN = frozenset({int, float, str, bool, type(None)})
"""The types of values that contain no other values."""

VALUE_TYPES = PLAIN | {dict, list, tuple, set}
"""The types of values in expressions."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The maximum steps and bytes of one evaluation.

    Beyond final limits the evaluation fails; beyond others a worker process does it again.
    """

    steps: int
    size: int
    final: bool = True


FULL = Limits(20_000_000, 256_000_000)
"""The limits of an evaluation."""

LOCAL = Limits(10_000, 2_000_000, final=False)
"""The limits of an evaluation in the event loop: about a millisecond."""


class NeedsWorkerError(Exception):
    """The evaluation exceeds the limits of the event loop. A worker process does it from the start."""

    def __init__(self, answers: Sequence[tuple[str, Any]]) -> None:
        super().__init__("the expression takes more than a millisecond")
        self.answers = answers
        """The results of the functions of the workspace so far, in order: these calls are not repeated."""


class Functions(Protocol):
    """The interface of the functions that an expression may call."""

    def __contains__(self, name: object, /) -> bool: ...

    def get(self, name: str, /) -> Callable[..., Any] | None:
        """Return the function of that name, or None."""
        ...

    @property
    def names(self) -> frozenset[str]:
        """Return the names of all functions."""
        ...


class Evaluation:
    """One running evaluation: its state, the functions that it may call, and the rest of its budget."""

    # Class attributes: most expressions have no loops and no calls, and creating these would double their cost.
    items = MAX_ITEMS
    scope: dict[str, Any] = {}  # a loop replaces it on the instance
    answers: list[tuple[str, Any]] | tuple[()] = ()

    def __init__(self, state: Mapping[str, Any], functions: Functions, limits: Limits = FULL) -> None:
        self.state = state
        self.functions = functions
        self.limits = limits
        self.steps = limits.steps
        self.size = limits.size

    def charge(self, steps: int, size: int = 0) -> None:
        """Charge the budget. Raises ExpressionLimitError or NeedsWorkerError if it is exceeded."""
        self.steps -= steps
        self.size -= size
        if self.steps < 0 or self.size < 0:
            raise self._over()

    def _over(self) -> Exception:
        if not self.limits.final:
            return NeedsWorkerError(self.answers)
        if self.steps < 0:
            return ExpressionLimitError(f"the expression takes more than {self.limits.steps} steps")
        return ExpressionLimitError(f"the expression makes more than {self.limits.size} bytes")

    def text(self, length: int, what: str) -> None:
        """Charge for a text before it is made."""
        if length > MAX_TEXT:
            raise ExpressionLimitError(
                f"{what} makes a text of {length} characters; the maximum is {MAX_TEXT}"
            )
        self.charge((length >> 8) + 1, length)

    def scan(self, text: str) -> None:
        """Charge for work on each character of a text, and for a new text of the same length."""
        self.charge((len(text) >> 5) + 1, len(text))

    def number(self, value: Any) -> Any:
        """Return `value`. Raises ExpressionLimitError for an integer that is too long."""
        if type(value) is int and value.bit_length() > LONG:
            raise ExpressionLimitError(f"a number has more than {LONG} bits")
        return value

    def measure(self, value: Any, *, written: bool = False) -> int:
        """Charge for reading all of `value` at any depth, and return the steps charged.

        With `written`, also charge for a text of the whole value.
        """
        kind = type(value)
        if kind is str:
            steps = (len(value) >> 8) + 1
            self.charge(steps, len(value) if written else 0)
            return steps
        if kind is int:
            bits = value.bit_length()
            steps = 1 if bits <= 64 else 1 + ((bits >> 6) ** 2 >> 4)
            self.charge(steps, bits >> 1 if written else 0)
            return steps
        if kind not in (dict, list, tuple, set):
            self.charge(1, 8 if written else 0)
            return 1
        before = self.steps
        todo = [value]
        while todo:
            current = todo.pop()
            length = len(current)
            self.charge(length + 1, length * 8 if written else 0)
            parts = current
            if type(current) is dict:
                if written:
                    self.charge(length, sum(map(len, map(_key_text, current))))
                parts = current.values()
            for item in parts:
                kind = type(item)
                if kind is str:
                    long = len(item)
                    if long > 255 or written:
                        self.charge(long >> 8, long if written else 0)
                elif kind is int:
                    bits = item.bit_length()
                    if bits > 64:
                        self.charge((bits >> 6) ** 2 >> 4, bits >> 1 if written else 0)
                elif kind in (dict, list, tuple, set):
                    todo.append(item)
        return before - self.steps

    def hashed(self, value: Any) -> None:
        """Charge for the use of `value` as a key."""
        if type(value) not in PLAIN:
            self.measure(value)

    def call(self, name: str, function: Callable[..., Any], args: list[Any], named: dict[Any, Any]) -> Any:
        """Call a function of the workspace, and keep its result for a worker process."""
        result = plain(function(*args, **named), f"{name}()")
        if isinstance(self.answers, tuple):
            self.answers = []
        self.answers.append((name, result))
        return result


def _key_text(key: Any) -> str:
    return key if type(key) is str else "        "


def plain(value: Any, what: str) -> Any:
    """Return `value` as one of `VALUE_TYPES`. Raises ExpressionError if it is of another type."""
    if type(value) in VALUE_TYPES:
        return value
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, list | tuple):
        return list(value)
    if isinstance(value, frozenset):
        return set(value)
    raise ExpressionError(
        f"{what} is of type {type(value).__name__}; expressions accept numbers, texts, booleans, lists and objects"
    )


__all__ = [
    "FULL",
    "ITEM",
    "LOCAL",
    "LONG",
    "MAX_BITS",
    "MAX_DIGITS",
    "MAX_ITEMS",
    "MAX_TEXT",
    "PLAIN",
    "VALUE_TYPES",
    "Evaluation",
    "Functions",
    "Limits",
    "NeedsWorkerError",
    "plain",
]
