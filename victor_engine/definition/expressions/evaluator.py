"""The evaluator of expressions: it compiles each one into Python functions, which every evaluation calls.

An expression is parsed and never passed to `eval`. Each evaluation has a budget, which operators, functions and
loops charge (see `budget`). The parts of an expression outside loops are charged together.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from victor_engine.definition.expressions.budget import (
    Evaluation,
    NeedsWorkerError,
)
from victor_engine.definition.expressions.compiler import compile_part
from victor_engine.definition.expressions.functions import FunctionRegistry
from victor_engine.definition.expressions.json_results import JSON_ATOMS, as_json
from victor_engine.definition.expressions.language import (
    PARSED,
    ExpressionProblem,
    find_problems,
    parse,
)
from victor_engine.definition.expressions.leaves import Part, count_steps
from victor_engine.errors import ExpressionError, ExpressionLimitError

REMEDY = "make it smaller, split it into several nodes, or use a compute node"


@dataclass(frozen=True, slots=True)
class Compiled:
    """A compiled expression, with the number of its steps outside loops and the functions that it calls."""

    tree: ast.expr
    evaluate: Part | None
    steps: int
    called: frozenset[str]
    problem: ExpressionProblem | None = None


class _AnyFunction(FunctionRegistry):
    """A registry that contains every name: each evaluation checks whether its functions exist."""

    def __contains__(self, name: object) -> bool:
        return True


@lru_cache(maxsize=PARSED)
def compiled(text: str) -> Compiled:
    """Return the compiled expression of a text. The result is cached."""
    return compiled_tree(parse(text))


def compiled_tree(tree: ast.expr) -> Compiled:
    """Return the compiled expression of a tree. A part outside the language raises when it is evaluated."""
    try:
        problem = next(find_problems(tree, _AnyFunction()), None)
        if problem is not None:
            return Compiled(tree, None, 0, frozenset(), problem)
        names = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
        called = frozenset(name.id for name in names if isinstance(name, ast.Name))
        return Compiled(tree, compile_part(tree), count_steps(tree), called)
    except RecursionError:
        problem = ExpressionProblem(1, 1, "the expression is nested too deeply")
        return Compiled(tree, None, 0, frozenset(), problem)


def evaluate_compiled(expression: Compiled, run: Evaluation) -> Any:
    """Return the value of an expression.

    Raises ExpressionError if the expression is invalid or fails, ExpressionLimitError beyond its budget, and
    NeedsWorkerError beyond the budget of the event loop.
    """
    problem = expression.problem
    if problem is None and expression.called:
        functions = run.functions
        for name in expression.called:
            if name not in functions:
                problem = next(find_problems(expression.tree, functions))
                break
    if problem is not None:
        raise ExpressionError(f"line {problem.line}, column {problem.column}: {problem.message}")
    evaluate = expression.evaluate
    assert evaluate is not None
    try:
        run.steps -= expression.steps  # the next charge checks the limit
        value = evaluate(run)
        return value if type(value) in JSON_ATOMS else as_json(value, run)
    except ExpressionLimitError as error:
        raise ExpressionLimitError(f"{_source(expression.tree)}: {error.message}; {REMEDY}") from None
    except ExpressionError:
        raise
    except RecursionError:
        raise ExpressionLimitError("the expression is nested too deeply") from None
    except MemoryError:
        raise ExpressionLimitError(
            f"{_source(expression.tree)}: the expression takes too much memory; {REMEDY}"
        ) from None
    except NeedsWorkerError:
        raise
    except Exception as error:
        raise ExpressionError(
            f"{_source(expression.tree)}: {type(error).__name__}: {str(error)[:500]}",
            error_type=type(error).__name__,
        ) from error


def _source(tree: ast.AST) -> str:
    try:
        return ast.unparse(tree)[:200]
    except RecursionError:
        return "the expression"


__all__ = ["Compiled", "as_json", "compiled", "compiled_tree", "evaluate_compiled"]
