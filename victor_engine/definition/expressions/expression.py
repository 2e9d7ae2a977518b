"""Expressions and assignments, which are parsed, checked and evaluated within a budget, never run as Python.

`evaluator` evaluates expressions over the state of the run; this module adds assignments. Attribute access
reads keys of objects, never attributes of Python objects. `ctx` (or `state`) is the whole state. `true`,
`false` and `null` can be written as in JSON or as in Python. A workspace can register functions
(`FunctionRegistry.register`). With the limits `LOCAL`, an evaluation that would block the event loop raises
NeedsWorkerError.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from victor_engine.definition.expressions.budget import (
    FULL,
    MAX_BITS,
    MAX_ITEMS,
    MAX_TEXT,
    Evaluation,
    Limits,
    NeedsWorkerError,
)
from victor_engine.definition.expressions.evaluator import (
    Compiled,
    as_json,
    compiled,
    compiled_tree,
    evaluate_compiled,
)
from victor_engine.definition.expressions.functions import BUILTINS, Builtin, FunctionRegistry
from victor_engine.definition.expressions.language import (
    CONSTANTS,
    DOTTED,
    PARSED,
    ExpressionProblem,
    check_assignments,
    check_expression,
    names_read,
    names_written,
    nearest,
    parse,
    parse_module,
    plain_name,
    target_of,
)
from victor_engine.errors import ExpressionError, ExpressionLimitError

MAX_STATEMENTS = 500
"""The maximum number of assignments in one transform."""


MAX_STEPS = FULL.steps
"""The maximum number of steps of one evaluation."""

CONDITION, ASSIGNMENTS = "condition", "assignments"


def evaluate(
    expression: str, state: Mapping[str, Any], functions: FunctionRegistry, limits: Limits = FULL
) -> Any:
    """Return the value of an expression over a state. Raises ExpressionError if it is invalid or fails."""
    return evaluate_compiled(compiled(expression), Evaluation(state, functions, limits))


def evaluate_as(
    kind: str, text: str, state: Mapping[str, Any], functions: FunctionRegistry, limits: Limits = FULL
) -> Any:
    """Evaluate a text of the given kind: `CONDITION` or `ASSIGNMENTS`."""
    if kind == ASSIGNMENTS:
        return run_assignments(text, state, functions, limits)
    return evaluate_condition(text, state, functions, limits)


def state_read(kind: str, text: str, state: Mapping[str, Any], functions: FunctionRegistry) -> dict[str, Any]:
    """Return the part of the state that a text may read."""
    tree: ast.AST = parse_module(text) if kind == ASSIGNMENTS else parse(text)
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    if names & {"ctx", "state"} or text.strip() in functions:
        return dict(state)
    return {name: state[name] for name in names if name in state}


def lookup(state: Mapping[str, Any], dotted: str) -> Any:
    """Return the value at a dotted key (`a.b`, `a[0]`, `a.0`). Raises KeyError if a part is missing."""
    value: Any = state
    for part in re.findall(r"[^.\[\]]+", dotted):
        if isinstance(value, Mapping):
            value = value[part]
        elif isinstance(value, list) and part.lstrip("-").isdigit() and -len(value) <= int(part) < len(value):
            value = value[int(part)]
        else:
            raise KeyError(dotted)
    return value


def evaluate_condition(
    condition: str, state: Mapping[str, Any], functions: FunctionRegistry, limits: Limits = FULL
) -> Any:
    """Return the value of a condition: a registered function, a state key, or an expression."""
    text = condition.strip()
    function = functions.get(text)
    if function is not None and text not in state:
        # A function of the workspace is called once, in this process, and its work is not limited.
        run = Evaluation(state, functions, limits if isinstance(function, Builtin) else FULL)
        try:
            result = function.apply(run, state) if isinstance(function, Builtin) else function(state)
            return as_json(result, run)
        except (ExpressionError, NeedsWorkerError):
            raise
        except Exception as error:
            raise ExpressionError(
                f"{text}: {type(error).__name__}: {error}", error_type=type(error).__name__
            ) from error
    if DOTTED.match(text) and text not in CONSTANTS:
        try:
            return lookup(state, text)
        except KeyError:
            first = re.split(r"[.\[]", text, maxsplit=1)[0]
            if first not in ("ctx", "state"):
                near = nearest(first, set(state)) if first not in state else ""
                raise ExpressionError(f"the state has no {text!r}{near}", error_type="KeyError") from None
    return evaluate(text, state, functions, limits)


@dataclass(frozen=True, slots=True)
class _Assignment:
    """One statement of a transform. `problem` is set if it is not a valid assignment."""

    line: int
    target: tuple[str, ...]
    value: Compiled | None
    problem: str = ""


@lru_cache(maxsize=PARSED)
def _assignments(text: str) -> tuple[_Assignment, ...]:
    try:
        module = parse_module(text)
    except SyntaxError as error:
        raise ExpressionError(f"line {error.lineno}, column {error.offset}: {error.msg}") from None
    if len(module.body) > MAX_STATEMENTS:
        raise ExpressionError(f"{len(module.body)} assignments; the maximum is {MAX_STATEMENTS}")
    return tuple(_assignment(statement) for statement in module.body)


def _assignment(statement: ast.stmt) -> _Assignment:
    target = target_of(statement)
    if target is None or not isinstance(statement, ast.Assign | ast.AugAssign | ast.AnnAssign):
        problem = f"{plain_name(statement)} is not allowed here; a transform has only assignments"
        return _Assignment(statement.lineno, (), None, problem)
    expression: ast.expr | None = statement.value
    if isinstance(statement, ast.AugAssign):
        read = ast.parse(ast.unparse(statement.target), mode="eval").body
        expression = ast.BinOp(left=read, op=statement.op, right=statement.value)
        ast.copy_location(expression, statement)
        ast.fix_missing_locations(expression)
    problem = f"{'.'.join(target)} is declared without a value" if expression is None else ""
    value = None if expression is None else compiled_tree(expression)
    return _Assignment(statement.lineno, target, value, problem)


def run_assignments(
    text: str, state: Mapping[str, Any], functions: FunctionRegistry, limits: Limits = FULL
) -> dict[str, Any]:
    """Run the assignments of a transform in order, with one budget. Return the keys that they set, with values."""
    statements = _assignments(text)
    run = Evaluation(state, functions, limits)
    if len(statements) == 1:
        key, value = _assign(statements[0], run)
        return {key: value}
    # Later statements read the values that earlier ones have assigned.
    run.state = local = dict(state)
    assigned: dict[str, Any] = {}
    for statement in statements:
        run.items = MAX_ITEMS
        key, value = _assign(statement, run)
        assigned[key] = local[key] = value
    return assigned


def _assign(statement: _Assignment, run: Evaluation) -> tuple[str, Any]:
    """Return the state key that one statement sets, and its new value."""
    if statement.value is None:
        raise ExpressionError(f"line {statement.line}: {statement.problem}")
    try:
        value = evaluate_compiled(statement.value, run)
    except ExpressionLimitError as error:
        raise ExpressionLimitError(f"line {statement.line}: {error.message}") from None
    except ExpressionError as error:
        if error.message.startswith("line "):
            raise
        raise ExpressionError(
            f"line {statement.line}: {error.message}", error_type=error.error_type
        ) from error
    target = statement.target
    key = target[0]
    return key, value if len(target) == 1 else _assigned(run.state.get(key), target[1:], value)


def _assigned(old: Any, path: Sequence[str], value: Any) -> Any:
    """Return a copy of `old` with `value` at `path`. The state of the run does not change."""
    if not path:
        return value
    copy = dict(old) if isinstance(old, Mapping) else {}
    copy[path[0]] = _assigned(copy.get(path[0]), path[1:], value)
    return copy


__all__ = [
    "ASSIGNMENTS",
    "BUILTINS",
    "CONDITION",
    "MAX_BITS",
    "MAX_ITEMS",
    "MAX_STATEMENTS",
    "MAX_STEPS",
    "MAX_TEXT",
    "ExpressionProblem",
    "FunctionRegistry",
    "check_assignments",
    "check_expression",
    "evaluate",
    "evaluate_as",
    "evaluate_condition",
    "lookup",
    "names_read",
    "names_written",
    "run_assignments",
    "state_read",
]
