"""The language of expressions and assignments: what belongs to it, and where a text leaves it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from weakref import WeakKeyDictionary

from victor_engine.definition.budget import Functions
from victor_engine.errors import ExpressionError

PARSED = 1024
"""Texts whose trees are kept: a run evaluates the same few again and again."""

MAX_EXPRESSION = 10_000
"""Characters of an expression."""

MAX_TRANSFORM = 100_000
"""Characters of a transform."""

MAX_NESTING = 100
"""Levels of a tree: more would exhaust the stack of what evaluates it."""

_LONGEST_NAME, MOST_NAMES = 60, 300
"""Characters and names among which a similar one is looked for: the work grows with their product."""

SHOWN = 200
"""Characters of an expression in a message."""

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

DOTTED = re.compile(r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*|\.\d+|\[\d+\])*$")

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


def read_expression(text: str) -> ast.expr:
    """Return the tree of an expression within the limits; SyntaxError with the place of a fault for all others."""
    tree = _read(text.strip(), "eval", MAX_EXPRESSION)
    assert isinstance(tree, ast.Expression)
    return tree.body


def read_statements(text: str) -> ast.Module:
    """Return the tree of a transform within the limits; SyntaxError with the place of a fault for all others."""
    import textwrap

    tree = _read(textwrap.dedent(text).strip() + "\n", "exec", MAX_TRANSFORM)
    assert isinstance(tree, ast.Module)
    return tree


def _read(text: str, mode: str, longest: int) -> ast.AST:
    if len(text) > longest:
        raise _unread(f"it is longer than {longest} characters", 1, 1)
    try:
        tree: ast.AST = ast.parse(text, mode=mode)
    except SyntaxError:
        raise
    except (RecursionError, MemoryError):  # what CPython's parser raises for deep nesting
        raise _unread(f"it is nested more than {MAX_NESTING} levels deep", 1, 1) from None
    except (ValueError, SystemError) as error:  # a null byte, half of a character, a fault of the parser
        raise _unread(str(error), 1, 1) from None
    level = [tree]
    for _ in range(MAX_NESTING):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        if not level:
            return tree
    first = next((node for node in level if hasattr(node, "lineno")), None)
    line, column = (first.lineno, first.col_offset + 1) if isinstance(first, ast.expr) else (1, 1)
    raise _unread(f"it is nested more than {MAX_NESTING} levels deep", line, column)


def _unread(message: str, line: int, column: int) -> SyntaxError:
    return SyntaxError(message, ("<text>", line, column, None))


@lru_cache(maxsize=PARSED)
def parse(text: str) -> ast.expr:
    """The tree of an expression; it is shared, and nobody changes it."""
    try:
        return read_expression(text)
    except SyntaxError as error:
        shown = text.strip() if len(text) <= SHOWN else f"{text.strip()[:SHOWN]}…"
        raise ExpressionError(
            f"{shown!r} is not an expression (line {error.lineno or 1}, column {error.offset or 1}): {error.msg}"
        ) from None


def faults(tree: ast.AST, functions: Functions) -> Iterator[Fault]:
    methods = {
        id(call.func)
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)
    }
    for node in ast.walk(tree):
        line, column = getattr(node, "lineno", 1), getattr(node, "col_offset", 0) + 1
        if not isinstance(node, _ALLOWED):
            yield Fault(line, column, f"{plain_name(node)} is not part of the expression language")
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
                yield Fault(line, column, f"there is no method {node.attr!r}{nearest(node.attr, known)}")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            name = node.func.id
            if name not in functions:
                yield Fault(
                    line,
                    column,
                    f"unknown function {name!r}{nearest(name, functions.names)}; a workspace registers its own "
                    "under functions: in victor.yaml",
                )
        elif isinstance(node, ast.Call) and not isinstance(node.func, ast.Attribute):
            yield Fault(line, column, "only named functions and methods can be called")


_sound: WeakKeyDictionary[ast.AST, frozenset[str]] = WeakKeyDictionary()


def first_fault(tree: ast.AST, functions: Functions) -> Fault | None:
    """The first of `faults`, None if there is none. A tree that was sound is only asked for its functions."""
    called = _sound.get(tree)
    if called is not None and (not called or all(name in functions for name in called)):
        return None
    for fault in faults(tree, functions):
        return fault
    _sound[tree] = frozenset(
        call.func.id
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
    )
    return None


def plain_name(node: ast.AST) -> str:
    return {
        "For": "a loop (for)", "While": "a loop (while)", "If": "an if statement", "FunctionDef": "a function (def)",
        "Import": "import", "ImportFrom": "import", "Lambda": "lambda", "NamedExpr": "an assignment expression (:=)",
        "Await": "await", "Yield": "yield", "With": "with", "Try": "try", "ClassDef": "class", "Delete": "del",
        "Starred": "a starred expression", "Expr": "a bare expression",
    }.get(type(node).__name__, type(node).__name__)  # fmt: skip


def nearest(name: str, known: frozenset[str] | set[str]) -> str:
    if len(name) > _LONGEST_NAME or len(known) > MOST_NAMES:
        return ""
    known = {other for other in known if len(other) <= _LONGEST_NAME}
    close = get_close_matches(name, sorted(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def check_expression(text: str, functions: Functions) -> list[Fault]:
    """What in a condition is outside the language. A dotted key or a registered name is fine."""
    stripped = text.strip()
    if DOTTED.match(stripped) or stripped in functions:
        return []
    try:
        tree = read_expression(stripped)
    except SyntaxError as error:
        return [Fault(error.lineno or 1, error.offset or 1, f"not an expression: {error.msg}")]
    return list(faults(tree, functions))


def check_assignments(text: str, functions: Functions) -> list[Fault]:
    """What in a transform is outside the language, with its place in the text."""
    try:
        module = parse_module(text)
    except SyntaxError as error:
        return [Fault(error.lineno or 1, error.offset or 1, f"not an assignment: {error.msg}")]
    found: list[Fault] = []
    for statement in module.body:
        target = target_of(statement)
        if target is None:
            place = (statement.lineno, statement.col_offset + 1)
            found.append(
                Fault(*place, f"{plain_name(statement)} is not part of the language; only assignments are")
            )
            continue
        assert isinstance(statement, ast.Assign | ast.AugAssign | ast.AnnAssign)
        if statement.value is not None:
            found.extend(faults(statement.value, functions))
    return found


def names_read(text: str) -> frozenset[str]:
    """The top-level state keys that an expression reads (without functions and loop variables)."""
    try:
        tree = read_expression(text)
    except SyntaxError:
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
        module = parse_module(text)
    except SyntaxError:
        return frozenset()
    targets = (target_of(statement) for statement in module.body)
    return frozenset(target[0] for target in targets if target)


@lru_cache(maxsize=PARSED)
def parse_module(text: str) -> ast.Module:
    """The tree of a transform; it is shared, and nobody changes it."""
    return read_statements(text)


def target_of(statement: ast.stmt) -> tuple[str, ...] | None:
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
