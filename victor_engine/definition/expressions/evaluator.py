"""The evaluator of expressions: it compiles each one into Python functions, which every evaluation calls.

An expression is parsed and never passed to `eval`. Each evaluation has a budget, which operators, functions and
loops charge (see `budget`). The parts of an expression outside loops are charged together.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from victor_engine.definition.expressions.budget import (
    ITEM,
    MAX_ITEMS,
    MAX_TEXT,
    PLAIN,
    VALUE_TYPES,
    Evaluation,
    NeedsWorkerError,
    plain,
)
from victor_engine.definition.expressions.functions import Builtin, FunctionRegistry, text_method
from victor_engine.definition.expressions.language import (
    CONSTANTS,
    LIST_METHODS,
    MAPPING_METHODS,
    MOST_NAMES,
    PARSED,
    STRING_METHODS,
    ExpressionProblem,
    find_problems,
    nearest,
    parse,
)
from victor_engine.definition.expressions.operators import OPERATORS, UNARY
from victor_engine.errors import ExpressionError, ExpressionLimitError

Part = Callable[[Evaluation], Any]

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
        return Compiled(tree, _compile(tree), _steps(tree), called)
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
        return value if type(value) in _JSON_ATOMS else as_json(value, run)
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


# --- results -----------------------------------------------------------------------------------

_JSON_ATOMS = frozenset({bool, int, type(None)})


def as_json(value: Any, run: Evaluation) -> Any:
    """Return a copy of a value as JSON values: tuples and sets become lists. Raises ExpressionError for others."""
    kind = type(value)
    if kind is str:
        if len(value) > 255:
            run.charge(len(value) >> 8, len(value))
        if not value.isascii():
            _check_text(value)
        return value
    if kind is int or kind is bool or value is None:
        return value
    if kind is float:
        if value - value != 0:
            raise _not_json(f"the result contains the number {value}")
        return value
    if kind is dict:
        run.charge(len(value) + 1, len(value) * 2 * ITEM)
        return {_key(key, run): as_json(item, run) for key, item in value.items()}
    if kind is list or kind is tuple:
        run.charge(len(value) + 1, len(value) * ITEM)
        return [as_json(item, run) for item in value]
    if kind is set:
        run.charge(len(value) + 1, len(value) * ITEM)
        try:
            ordered = sorted(value)  # the order of a set differs between processes
        except TypeError:
            ordered = list(value)
        return [as_json(item, run) for item in ordered]
    return as_json(plain(value, "the result"), run)


def _key(key: Any, run: Evaluation) -> str:
    text = _written(key, run)
    if not text.isascii():
        _check_text(text)
    return text


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _not_json("the result contains a text with an unpaired surrogate") from None


def _not_json(what: str) -> ExpressionError:
    return ExpressionError(f"{what}, which JSON cannot represent", error_type="ResultNotJSON")


# --- parts -------------------------------------------------------------------------------------


def _compile(node: ast.AST) -> Part:
    compiler = _COMPILERS.get(type(node))
    if compiler is None:
        raise ExpressionError(f"{type(node).__name__} is not part of the expression language")
    part: Part = compiler(node)
    return part


_LOOPS = (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)


def _steps(node: ast.AST) -> int:
    """Return the number of parts of an expression. The parts of a loop are charged in each iteration."""
    if isinstance(node, _LOOPS):
        return 1
    return 1 + sum(
        _steps(child) for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr | ast.keyword)
    )


def _raises(error: type[ExpressionError], message: str) -> Part:
    def fail(run: Evaluation) -> Any:
        raise error(message)

    return fail


def _constant(node: ast.Constant) -> Part:
    value = node.value
    if type(value) not in PLAIN:
        return _raises(ExpressionError, f"a value of type {type(value).__name__} is not allowed")
    if isinstance(value, str) and len(value) > MAX_TEXT:
        return _raises(ExpressionLimitError, f"a text has {len(value)} characters; the maximum is {MAX_TEXT}")
    return lambda run: value


def _name(node: ast.Name) -> Part:
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
        raise _missing(name, {**CONSTANTS, "ctx": 0, "state": 0, **state}, "the state")

    return variable if hasattr(node, "looped") else key


def _attribute(node: ast.Attribute) -> Part:
    owner, name = _compile(node.value), node.attr

    def attribute(run: Evaluation) -> Any:
        found = owner(run)
        if isinstance(found, dict):
            if name in found:
                value = found[name]
                return value if type(value) in VALUE_TYPES else plain(value, name)
            raise _missing(name, found, ast.unparse(node.value))
        raise ExpressionError(
            f"{ast.unparse(node.value)} is {_kind(found)} and has no key {name!r}", error_type="KeyError"
        )

    return attribute


def _subscript(node: ast.Subscript) -> Part:
    owner, place = _compile(node.value), _compile(node.slice)

    def subscript(run: Evaluation) -> Any:
        found, key = owner(run), place(run)
        if type(key) is slice:
            if isinstance(found, str):
                run.text(len(found[key]), "a slice") if len(found) <= MAX_TEXT else run.scan(found)
            elif isinstance(found, list | tuple):
                run.charge((len(found) >> 4) + 1, len(found) * 8)
        elif type(key) not in PLAIN:
            run.measure(key)
        value = found[key]
        return value if type(value) in VALUE_TYPES else plain(value, ast.unparse(node))

    return subscript


def _slice(node: ast.Slice) -> Part:
    lower, upper, step = (
        None if part is None else _compile(part) for part in (node.lower, node.upper, node.step)
    )
    return lambda run: slice(
        None if lower is None else lower(run),
        None if upper is None else upper(run),
        None if step is None else step(run),
    )


def _binary(node: ast.BinOp) -> Part:
    operator, left, right = OPERATORS[type(node.op)], _compile(node.left), _compile(node.right)
    return lambda run: operator(run, left(run), right(run))


def _unary(node: ast.UnaryOp) -> Part:
    operator, operand = UNARY[type(node.op)], _compile(node.operand)
    return lambda run: operator(operand(run))


def _boolean(node: ast.BoolOp) -> Part:
    parts, ends_on = [_compile(part) for part in node.values], isinstance(node.op, ast.Or)

    def boolean(run: Evaluation) -> Any:
        value: Any = False
        for part in parts:
            value = part(run)
            if bool(value) is ends_on:
                break
        return value

    return boolean


def _compare(node: ast.Compare) -> Part:
    first = _compile(node.left)
    rest = [
        (OPERATORS[type(op)], _compile(part)) for op, part in zip(node.ops, node.comparators, strict=True)
    ]
    if len(rest) == 1:
        operator, second = rest[0]
        return lambda run: operator(run, first(run), second(run))

    def compare(run: Evaluation) -> Any:
        right, value = first(run), True
        for operator, part in rest:
            left, right = right, part(run)
            value = operator(run, left, right)
            if not value:
                break
        return value

    return compare


def _choice(node: ast.IfExp) -> Part:
    test, body, otherwise = _compile(node.test), _compile(node.body), _compile(node.orelse)
    return lambda run: body(run) if test(run) else otherwise(run)


def _display(node: ast.List | ast.Tuple | ast.Set) -> Part:
    parts = [_compile(part) for part in node.elts]
    if isinstance(node, ast.List):
        return lambda run: [part(run) for part in parts]
    if isinstance(node, ast.Tuple):
        return lambda run: tuple([part(run) for part in parts])

    def display(run: Evaluation) -> Any:
        values = [part(run) for part in parts]
        for value in values:
            run.hashed(value)
        return set(values)

    return display


def _object(node: ast.Dict) -> Part:
    pairs = [
        (None if key is None else _compile(key), _compile(value))
        for key, value in zip(node.keys, node.values, strict=True)
    ]

    def display(run: Evaluation) -> Any:
        result: dict[Any, Any] = {}
        for key, part in pairs:
            value = part(run)
            if key is None:
                if hasattr(value, "__len__"):
                    run.charge(len(value), len(value) * ITEM)
                result.update(value)
            else:
                place = key(run)
                if type(place) is not str:
                    run.hashed(place)
                result[place] = value
        return result

    return display


def _comprehension(node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> Part:
    for name in ast.walk(node):
        if isinstance(name, ast.Name):
            name.looped = True  # type: ignore[attr-defined]  # it may be a variable of this loop
    loops = [
        (_target(part.target), _compile(part.iter), [_compile(test) for test in part.ifs], _loop_steps(part))
        for part in node.generators
    ]
    key = _compile(node.key) if isinstance(node, ast.DictComp) else None
    element = node.value if isinstance(node, ast.DictComp) else node.elt
    value = _compile(element)
    own = _steps(element) + (_steps(node.key) if isinstance(node, ast.DictComp) else 0) + 1

    def iterate(run: Evaluation, index: int, take: Callable[[Evaluation], None]) -> None:
        target, source, tests, steps = loops[index]
        last = index == len(loops) - 1
        for item in source(run):
            run.items -= 1
            if run.items < 0:
                raise ExpressionLimitError(f"the loops have more than {MAX_ITEMS} iterations")
            run.charge(steps)
            target(run, item)
            for test in tests:
                if not test(run):
                    break
            else:
                if last:
                    run.charge(own, ITEM)
                    take(run)
                else:
                    iterate(run, index + 1, take)

    def comprehension(run: Evaluation) -> Any:
        outer, objects, items = run.scope, dict[Any, Any](), list[Any]()

        def take(run: Evaluation) -> None:
            if key is None:
                items.append(value(run))
            else:
                found, place = value(run), key(run)
                run.hashed(place)
                objects[place] = found

        run.scope = dict(outer)
        try:
            iterate(run, 0, take)
        finally:
            run.scope = outer
        if isinstance(node, ast.SetComp):
            for item in items:
                run.hashed(item)
            run.charge(run.measure(items) * len(items).bit_length() >> 2)
            return sorted(set(items))
        return items if key is None else objects

    return comprehension


def _loop_steps(part: ast.comprehension) -> int:
    return 2 + _steps(part.iter) + sum(map(_steps, part.ifs))


def _target(node: ast.expr) -> Callable[[Evaluation, Any], None]:
    if isinstance(node, ast.Name):
        name = node.id

        def assign(run: Evaluation, value: Any) -> None:
            run.scope[name] = value if type(value) in VALUE_TYPES else plain(value, name)

        return assign
    if not isinstance(node, ast.Tuple | ast.List):
        raise ExpressionError(f"{ast.unparse(node)} cannot be the variable of a loop")
    parts = [_target(part) for part in node.elts]

    def unpack(run: Evaluation, value: Any) -> None:
        for part, item in zip(parts, value, strict=False):
            part(run, item)

    return unpack


def _call(node: ast.Call) -> Part:
    arguments = [_compile(argument) for argument in node.args]
    named = [(keyword.arg, _compile(keyword.value)) for keyword in node.keywords]
    if isinstance(node.func, ast.Attribute):
        return _method(node.func, arguments, [(name, part) for name, part in named if name])
    assert isinstance(node.func, ast.Name)
    name = node.func.id

    def call(run: Evaluation) -> Any:
        function = run.functions.get(name)
        assert function is not None
        args = [argument(run) for argument in arguments]
        keywords: dict[Any, Any] = {key: part(run) for key, part in named}
        if type(function) is Builtin:
            value = function.apply(run, *args, **keywords)
            return value if type(value) in VALUE_TYPES else plain(value, f"{name}()")
        return run.call(name, function, args, keywords)

    return call


def _method(node: ast.Attribute, arguments: list[Part], named: list[tuple[str, Part]]) -> Part:
    owner, name = _compile(node.value), node.attr

    def method(run: Evaluation) -> Any:
        found = owner(run)
        if isinstance(found, str):
            allowed = STRING_METHODS
        elif isinstance(found, dict):
            allowed = MAPPING_METHODS
        else:
            allowed = LIST_METHODS if isinstance(found, list | tuple) else frozenset()
        if name not in allowed:
            raise ExpressionError(f"{_kind(found)} has no method {name!r}", error_type="AttributeError")
        args = [argument(run) for argument in arguments]
        keywords = {key: part(run) for key, part in named}
        if isinstance(found, str):
            return text_method(run, found, name, args, keywords)
        if isinstance(found, dict):
            if name == "get":
                for argument in args[:1]:
                    run.hashed(argument)
                return found.get(*args, **keywords)
            run.charge(len(found) + 1, len(found) * ITEM)
            return list(getattr(found, name)(*args, **keywords))
        steps = run.measure(args[0]) if args and type(args[0]) not in PLAIN else 1
        run.charge(len(found) * steps >> 2)
        return getattr(found, name)(*args, **keywords)

    return method


def _joined(node: ast.JoinedStr) -> Part:
    parts = [_compile(part) for part in node.values]

    def joined(run: Evaluation) -> str:
        texts = [_written(part(run), run) for part in parts]
        run.text(sum(map(len, texts)), "f''")
        return "".join(texts)

    return joined


def _formatted(node: ast.FormattedValue) -> Part:
    value = _compile(node.value)
    if node.format_spec is None:
        return value
    template = "{:" + "".join(str(part.value) for part in _spec(node.format_spec)) + "}"

    def formatted(run: Evaluation) -> str:
        found = value(run)
        run.measure(found, written=True)
        return template.format(found)

    return formatted


def _spec(node: ast.expr) -> list[ast.Constant]:
    assert isinstance(node, ast.JoinedStr)
    return [part for part in node.values if isinstance(part, ast.Constant)]


def _written(value: Any, run: Evaluation) -> str:
    if type(value) is str:
        return value
    run.measure(value, written=True)
    return str(value)


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "a boolean", str: "a text", int: "a number", float: "a number", list: "a list"}
    return names.get(type(value), "an object" if isinstance(value, Mapping) else f"a {type(value).__name__}")


def _missing(name: str, known: Mapping[str, Any], where: str) -> ExpressionError:
    near = nearest(name, {str(key) for key in known}) if len(known) <= MOST_NAMES else ""
    return ExpressionError(f"{where} has no key {name[:200]!r}{near}", error_type="KeyError")


_COMPILERS: dict[type[ast.AST], Callable[[Any], Part]] = {
    ast.Constant: _constant,
    ast.Name: _name,
    ast.Attribute: _attribute,
    ast.Subscript: _subscript,
    ast.Slice: _slice,
    ast.BinOp: _binary,
    ast.UnaryOp: _unary,
    ast.BoolOp: _boolean,
    ast.Compare: _compare,
    ast.IfExp: _choice,
    ast.List: _display,
    ast.Tuple: _display,
    ast.Set: _display,
    ast.Dict: _object,
    ast.ListComp: _comprehension,
    ast.SetComp: _comprehension,
    ast.GeneratorExp: _comprehension,
    ast.DictComp: _comprehension,
    ast.Call: _call,
    ast.JoinedStr: _joined,
    ast.FormattedValue: _formatted,
}


__all__ = ["Compiled", "as_json", "compiled", "compiled_tree", "evaluate_compiled"]
