"""Expressions and assignments: data, not Python. Parsed, checked and evaluated in a sandbox.

Expressions are evaluated by simpleeval over the run's state; our own assignment statements stand
on top. Attribute access means keys of objects, never attributes of Python objects. `ctx` (or
`state`) is the whole state; `true`, `false` and `null` are written either way. A workspace may
register functions of its own (`FunctionRegistry.register`).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from victor_engine import jsonio
from victor_engine.errors import ExpressionError

MAX_STATEMENTS = 500
"""Assignments in one transform."""

MAX_TEXT = 1_000_000
"""Characters in a string that an expression makes."""

MAX_ITEMS = 200_000
"""Items that a comprehension, range or repetition may make."""

MAX_STEPS = 5_000_000
"""Parts of an expression that one evaluation may look at, so that nested loops come to an end."""

MAX_BITS = 4096
"""Size of a whole number that an expression may make."""

_FORMAT = re.compile(r"[<>^=+\- #0,_]*\d{0,3}(\.\d{1,2})?[a-zA-Z%]?")

CONSTANTS = {
    "true": True,
    "false": False,
    "null": None,
    "none": None,
    "True": True,
    "False": False,
    "None": None,
}

_DOTTED = re.compile(r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*|\.\d+|\[\d+\])*$")

STRING_METHODS = frozenset(
    [
        "lower",
        "upper",
        "title",
        "capitalize",
        "strip",
        "lstrip",
        "rstrip",
        "split",
        "rsplit",
        "splitlines",
        "join",
        "startswith",
        "endswith",
        "replace",
        "find",
        "count",
        "isdigit",
        "isalpha",
        "isnumeric",
        "removeprefix",
        "removesuffix",
        "zfill",
    ]
)
MAPPING_METHODS = frozenset({"get", "keys", "values", "items"})
LIST_METHODS = frozenset({"count", "index"})

_ALLOWED = (
    ast.Expression, ast.Expr, ast.Load, ast.Store, ast.Constant, ast.Name, ast.Attribute, ast.Subscript, ast.Slice,
    ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.UAdd, ast.BinOp, ast.Add, ast.Sub, ast.Mult,
    ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.Compare, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE,
    ast.Is, ast.IsNot, ast.In, ast.NotIn, ast.IfExp, ast.Call, ast.keyword, ast.List, ast.Tuple, ast.Set, ast.Dict,
    ast.ListComp, ast.GeneratorExp, ast.DictComp, ast.SetComp, ast.comprehension, ast.JoinedStr, ast.FormattedValue,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fault:
    """Something in an expression that is outside the language: line and column within its text."""

    line: int
    column: int
    message: str


class FunctionRegistry:
    """The functions that expressions may call, by name. Each takes and returns JSON values."""

    def __init__(self, functions: Mapping[str, Callable[..., Any]] | None = None) -> None:
        self._functions: dict[str, Callable[..., Any]] = dict(BUILTINS if functions is None else functions)

    def register(self, name: str, function: Callable[..., Any]) -> None:
        """Add a function, or put another in its place."""
        if not name.isidentifier() or name.startswith("_"):
            raise ValueError(f"{name!r} cannot be the name of a function")
        self._functions[name] = function

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
    _check_growth(separator, "join", [parts])
    return separator.join(parts)


def _replaced(text: str, old: str, new: str) -> str:
    _check_growth(text, "replace", [old, new])
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


# --- checking ----------------------------------------------------------------------------------


def _parse(text: str) -> ast.expr:
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", 1) or 1
        column = getattr(error, "offset", 1) or 1
        message = getattr(error, "msg", str(error))
        raise ExpressionError(
            f"{text.strip()!r} is not an expression (line {line}, column {column}): {message}"
        ) from None


def _faults(tree: ast.AST, functions: FunctionRegistry) -> Iterator[Fault]:
    methods = {
        id(call.func)
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)
    }
    for node in ast.walk(tree):
        line, column = getattr(node, "lineno", 1), getattr(node, "col_offset", 0) + 1
        if not isinstance(node, _ALLOWED):
            yield Fault(line, column, f"{_plain_name(node)} is not part of the expression language")
        elif isinstance(node, ast.FormattedValue) and node.format_spec is not None:
            parts = node.format_spec.values if isinstance(node.format_spec, ast.JoinedStr) else []
            spec = parts[0].value if len(parts) == 1 and isinstance(parts[0], ast.Constant) else None
            if not isinstance(spec, str) or not _FORMAT.fullmatch(spec):
                yield Fault(line, column, "this format is too wide, or not written out")
        elif isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            yield Fault(line, column, f"{node.attr!r}: names that start with _ are private")
        elif isinstance(node, ast.Attribute) and id(node) in methods:
            known = STRING_METHODS | MAPPING_METHODS | LIST_METHODS
            if node.attr not in known:
                yield Fault(line, column, f"there is no method {node.attr!r}{_nearest(node.attr, known)}")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            name = node.func.id
            if name not in functions:
                yield Fault(
                    line,
                    column,
                    f"unknown function {name!r}{_nearest(name, functions.names)}; a workspace registers its own "
                    "under functions: in victor.yaml",
                )
        elif isinstance(node, ast.Call) and not isinstance(node.func, ast.Attribute):
            yield Fault(line, column, "only named functions and methods can be called")


def _plain_name(node: ast.AST) -> str:
    return {
        "For": "a loop (for)", "While": "a loop (while)", "If": "an if statement", "FunctionDef": "a function (def)",
        "Import": "import", "ImportFrom": "import", "Lambda": "lambda", "NamedExpr": "an assignment expression (:=)",
        "Await": "await", "Yield": "yield", "With": "with", "Try": "try", "ClassDef": "class", "Delete": "del",
        "Starred": "a starred expression", "Expr": "a bare expression",
    }.get(type(node).__name__, type(node).__name__)  # fmt: skip


def _nearest(name: str, known: frozenset[str] | set[str]) -> str:
    close = get_close_matches(name, sorted(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def check_expression(text: str, functions: FunctionRegistry) -> list[Fault]:
    """What in a condition is outside the language. A dotted key or a registered name is fine."""
    stripped = text.strip()
    if _DOTTED.match(stripped) or stripped in functions:
        return []
    try:
        tree = ast.parse(stripped, mode="eval").body
    except (SyntaxError, ValueError) as error:
        line, column = getattr(error, "lineno", 1) or 1, getattr(error, "offset", 1) or 1
        return [Fault(line, column, f"not an expression: {getattr(error, 'msg', error)}")]
    return list(_faults(tree, functions))


def check_assignments(text: str, functions: FunctionRegistry) -> list[Fault]:
    """What in a transform is outside the language, with its place in the text."""
    try:
        module = _module(text)
    except SyntaxError as error:
        return [Fault(error.lineno or 1, error.offset or 1, f"not an assignment: {error.msg}")]
    faults: list[Fault] = []
    for statement in module.body:
        target = _target(statement)
        if target is None:
            place = (statement.lineno, statement.col_offset + 1)
            faults.append(
                Fault(*place, f"{_plain_name(statement)} is not part of the language; only assignments are")
            )
            continue
        assert isinstance(statement, ast.Assign | ast.AugAssign | ast.AnnAssign)
        if statement.value is not None:
            faults.extend(_faults(statement.value, functions))
    return faults


def names_read(text: str) -> frozenset[str]:
    """The top-level state keys that an expression reads (without functions and loop variables)."""
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError):
        return frozenset()
    bound = {
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    called = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    read = {
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    return frozenset(read - bound - called - set(CONSTANTS) - {"ctx", "state"})


def names_written(text: str) -> frozenset[str]:
    """The top-level state keys that a transform assigns."""
    try:
        module = _module(text)
    except SyntaxError:
        return frozenset()
    targets = (_target(statement) for statement in module.body)
    return frozenset(target[0] for target in targets if target)


# --- evaluating --------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _evaluator_class() -> type[Any]:
    import simpleeval

    simpleeval.MAX_STRING_LENGTH = MAX_TEXT
    simpleeval.MAX_COMPREHENSION_LENGTH = MAX_ITEMS

    class Evaluator(simpleeval.EvalWithCompoundTypes):  # type: ignore[misc]
        """simpleeval with our meaning of attributes: keys of objects, and a fixed list of methods."""

        def __init__(self, functions: Mapping[str, Any], names: Any) -> None:
            super().__init__(functions=dict(functions), names=names)
            self.nodes[ast.SetComp] = self._eval_set_comprehension
            self.operators: dict[Any, Any] = {
                **simpleeval.DEFAULT_OPERATORS,
                ast.Mult: _times,
                ast.Pow: _power,
                ast.Mod: _modulo,
            }
            self._steps = 0

        def _eval(self, node: ast.AST) -> Any:
            self._steps += 1
            if self._steps > MAX_STEPS:
                raise ExpressionError(f"the expression takes more than {MAX_STEPS} steps")
            return super()._eval(node)

        def _eval_set_comprehension(self, node: ast.SetComp) -> Any:
            as_list = ast.copy_location(ast.ListComp(elt=node.elt, generators=node.generators), node)
            return sorted(set(self._eval(as_list)))

        def _eval_attribute(self, node: ast.Attribute) -> Any:
            owner = self._eval(node.value)
            if isinstance(owner, Mapping):
                if node.attr in owner:
                    return owner[node.attr]
                raise _missing(node.attr, owner, ast.unparse(node))
            raise ExpressionError(
                f"{ast.unparse(node.value)} is {_kind(owner)}, which has no key {node.attr!r}",
                error_type="KeyError",
            )

        def _eval_call(self, node: ast.Call) -> Any:
            if not isinstance(node.func, ast.Attribute):
                return super()._eval_call(node)
            owner, name = self._eval(node.func.value), node.func.attr
            allowed = (
                STRING_METHODS if isinstance(owner, str)
                else MAPPING_METHODS if isinstance(owner, Mapping)
                else LIST_METHODS if isinstance(owner, list | tuple)
                else frozenset()
            )  # fmt: skip
            if name not in allowed:
                raise ExpressionError(f"{_kind(owner)} has no method {name!r}", error_type="AttributeError")
            arguments = [self._eval(argument) for argument in node.args]
            keywords = {k.arg: self._eval(k.value) for k in node.keywords if k.arg}
            if isinstance(owner, str):
                _check_growth(owner, name, arguments)
            result = getattr(owner, name)(*arguments, **keywords)
            if isinstance(result, str) and len(result) > MAX_TEXT:
                raise ExpressionError(
                    f"{name} makes a text of {len(result)} characters; the most is {MAX_TEXT}"
                )
            return list(result) if isinstance(owner, Mapping) and name != "get" else result

    return Evaluator


def _times(a: Any, b: Any) -> Any:
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


def _power(a: Any, b: Any) -> Any:
    if isinstance(a, int) and isinstance(b, int) and b > 0 and a.bit_length() * b > MAX_BITS:
        raise ExpressionError(f"a number of more than {MAX_BITS} bits")
    return a**b


def _modulo(a: Any, b: Any) -> Any:
    if isinstance(a, str):
        raise ExpressionError("% does not format text here; write f'{value}' or join the parts with +")
    return a % b


def _check_growth(text: str, method: str, arguments: list[Any]) -> None:
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


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "a boolean", str: "a text", int: "a number", float: "a number", list: "a list"}
    return names.get(type(value), "an object" if isinstance(value, Mapping) else f"a {type(value).__name__}")


def _missing(name: str, known: Mapping[str, Any], where: str) -> ExpressionError:
    near = _nearest(name, {str(key) for key in known})
    return ExpressionError(f"{where}: there is no {name!r}{near}", error_type="KeyError")


class _Names(dict[str, Any]):
    def __missing__(self, name: str) -> Any:
        raise _missing(name, self, "the state")


def _evaluate_tree(tree: ast.AST, state: Mapping[str, Any], functions: FunctionRegistry) -> Any:
    names = _Names(CONSTANTS)
    names["ctx"] = names["state"] = state
    names.update(state)
    evaluator = _evaluator_class()(functions.as_dict(), names)
    for fault in _faults(tree, functions):
        raise ExpressionError(f"line {fault.line}, column {fault.column}: {fault.message}")
    try:
        value = evaluator._eval(tree)
    except ExpressionError:
        raise
    except RecursionError:
        raise ExpressionError("the expression is nested too deeply") from None
    except Exception as error:
        raise ExpressionError(
            f"{ast.unparse(tree)[:200]}: {type(error).__name__}: {error}", error_type=type(error).__name__
        ) from error
    return _as_json(value)


def _as_json(value: Any) -> Any:
    """JSON values only: tuples and sets become lists, generators are run."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Mapping):
        return {str(key): _as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset) or hasattr(value, "__iter__"):
        return [_as_json(item) for item in value]
    raise ExpressionError(f"the result is a {type(value).__name__}, which a state cannot hold")


