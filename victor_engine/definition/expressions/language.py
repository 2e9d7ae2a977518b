"""The language of expressions and assignments: its parser and its checks."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache

from victor_engine.definition.expressions.budget import Functions
from victor_engine.errors import ExpressionError
from victor_engine.reserved import RUN

# The parser of Python warns of texts such as `1if a`, on the standard error of the engine.
warnings.filterwarnings("ignore", category=SyntaxWarning, module="<unknown>")
warnings.filterwarnings("ignore", category=DeprecationWarning, module="<unknown>")

PARSED = 1024
"""The number of texts whose trees are cached: a run evaluates the same few texts many times."""

MAX_EXPRESSION = 10_000
"""Characters of an expression."""

MAX_TRANSFORM = 100_000
"""Characters of a transform."""

MAX_NESTING = 100
"""Levels of a tree: more could exhaust the stack of the evaluator."""

_LONGEST_NAME, MOST_NAMES = 60, 300
"""Characters of a name and number of names in a search for similar names: the work grows with their product."""

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
class ExpressionProblem:
    """A part of an expression that is outside the language, with line and column within its text."""

    line: int
    column: int
    message: str


def read_expression(text: str) -> ast.expr:
    """Return the tree of an expression. Raises SyntaxError, with the place, for other text or beyond the limits."""
    tree = _read(text.strip(), "eval", MAX_EXPRESSION)
    assert isinstance(tree, ast.Expression)
    return tree.body


def read_statements(text: str) -> ast.Module:
    """Return the tree of a transform. Raises SyntaxError, with the place, for other text or beyond the limits."""
    import textwrap

    tree = _read(textwrap.dedent(text).strip() + "\n", "exec", MAX_TRANSFORM)
    assert isinstance(tree, ast.Module)
    return tree


_RUN_OUTSIDE_TEXTS = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|\$run\b""")


def _with_run(text: str) -> str:
    """Return an expression with `$run` as the name of the instant in the state, which is as long."""
    if "$run" not in text:
        return text
    return _RUN_OUTSIDE_TEXTS.sub(lambda match: RUN if match[0] == "$run" else match[0], text)


def _read(text: str, mode: str, longest: int) -> ast.AST:
    if len(text) > longest:
        raise _unread(f"it is longer than {longest} characters", 1, 1)
    text = _with_run(text)
    try:
        tree: ast.AST = ast.parse(text, mode=mode)
    except SyntaxError:
        raise
    except (RecursionError, MemoryError):  # CPython's parser raises these for deep nesting
        raise _unread(f"it is nested more than {MAX_NESTING} levels deep", 1, 1) from None
    except (ValueError, SystemError) as error:  # a null byte, an unpaired surrogate, an error of the parser
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
    """Return the tree of an expression. The tree is cached and shared: do not change it."""
    try:
        return read_expression(text)
    except SyntaxError as error:
        shown = text.strip() if len(text) <= SHOWN else f"{text.strip()[:SHOWN]}…"
        raise ExpressionError(
            f"{shown!r} is not an expression (line {error.lineno or 1}, column {error.offset or 1}): {error.msg}"
        ) from None


