"""The budget of an evaluation: what its operators and functions charge for the work that they do.

A step is about 100 nanoseconds of work, so that the steps of `LOCAL` are about a millisecond. The size
counts the bytes of what is made. Both are charged before the work is done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from victor_engine.errors import ExpressionError, ExpressionLimitError

MAX_TEXT = 1_000_000
"""Characters in a string that an expression makes."""

MAX_ITEMS = 200_000
"""Items that a comprehension, range or repetition may make."""

MAX_BITS = 4096
"""Bits of a whole number that a multiplication or a power may make."""

MAX_DIGITS = 4300
"""Digits of a whole number that is read from a text, written as one, or rounded to."""

LONG = 16_384
"""Bits of the longest whole number: `MAX_DIGITS`, and some room for sums."""

ITEM = 32
"""Bytes that an item of a list or an object counts."""

PLAIN = frozenset({int, float, str, bool, type(None)})
"""Types of values that hold no other values."""

HARMLESS = PLAIN | {dict, list, tuple, set}
"""Types of values that an expression works with."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The steps and the bytes that one evaluation may take. `final` says that nothing takes over after them."""

    steps: int
    size: int
    final: bool = True


FULL = Limits(20_000_000, 256_000_000)
"""What an evaluation may take in all."""

LOCAL = Limits(10_000, 2_000_000, final=False)
"""What an evaluation may take in the event loop: about a millisecond."""


class NeedsWorkerError(Exception):
    """The evaluation takes more than the event loop can give; a worker process does it from the start."""

    def __init__(self, answers: Sequence[tuple[str, Any]]) -> None:
        super().__init__("the expression takes more than a millisecond")
        self.answers = answers
        """The results of the workspace's functions so far, in order: they are not called again."""


class Functions(Protocol):
    """The functions that an expression may call, as an evaluation sees them."""

    def __contains__(self, name: object, /) -> bool: ...

    def get(self, name: str, /) -> Callable[..., Any] | None:
        """Return the function of that name, or None."""
        ...

    @property
    def names(self) -> frozenset[str]:
        """Return the names of all functions."""
        ...


class Evaluation:
    """One evaluation while it runs: its state, the functions that it may call, and what is left of its budget."""

    # On the class: most expressions have no loop and call nothing, and making these costs as much as they do.
    items = MAX_ITEMS
    scope: dict[str, Any] = {}  # a loop puts one of its own in its place
    answers: list[tuple[str, Any]] | tuple[()] = ()

    def __init__(self, state: Mapping[str, Any], functions: Functions, limits: Limits = FULL) -> None:
        self.state = state
        self.functions = functions
        self.limits = limits
        self.steps = limits.steps
        self.size = limits.size

    def charge(self, steps: int, size: int = 0) -> None:
        """Take from the budget. Raises ExpressionLimitError or NeedsWorkerError if it does not suffice."""
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
            raise ExpressionLimitError(f"{what} makes a text of {length} characters; the most is {MAX_TEXT}")
        self.charge((length >> 8) + 1, length)

    def scan(self, text: str) -> None:
        """Charge for work on each character of a text, and for a text as long as it."""
        self.charge((len(text) >> 5) + 1, len(text))

    def number(self, value: Any) -> Any:
        """Return `value`; refuse a whole number that is too long."""
        if type(value) is int and value.bit_length() > LONG:
            raise ExpressionLimitError(f"a number of more than {LONG} bits")
        return value

    def measure(self, value: Any, *, written: bool = False) -> int:
        """Charge for looking at all of `value`, however deep, and return the steps that this took.

        `written` charges for a text that spells the value out.
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
        """Call a function of the workspace; its results are kept for a worker process."""
        result = plain(function(*args, **named), f"{name}()")
        if isinstance(self.answers, tuple):
            self.answers = []
        self.answers.append((name, result))
        return result


def _key_text(key: Any) -> str:
    return key if type(key) is str else "        "


def plain(value: Any, what: str) -> Any:
    """`value` as an expression works with it. ExpressionError if it is not plain data."""
    if type(value) in HARMLESS:
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
    raise ExpressionError(f"{what} is a {type(value).__name__}, which is not plain data")


__all__ = [
    "FULL",
    "HARMLESS",
    "ITEM",
    "LOCAL",
    "LONG",
    "MAX_BITS",
    "MAX_DIGITS",
    "MAX_ITEMS",
    "MAX_TEXT",
    "PLAIN",
    "Evaluation",
    "Functions",
    "Limits",
    "NeedsWorkerError",
    "plain",
]