def evaluate(expression: str, state: Mapping[str, Any], functions: FunctionRegistry) -> Any:
    """The value of an expression over a state; ExpressionError for anything else."""
    return _evaluate_tree(_parse(expression), state, functions)


def lookup(state: Mapping[str, Any], dotted: str) -> Any:
    """The value at a dotted key (`a.b`, `a[0]`, `a.0`); KeyError if any part is missing."""
    value: Any = state
    for part in re.findall(r"[^.\[\]]+", dotted):
        if isinstance(value, Mapping):
            value = value[part]
        elif isinstance(value, list) and part.lstrip("-").isdigit() and -len(value) <= int(part) < len(value):
            value = value[int(part)]
        else:
            raise KeyError(dotted)
    return value


def evaluate_condition(condition: str, state: Mapping[str, Any], functions: FunctionRegistry) -> Any:
    """The value that picks the branch: a registered function's, a state key's, or an expression's."""
    text = condition.strip()
    function = functions.get(text)
    if function is not None and text not in state:
        try:
            return _as_json(function(state))
        except ExpressionError:
            raise
        except Exception as error:
            raise ExpressionError(
                f"{text}: {type(error).__name__}: {error}", error_type=type(error).__name__
            ) from error
    if _DOTTED.match(text) and text not in CONSTANTS:
        try:
            return lookup(state, text)
        except KeyError:
            first = re.split(r"[.\[]", text, maxsplit=1)[0]
            if first not in ("ctx", "state"):
                near = _nearest(first, set(state)) if first not in state else ""
                raise ExpressionError(f"the state has no {text!r}{near}", error_type="KeyError") from None
    return evaluate(text, state, functions)