def find_problems(tree: ast.AST, functions: Functions) -> Iterator[ExpressionProblem]:
    """Yield each part of a tree that is outside the language."""
    methods = {
        id(call.func)
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)
    }
    for node in ast.walk(tree):
        line, column = getattr(node, "lineno", 1), getattr(node, "col_offset", 0) + 1
        if not isinstance(node, _ALLOWED):
            yield ExpressionProblem(
                line, column, f"{plain_name(node)} is not part of the expression language"
            )
        elif isinstance(node, ast.FormattedValue) and node.format_spec is not None:
            parts = node.format_spec.values if isinstance(node.format_spec, ast.JoinedStr) else []
            spec = parts[0].value if len(parts) == 1 and isinstance(parts[0], ast.Constant) else None
            if not isinstance(spec, str) or not _FORMAT.fullmatch(spec):
                yield ExpressionProblem(line, column, "the format is too wide, or is not a constant")
        elif isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            yield ExpressionProblem(line, column, f"{node.attr!r}: names that begin with _ are private")
        elif isinstance(node, ast.Attribute) and id(node) in methods:
            known = STRING_METHODS | MAPPING_METHODS | LIST_METHODS
            if node.attr not in known:
                yield ExpressionProblem(
                    line, column, f"the method {node.attr!r} does not exist{nearest(node.attr, known)}"
                )
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            name = node.func.id
            if name not in functions:
                yield ExpressionProblem(
                    line,
                    column,
                    f"unknown function {name!r}{nearest(name, functions.names)}; register functions of the workspace "
                    "under functions: in victor.yaml",
                )
        elif isinstance(node, ast.Call) and not isinstance(node.func, ast.Attribute):
            yield ExpressionProblem(line, column, "only named functions and methods can be called")


def plain_name(node: ast.AST) -> str:
    """Return the name of a syntax node for a message."""
    return {
        "For": "a loop (for)", "While": "a loop (while)", "If": "an if statement", "FunctionDef": "a function (def)",
        "Import": "import", "ImportFrom": "import", "Lambda": "lambda", "NamedExpr": "an assignment expression (:=)",
        "Await": "await", "Yield": "yield", "With": "with", "Try": "try", "ClassDef": "class", "Delete": "del",
        "Starred": "a starred expression", "Expr": "a bare expression",
    }.get(type(node).__name__, type(node).__name__)  # fmt: skip


def nearest(name: str, known: frozenset[str] | set[str]) -> str:
    """Return ` (did you mean ...?)` with the most similar known name, or an empty text."""
    if len(name) > _LONGEST_NAME or len(known) > MOST_NAMES:
        return ""
    known = {other for other in known if len(other) <= _LONGEST_NAME}
    close = get_close_matches(name, sorted(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def check_expression(text: str, functions: Functions) -> list[ExpressionProblem]:
    """Return the problems of a condition. A dotted key and the name of a registered function are valid."""
    stripped = text.strip()
    if DOTTED.match(stripped) or stripped in functions:
        return []
    try:
        tree = read_expression(stripped)
    except SyntaxError as error:
        return [ExpressionProblem(error.lineno or 1, error.offset or 1, f"not an expression: {error.msg}")]
    return list(find_problems(tree, functions))


def check_assignments(text: str, functions: Functions) -> list[ExpressionProblem]:
    """Return the problems of a transform, with their places in the text."""
    try:
        module = parse_module(text)
    except SyntaxError as error:
        return [ExpressionProblem(error.lineno or 1, error.offset or 1, f"not an assignment: {error.msg}")]
    found: list[ExpressionProblem] = []
    for statement in module.body:
        target = target_of(statement)
        if target is None:
            place = (statement.lineno, statement.col_offset + 1)
            found.append(
                ExpressionProblem(
                    *place, f"{plain_name(statement)} is not allowed here; a transform has only assignments"
                )
            )
            continue
        assert isinstance(statement, ast.Assign | ast.AugAssign | ast.AnnAssign)
        if statement.value is not None:
            found.extend(find_problems(statement.value, functions))
    return found


def names_read(text: str) -> frozenset[str]:
    """Return the top-level state keys that an expression reads, without functions and loop variables."""
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
    """Return the top-level state keys that a transform assigns."""
    try:
        module = parse_module(text)
    except SyntaxError:
        return frozenset()
    targets = (target_of(statement) for statement in module.body)
    return frozenset(target[0] for target in targets if target)


@lru_cache(maxsize=PARSED)
def parse_module(text: str) -> ast.Module:
    """Return the tree of a transform. The tree is cached and shared: do not change it."""
    return read_statements(text)


def target_of(statement: ast.stmt) -> tuple[str, ...] | None:
    """Return the path that a statement assigns to, or None if it is not an assignment."""
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
