"""The sandbox: evaluates a checked expression over a state, within limits of time and size."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from victor_engine.definition.functions import MAX_ITEMS, MAX_TEXT, FunctionRegistry, check_growth
from victor_engine.definition.language import (
    CONSTANTS,
    LIST_METHODS,
    MAPPING_METHODS,
    STRING_METHODS,
    first_fault,
    nearest,
)
from victor_engine.definition.operators import HARMLESS, MAX_BITS, operators
from victor_engine.definition.quick import quick
from victor_engine.errors import ExpressionError

MAX_STEPS = 5_000_000
"""Parts of an expression that one evaluation may look at, so that nested loops come to an end."""


@lru_cache(maxsize=1)
def _evaluator_class() -> type[Any]:
    import simpleeval

    simpleeval.MAX_COMPREHENSION_LENGTH = MAX_ITEMS

    class Evaluator(simpleeval.EvalWithCompoundTypes):  # type: ignore[misc]
        """simpleeval with our meaning of attributes: keys of objects, and a fixed list of methods."""

        def __init__(self, functions: Mapping[str, Any]) -> None:
            super().__init__(functions=dict(functions), names={})
            self.nodes[ast.SetComp] = self._eval_set_comprehension
            self.operators = operators()
            self._steps = 0

        def begin(self, state: Mapping[str, Any]) -> None:
            """Evaluate over `state` from now on, within limits of its own."""
            self.names = _Names(state)
            self._steps = self._max_count = 0

        def _eval(self, node: ast.AST) -> Any:
            self._steps += 1
            if self._steps > MAX_STEPS:
                raise ExpressionError(f"the expression takes more than {MAX_STEPS} steps")
            handler = self.nodes.get(type(node))
            if handler is None:
                return super()._eval(node)
            result = handler(node)
            # What is inside of an object or a list is looked at when it is taken out: looking at all of it
            # each time it passes by costs its size.
            if type(result) not in HARMLESS:
                self._check_disallowed_items(result)
            return result

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
                check_growth(owner, name, arguments)
            result = getattr(owner, name)(*arguments, **keywords)
            if isinstance(result, str) and len(result) > MAX_TEXT:
                raise ExpressionError(
                    f"{name} makes a text of {len(result)} characters; the most is {MAX_TEXT}"
                )
            return list(result) if isinstance(owner, Mapping) and name != "get" else result

    return Evaluator


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "a boolean", str: "a text", int: "a number", float: "a number", list: "a list"}
    return names.get(type(value), "an object" if isinstance(value, Mapping) else f"a {type(value).__name__}")


def _missing(name: str, known: Mapping[str, Any], where: str) -> ExpressionError:
    near = nearest(name, {str(key) for key in known})
    return ExpressionError(f"{where}: there is no {name!r}{near}", error_type="KeyError")


class _Names:
    """What a bare name means: a key of the state, the state itself, or a constant, in this order."""

    __slots__ = ("_state",)

    def __init__(self, state: Mapping[str, Any]) -> None:
        self._state = state

    def __getitem__(self, name: str) -> Any:
        if name in self._state:
            return self._state[name]
        if name in ("ctx", "state"):
            return self._state
        if name in CONSTANTS:
            return CONSTANTS[name]
        raise _missing(name, {**CONSTANTS, "ctx": 0, "state": 0, **self._state}, "the state")


def evaluate_tree(tree: ast.AST, state: Mapping[str, Any], functions: FunctionRegistry) -> Any:
    """The value of an expression; ExpressionError says what is wrong with it."""
    evaluate = quick(tree)
    if evaluate is not None:
        try:
            return as_json(evaluate(state))
        except Exception:
            pass  # below it is said what is wrong, or the value found that the quick way leaves alone
    fault = first_fault(tree, functions)
    if fault is not None:
        raise ExpressionError(f"line {fault.line}, column {fault.column}: {fault.message}")
    # Making an evaluator, with its tables, costs more than most expressions do.
    idle = functions.idle_evaluators
    evaluator = idle.pop() if idle else _evaluator_class()(functions.as_dict())
    evaluator.begin(state)
    try:
        value = as_json(evaluator._eval(tree))
        evaluator.names = {}
        idle.append(evaluator)
        return value
    except ExpressionError:
        raise
    except RecursionError:
        raise ExpressionError("the expression is nested too deeply") from None
    except Exception as error:
        raise ExpressionError(
            f"{ast.unparse(tree)[:200]}: {type(error).__name__}: {error}", error_type=type(error).__name__
        ) from error


_PLAIN = frozenset({type(None), str, int, float, bool})


def as_json(value: Any) -> Any:
    """JSON values only: tuples and sets become lists, generators are run."""
    if type(value) in _PLAIN or isinstance(value, str | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset) or hasattr(value, "__iter__"):
        return [as_json(item) for item in value]
    raise ExpressionError(f"the result is a {type(value).__name__}, which a state cannot hold")


__all__ = ["MAX_BITS", "MAX_STEPS", "as_json", "evaluate_tree"]