def run_assignments(text: str, state: Mapping[str, Any], functions: FunctionRegistry) -> dict[str, Any]:
    """Run the assignments of a transform in order; returns the keys that they set, with their values."""
    try:
        module = _module(text)
    except SyntaxError as error:
        raise ExpressionError(f"line {error.lineno}, column {error.offset}: {error.msg}") from None
    if len(module.body) > MAX_STATEMENTS:
        raise ExpressionError(f"{len(module.body)} assignments; the most is {MAX_STATEMENTS}")
    local = dict(state)
    assigned: dict[str, Any] = {}
    for statement in module.body:
        target = _target(statement)
        if target is None or not isinstance(statement, ast.Assign | ast.AugAssign | ast.AnnAssign):
            raise ExpressionError(
                f"line {statement.lineno}: {_plain_name(statement)} is not part of the language; only assignments are"
            )
        expression: ast.expr | None = statement.value
        if isinstance(statement, ast.AugAssign):
            read = ast.parse(ast.unparse(statement.target), mode="eval").body
            expression = ast.BinOp(left=read, op=statement.op, right=statement.value)
            ast.copy_location(expression, statement)
            ast.fix_missing_locations(expression)
        if expression is None:
            raise ExpressionError(f"line {statement.lineno}: nothing is assigned to {'.'.join(target)}")
        try:
            value = _evaluate_tree(expression, local, functions)
        except ExpressionError as error:
            if error.message.startswith("line "):
                raise
            raise ExpressionError(
                f"line {statement.lineno}: {error.message}", error_type=error.error_type
            ) from error
        _assign(local, target, value)
        assigned[target[0]] = local[target[0]]
    return assigned


