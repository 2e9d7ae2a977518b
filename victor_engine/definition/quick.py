"""The quick way for plain expressions: made into Python functions once, evaluated without a walk over the tree.

Only what has neither functions nor loops, and only as far as all goes well: whatever is unusual (a missing
key, an error, a value that is no plain data) is left to the sandbox, which evaluates the whole expression
anew and says what is wrong. That is safe because nothing here has an effect, and the operators, with their
limits, are the sandbox's own. So where there is a value at all, it is the same.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from victor_engine.definition.functions import MAX_TEXT, FunctionRegistry
from victor_engine.definition.language import CONSTANTS, PARSED, first_fault
from victor_engine.definition.operators import HARMLESS, operators

Evaluate = Callable[[Mapping[str, Any]], Any]

_NO_FUNCTIONS = FunctionRegistry()


class LeftToTheSandboxError(Exception):
    """Nothing is wrong, as far as is known here."""


@lru_cache(maxsize=PARSED)
def quick(tree: ast.AST) -> Evaluate | None:
    """A function from a state to the value of the expression; it raises whatever it likes where there is no
    value. None if the expression is not plain enough, or not part of the language."""
    try:
        made = _made(tree)
    except (LeftToTheSandboxError, RecursionError):
        return None
    return made if first_fault(tree, _NO_FUNCTIONS) is None else None


def _made(node: ast.AST) -> Evaluate:
    maker = _MAKERS.get(type(node))
    if maker is None:
        raise LeftToTheSandboxError
    made: Evaluate = maker(node)
    return made


def _checked(value: Any) -> Any:
    if type(value) not in HARMLESS:
        raise LeftToTheSandboxError
    return value


def _constant(node: ast.Constant) -> Evaluate:
    value = _checked(node.value)
    if isinstance(value, str) and len(value) > MAX_TEXT:
        raise LeftToTheSandboxError
    return lambda state: value


def _name(node: ast.Name) -> Evaluate:
    name = node.id

    def key(state: Mapping[str, Any]) -> Any:
        value = state[name]
        if type(value) not in HARMLESS:
            raise LeftToTheSandboxError
        return value

    if name in ("ctx", "state"):
        return lambda state: key(state) if name in state else _checked(state)
    if name in CONSTANTS:
        constant = CONSTANTS[name]
        return lambda state: key(state) if name in state else constant
    return key


def _attribute(node: ast.Attribute) -> Evaluate:
    owner, name = _made(node.value), node.attr

    def attribute(state: Mapping[str, Any]) -> Any:
        found = owner(state)
        if type(found) is not dict:
            raise LeftToTheSandboxError
        return _checked(found[name])

    return attribute


def _subscript(node: ast.Subscript) -> Evaluate:
    owner, place = _made(node.value), _made(node.slice)

    def subscript(state: Mapping[str, Any]) -> Any:
        found, key = owner(state), place(state)
        if not (
            (type(found) is dict and type(key) is str) or (type(found) in (list, tuple) and type(key) is int)
        ):
            raise LeftToTheSandboxError
        return _checked(found[key])

    return subscript


def _operator(node: ast.AST) -> Callable[..., Any]:
    found = operators().get(type(node))
    if found is None:
        raise LeftToTheSandboxError
    return found


def _binary(node: ast.BinOp) -> Evaluate:
    operator, left, right = _operator(node.op), _made(node.left), _made(node.right)

    def binary(state: Mapping[str, Any]) -> Any:
        value = operator(left(state), right(state))
        if type(value) not in HARMLESS:
            raise LeftToTheSandboxError
        return value

    return binary


def _unary(node: ast.UnaryOp) -> Evaluate:
    operator, operand = _operator(node.op), _made(node.operand)
    return lambda state: _checked(operator(operand(state)))


def _boolean(node: ast.BoolOp) -> Evaluate:
    parts, ends_on = [_made(part) for part in node.values], isinstance(node.op, ast.Or)

    def boolean(state: Mapping[str, Any]) -> Any:
        value: Any = False
        for part in parts:
            value = part(state)
            if bool(value) is ends_on:
                break
        return value

    return boolean


def _compare(node: ast.Compare) -> Evaluate:
    first = _made(node.left)
    rest = [(_operator(op), _made(part)) for op, part in zip(node.ops, node.comparators, strict=True)]

    def compare(state: Mapping[str, Any]) -> Any:
        right, value = first(state), True
        for operator, part in rest:
            left, right = right, part(state)
            value = operator(left, right)
            if not value:
                break
        return _checked(value)

    return compare


def _choice(node: ast.IfExp) -> Evaluate:
    test, body, otherwise = _made(node.test), _made(node.body), _made(node.orelse)
    return lambda state: body(state) if test(state) else otherwise(state)


_MAKERS: dict[type[ast.AST], Callable[[Any], Evaluate]] = {
    ast.Constant: _constant,
    ast.Name: _name,
    ast.Attribute: _attribute,
    ast.Subscript: _subscript,
    ast.BinOp: _binary,
    ast.UnaryOp: _unary,
    ast.BoolOp: _boolean,
    ast.Compare: _compare,
    ast.IfExp: _choice,
}


__all__ = ["Evaluate", "LeftToTheSandboxError", "quick"]
