"""The functions that expressions may call. Each built-in function charges for the size of its arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from victor_engine import jsonio
from victor_engine.definition.expressions.budget import ITEM, MAX_DIGITS, MAX_ITEMS, MAX_TEXT, Evaluation
from victor_engine.definition.expressions.operators import add, contains
from victor_engine.errors import ExpressionLimitError


@dataclass(frozen=True, slots=True)
class Builtin:
    """A function that every workspace has. The first argument of `apply` is the evaluation to charge."""

    name: str
    apply: Callable[..., Any]

    def __call__(self, *args: Any, **named: Any) -> Any:
        return self.apply(Evaluation({}, FunctionRegistry({})), *args, **named)


class FunctionRegistry:
    """The functions that expressions may call, by name. Each takes and returns JSON values."""

    def __init__(self, functions: Mapping[str, Callable[..., Any]] | None = None) -> None:
        self._functions: dict[str, Callable[..., Any]] = dict(BUILTINS if functions is None else functions)

    def register(self, name: str, function: Callable[..., Any]) -> None:
        """Add a function, or replace the one of that name. Raises ValueError if the name is invalid."""
        if not name.isidentifier() or name.startswith("_"):
            raise ValueError(
                f"{name!r} cannot be the name of a function: use letters, digits and _, and do not begin with _"
            )
        self._functions[name] = function

    def __contains__(self, name: object) -> bool:
        return name in self._functions

    def get(self, name: str) -> Callable[..., Any] | None:
        """Return the function of that name, or None."""
        return self._functions.get(name)

    @property
    def names(self) -> frozenset[str]:
        """The names of all functions."""
        return frozenset(self._functions)

    @property
    def own(self) -> frozenset[str]:
        """Return the names of the functions that are not built in."""
        return frozenset(name for name, found in self._functions.items() if not isinstance(found, Builtin))

    def copy(self) -> FunctionRegistry:
        """Return a registry with the same functions, which can be changed independently."""
        return FunctionRegistry(self._functions)


def _text(run: Evaluation, value: Any) -> str:
    if type(value) is str:
        return value
    run.measure(value, written=True)
    return str(value)


def _str(run: Evaluation, *args: Any) -> str:
    if len(args) == 1:
        return _text(run, args[0])
    return str(*args)


def _copy(run: Evaluation, values: Any) -> None:
    """Charge for a list of the items of `values`."""
    if hasattr(values, "__len__"):
        run.charge(len(values), len(values) * ITEM)


def _characters(run: Evaluation, values: Any) -> int:
    """Charge for reading the characters of a text one by one, and return the steps charged."""
    if type(values) is not str:
        return 0
    run.charge(len(values))
    return len(values)


def _int(run: Evaluation, *args: Any, **named: Any) -> Any:
    if args and type(args[0]) is str:
        length = len(args[0])
        if length > MAX_DIGITS:
            raise ExpressionLimitError(f"int: the number has {length} digits; the maximum is {MAX_DIGITS}")
        run.charge((length >> 5) + (length * length >> 14) + 1)
    return run.number(int(*args, **named))


def _float(run: Evaluation, *args: Any) -> float:
    if args and type(args[0]) is str:
        run.scan(args[0])
    return float(*args)


def _round(run: Evaluation, number: Any, ndigits: Any = None) -> Any:
    if isinstance(ndigits, int) and abs(ndigits) > MAX_DIGITS:
        raise ExpressionLimitError(f"round: {ndigits} digits; the maximum is {MAX_DIGITS}")
    if isinstance(number, int) and isinstance(ndigits, int) and ndigits < -18:
        run.charge(ndigits * ndigits >> 10)
    return round(number, ndigits)


def _sum(run: Evaluation, values: Any, start: Any = 0) -> Any:
    _copy(run, values)
    if all(type(value) in (int, float, bool) for value in values):
        if type(start) in (int, float, bool):
            run.measure(values)
            return run.number(sum(values, start))
    elif isinstance(start, str):
        return sum((), start)
    total = start
    for value in values:
        total = add(run, total, value)
    return total


def _extreme(choose: Callable[..., Any]) -> Callable[..., Any]:
    def extreme(run: Evaluation, *args: Any, **named: Any) -> Any:
        run.measure(args)
        if len(args) == 1:
            _characters(run, args[0])
        return choose(*args, **named)

    return extreme


def _sorted(run: Evaluation, values: Any, **named: Any) -> list[Any]:
    steps = run.measure(values) + _characters(run, values)
    if hasattr(values, "__len__"):
        run.charge(steps * len(values).bit_length() >> 2, len(values) * 8)
    return sorted(values, **named)


def _reversed(run: Evaluation, values: Any) -> list[Any]:
    _copy(run, values)
    return list(reversed(values))


def _list(run: Evaluation, *args: Any) -> list[Any]:
    for values in args:
        _copy(run, values)
    return list(*args)


def _hashed(run: Evaluation, values: Any) -> Any:
    """Charge for the use of all items of `values` as keys."""
    _copy(run, values)
    if isinstance(values, list | tuple):
        for value in values:
            run.hashed(value)
    return values


def _set(run: Evaluation, *args: Any) -> set[Any]:
    return set(*(_hashed(run, values) for values in args))


def _dict(run: Evaluation, *args: Any, **named: Any) -> dict[Any, Any]:
    for pairs in args:
        _copy(run, pairs)
        if isinstance(pairs, list | tuple):
            for pair in pairs:
                run.hashed(pair)
    return dict(*args, **named)


def _quantifier(choose: Callable[..., Any]) -> Callable[..., Any]:
    def quantifier(run: Evaluation, values: Any) -> Any:
        if hasattr(values, "__len__"):
            run.charge(len(values) >> 2)
        return choose(values)

    return quantifier


def _range(run: Evaluation, *bounds: Any) -> list[int]:
    numbers = range(*bounds)
    try:
        length = len(numbers)
    except OverflowError:
        length = MAX_ITEMS + 1
    if length > MAX_ITEMS:
        raise ExpressionLimitError(f"range: more than {MAX_ITEMS} items")
    run.charge((length >> 2) + 1, length * ITEM)
    return list(numbers)


def _enumerate(run: Evaluation, values: Any, start: Any = 0) -> list[Any]:
    _copy(run, values)
    _copy(run, values)
    return [list(pair) for pair in enumerate(values, start)]


def _zip(run: Evaluation, *values: Any) -> list[Any]:
    shortest = min((len(part) for part in values if hasattr(part, "__len__")), default=0)
    run.charge(shortest * (len(values) + 1), shortest * (len(values) + 1) * ITEM)
    return [list(parts) for parts in zip(*values, strict=False)]


def _merge(run: Evaluation, *values: Any) -> Any:
    """Merge objects into one (the last value of a key wins), or lists into one. Nulls are ignored."""
    present = [value for value in values if value is not None]
    if all(isinstance(value, Mapping) for value in present):
        merged: dict[str, Any] = {}
        for value in present:
            _copy(run, value)
            merged.update(value)
        return merged
    items: list[Any] = []
    for value in present:
        if isinstance(value, list | tuple):
            _copy(run, value)
            items.extend(value)
        else:
            items.append(value)
    return items


def _get(run: Evaluation, value: Any, key: Any, default: Any = None) -> Any:
    """Return the value of a key of an object or an item of a list, or `default`."""
    try:
        run.hashed(key)
        return value[key]
    except (KeyError, IndexError, TypeError):
        return default


def _values(run: Evaluation, value: Any) -> list[Any]:
    _copy(run, value)
    return list(value.values())


def _unique(run: Evaluation, values: Any) -> list[Any]:
    return list(dict.fromkeys(_hashed(run, values)))


def _flatten(run: Evaluation, values: Any) -> list[Any]:
    _copy(run, values)
    items: list[Any] = []
    for part in values:
        _copy(run, part)
        items.extend(part)
    return items


def _to_json(run: Evaluation, value: Any) -> str:
    run.measure(value, written=True)
    return jsonio.dumps_text(value)


def _from_json(run: Evaluation, text: Any) -> Any:
    if isinstance(text, str):
        run.charge((len(text) >> 5) + 1, len(text) * 8)
    return jsonio.loads(text)


def _timestamp(run: Evaluation) -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


# --- texts -------------------------------------------------------------------------------------


def text_method(run: Evaluation, text: str, method: str, args: list[Any], named: dict[str, Any]) -> Any:
    """Call a method of a text. Raise ExpressionLimitError before it makes a text that is too long."""
    if method == "zfill" and args and isinstance(args[0], int):
        run.text(max(args[0], len(text)), method)
    elif method == "replace" and len(args) >= 2 and all(isinstance(part, str) for part in args[:2]):
        run.scan(text)
        run.text(len(text) + text.count(args[0]) * len(args[1]), method)
    elif method == "join" and args and hasattr(args[0], "__len__"):
        # join accepts a text or an object too: it joins the characters or the keys.
        _copy(run, args[0])
        length = sum(len(text) + (len(part) if type(part) is str else 1) for part in args[0])
        run.text(length, method)
    else:
        run.scan(text)
        if method in ("split", "rsplit"):
            separator = args[0] if args else named.get("sep")
            if isinstance(separator, str):
                if method == "rsplit":
                    run.charge((len(text) >> 8) * (len(separator) >> 2))
                parts = text.count(separator) + 1 if separator else 1
            else:
                parts = len(text) // 2 + 1
            run.charge(parts >> 2, parts * 2 * ITEM)
        elif method == "splitlines":
            run.charge(len(text) >> 3, sum(text.count(end) for end in "\n\r") * 2 * ITEM)
        elif method in ("strip", "lstrip", "rstrip") and args and isinstance(args[0], str):
            run.charge((len(text) >> 8) * (len(args[0]) >> 2))
    result = getattr(text, method)(*args, **named)
    if isinstance(result, str) and len(result) > MAX_TEXT:
        raise ExpressionLimitError(
            f"{method} makes a text of {len(result)} characters; the maximum is {MAX_TEXT}"
        )
    return result


def _method(name: str) -> Callable[..., Any]:
    def method(run: Evaluation, value: Any) -> Any:
        return text_method(run, _text(run, value), name, [], {})

    return method


def _split(run: Evaluation, text: Any, sep: Any = None) -> Any:
    return text_method(run, _text(run, text), "split", [sep], {})


def _join(run: Evaluation, sep: Any, values: Any) -> Any:
    _copy(run, values)
    return text_method(run, _text(run, sep), "join", [[_text(run, value) for value in values]], {})


def _replace(run: Evaluation, text: Any, old: Any, new: Any) -> Any:
    return text_method(run, _text(run, text), "replace", [old, new], {})


_FUNCTIONS: dict[str, Callable[..., Any]] = {
        "len": lambda run, value: len(value), "sum": _sum, "min": _extreme(min), "max": _extreme(max),
        "abs": lambda run, value: abs(value), "round": _round, "sorted": _sorted, "reversed": _reversed,
        "str": _str, "int": _int, "float": _float, "bool": lambda run, *args: bool(*args), "list": _list,
        "dict": _dict, "set": _set, "any": _quantifier(any), "all": _quantifier(all), "range": _range,
        "enumerate": _enumerate, "zip": _zip, "merge": _merge, "get": _get, "keys": _list, "values": _values,
        "lower": _method("lower"), "upper": _method("upper"), "strip": _method("strip"), "join": _join,
        "split": _split, "replace": _replace, "contains": lambda run, whole, part: contains(run, part, whole),
        "unique": _unique, "flatten": _flatten, "to_json": _to_json, "from_json": _from_json,
        "now": _timestamp, "current_timestamp": _timestamp, "is_empty": lambda run, value: not value,
        "default": lambda run, value, other: other if value is None else value,
}  # fmt: skip

BUILTINS: dict[str, Callable[..., Any]] = {name: Builtin(name, apply) for name, apply in _FUNCTIONS.items()}
"""The functions that every workspace has. Times are ISO 8601 in UTC."""