def _module(text: str) -> ast.Module:
    import textwrap

    return ast.parse(textwrap.dedent(text).strip() + "\n")


def _target(statement: ast.stmt) -> tuple[str, ...] | None:
    """The dotted path that a statement assigns to; None for anything that is not an assignment."""
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target = statement.targets[0]
    elif isinstance(statement, ast.AugAssign | ast.AnnAssign):
        target = statement.target
    else:
        return None
    parts: list[str] = []
    while True:
        if isinstance(target, ast.Attribute):
            parts.append(target.attr)
            target = target.value
        elif (
            isinstance(target, ast.Subscript)
            and isinstance(target.slice, ast.Constant)
            and isinstance(target.slice.value, str)
        ):
            parts.append(target.slice.value)
            target = target.value
        elif isinstance(target, ast.Name):
            parts.append(target.id)
            break
        else:
            return None
    path = tuple(reversed(parts))
    if len(path) > 1 and path[0] in ("ctx", "state"):
        path = path[1:]
    if any(part.startswith("__") for part in path):
        return None
    return path


def _assign(state: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    if len(path) == 1:
        state[path[0]] = value
        return
    # Copied on the way down, so that the run's own state is not changed under it.
    inner = state.get(path[0])
    copy = dict(inner) if isinstance(inner, Mapping) else {}
    _assign(copy, path[1:], value)
    state[path[0]] = copy
