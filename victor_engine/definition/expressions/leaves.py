"""The compiled parts of an expression that have no parts of their own: constants and names."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any

from victor_engine.definition.expressions.budget import (
    MAX_TEXT,
    PLAIN,
    VALUE_TYPES,
    Evaluation,
    plain,
)
from victor_engine.definition.expressions.language import (
    CONSTANTS,
    MOST_NAMES,
    nearest,
)
from victor_engine.errors import ExpressionError, ExpressionLimitError
from victor_engine.reserved import RUN

Part = Callable[[Evaluation], Any]
"""A compiled node."""


_LOOPS = (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)


def count_steps(node: ast.AST) -> int:
    """Return the number of parts of an expression. The parts of a loop are charged in each iteration."""
    if isinstance(node, _LOOPS):
        return 1
    return 1 + sum(
        count_steps(child)
        for child in ast.iter_child_nodes(node)
        if isinstance(child, ast.expr | ast.keyword)
    )


def raises(error: type[ExpressionError], message: str) -> Part:
    def fail(run: Evaluation) -> Any:
        raise error(message)

    return fail


def constant_part(node: ast.Constant) -> Part:
    value = node.value
    if type(value) not in PLAIN:
        return raises(ExpressionError, f"a value of type {type(value).__name__} is not allowed")
    if isinstance(value, str) and len(value) > MAX_TEXT:
        return raises(ExpressionLimitError, f"a text has {len(value)} characters; the maximum is {MAX_TEXT}")
    return lambda run: value


def name_part(node: ast.Name) -> Part:
    name = node.id

    def variable(run: Evaluation) -> Any:
        return run.scope[name] if name in run.scope else key(run)

    def key(run: Evaluation) -> Any:
        state = run.state
        if name in state:
            value = state[name]
            return value if type(value) in VALUE_TYPES else plain(value, name)
        if name in ("ctx", "state"):
            return state if type(state) is dict else dict(state)
        if name in CONSTANTS:
            return CONSTANTS[name]
        if name == RUN:
            raise ExpressionError(
                "$run: the run is not for an instant; give a manual run one with --nominal",
                error_type="KeyError",
            )
        raise missing(name, {**CONSTANTS, "ctx": 0, "state": 0, **state}, "the state")

    return variable if hasattr(node, "looped") else key


def kind(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "a boolean", str: "a text", int: "a number", float: "a number", list: "a list"}
    return names.get(type(value), "an object" if isinstance(value, Mapping) else f"a {type(value).__name__}")


def missing(name: str, known: Mapping[str, Any], where: str) -> ExpressionError:
    near = nearest(name, {str(key) for key in known}) if len(known) <= MOST_NAMES else ""
    return ExpressionError(f"{where} has no key {name[:200]!r}{near}", error_type="KeyError")
