"""The functions that expressions may call, and how large what they make may become."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from victor_engine import jsonio
from victor_engine.errors import ExpressionError

MAX_TEXT = 1_000_000
"""Characters in a string that an expression makes."""

MAX_ITEMS = 200_000
"""Items that a comprehension, range or repetition may make."""


class FunctionRegistry:
    """The functions that expressions may call, by name. Each takes and returns JSON values."""

    def __init__(self, functions: Mapping[str, Callable[..., Any]] | None = None) -> None:
        self._functions: dict[str, Callable[..., Any]] = dict(BUILTINS if functions is None else functions)
        self.idle_evaluators: list[Any] = []
        """Evaluators that were made for these functions and that nobody uses; see `sandbox`."""

    def register(self, name: str, function: Callable[..., Any]) -> None:
        """Add a function, or put another in its place."""
        if not name.isidentifier() or name.startswith("_"):
            raise ValueError(f"{name!r} cannot be the name of a function")
        self._functions[name] = function
        self.idle_evaluators = []

    def __contains__(self, name: object) -> bool:
        return name in self._functions

    def get(self, name: str) -> Callable[..., Any] | None:
        return self._functions.get(name)

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._functions)

    def as_dict(self) -> dict[str, Callable[..., Any]]:
        return dict(self._functions)

    def copy(self) -> FunctionRegistry:
        return FunctionRegistry(self._functions)


def check_growth(text: str, method: str, arguments: list[Any]) -> None:
    """Refuse a text method before it makes a text that is too long."""
    size = 0
    if method == "zfill" and arguments and isinstance(arguments[0], int):
        size = arguments[0]
    elif method == "replace" and len(arguments) >= 2 and all(isinstance(a, str) for a in arguments[:2]):
        size = len(text) + text.count(arguments[0]) * len(arguments[1])
    elif method == "join" and arguments and hasattr(arguments[0], "__len__"):
        # A text or an object is joined too: by its characters, or its keys.
        size = sum(len(text) + len(str(part)) for part in arguments[0])
    if size > MAX_TEXT:
        raise ExpressionError(f"{method} makes a text of {size} characters; the most is {MAX_TEXT}")


def _merge(*values: Any) -> Any:
    """Objects into one (later keys count), or lists into one; nothing merges to nothing."""
    present = [value for value in values if value is not None]
    if all(isinstance(value, Mapping) for value in present):
        merged: dict[str, Any] = {}
        for value in present:
            merged.update(value)
        return merged
    items: list[Any] = []
    for value in present:
        items.extend(value if isinstance(value, list | tuple) else [value])
    return items


def _range(*bounds: int) -> list[int]:
    numbers = range(*bounds)
    if len(numbers) > MAX_ITEMS:
        raise ExpressionError(f"range of {len(numbers)} items; the most is {MAX_ITEMS}")
    return list(numbers)


def _timestamp() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _get(value: Any, key: Any, default: Any = None) -> Any:
    """A key of an object or an item of a list, or `default`."""
    try:
        return value[key]
    except (KeyError, IndexError, TypeError):
        return default


def _joined(separator: str, values: Any) -> str:
    parts = [str(value) for value in values]
    check_growth(separator, "join", [parts])
    return separator.join(parts)


def _replaced(text: str, old: str, new: str) -> str:
    check_growth(text, "replace", [old, new])
    return text.replace(old, new)


BUILTINS: dict[str, Callable[..., Any]] = {
    "len": len, "sum": sum, "min": min, "max": max, "abs": abs, "round": round, "sorted": sorted,
    "reversed": lambda values: list(reversed(values)), "str": str, "int": int, "float": float, "bool": bool,
    "list": list, "dict": dict, "set": lambda values=(): sorted(set(values)), "any": any, "all": all,
    "range": _range, "enumerate": lambda values, start=0: [list(p) for p in enumerate(values, start)],
    "zip": lambda *values: [list(p) for p in zip(*values, strict=False)],
    "merge": _merge, "get": _get, "keys": lambda value: list(value), "values": lambda value: list(value.values()),
    "lower": lambda text: str(text).lower(), "upper": lambda text: str(text).upper(),
    "strip": lambda text: str(text).strip(), "join": lambda sep, values: _joined(str(sep), values),
    "split": lambda text, sep=None: str(text).split(sep), "replace": lambda text, a, b: _replaced(str(text), a, b),
    "contains": lambda whole, part: part in whole, "unique": lambda values: list(dict.fromkeys(values)),
    "flatten": lambda values: [item for part in values for item in part], "to_json": lambda v: jsonio.dumps_text(v),
    "from_json": lambda text: jsonio.loads(text), "now": _timestamp, "current_timestamp": _timestamp,
    "is_empty": lambda value: not value, "default": lambda value, other: other if value is None else value,
}  # fmt: skip
"""What every workspace has. Times are ISO 8601 in UTC."""
