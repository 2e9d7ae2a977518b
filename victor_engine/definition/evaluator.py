"""The evaluator: makes an expression into Python functions once, and calls them for each evaluation.

An expression is parsed, never given to `eval`. Each evaluation has a budget, which operators, functions and
loops charge (see `budget`). The parts of an expression outside of loops are charged together.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from victor_engine.definition.budget import (
    HARMLESS,
    ITEM,
    MAX_TEXT,
    PLAIN,
    Evaluation,
    NeedsWorkerError,
    plain,
)
from victor_engine.definition.functions import Builtin, FunctionRegistry, text_method
from victor_engine.definition.language import (
    CONSTANTS,
    LIST_METHODS,
    MAPPING_METHODS,
    MOST_NAMES,
    PARSED,
    STRING_METHODS,
    Fault,
    faults,
    nearest,
    parse,
)
from victor_engine.definition.operators import OPERATORS, UNARY
from victor_engine.errors import ExpressionError, ExpressionLimitError

Part = Callable[[Evaluation], Any]

REMEDY = "make it smaller, split it over several nodes, or do it in a compute node"


@dataclass(frozen=True, slots=True)
class Compiled:
    """An expression that is ready to be evaluated: its steps without loops, and the functions that it names."""

    tree: ast.expr
    evaluate: Part | None
    steps: int
    called: frozenset[str]
    fault: Fault | None = None


class _AnyFunction(FunctionRegistry):
    """All functions there may be: which ones there are is asked at each evaluation."""

    def __contains__(self, name: object) -> bool:
        return True


@lru_cache(maxsize=PARSED)
def compiled(text: str) -> Compiled:
    """The expression of a text, made ready once."""
    return compiled_tree(parse(text))


def compiled_tree(tree: ast.expr) -> Compiled:
    """The expression of a tree. What is outside of the language is told when it is evaluated."""
    try:
        fault = next(faults(tree, _AnyFunction()), None)
        if fault is not None:
            return Compiled(tree, None, 0, frozenset(), fault)
        names = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
        called = frozenset(name.id for name in names if isinstance(name, ast.Name))
        return Compiled(tree, _made(tree), _steps(tree), called)
    except RecursionError:
        return Compiled(tree, None, 0, frozenset(), Fault(1, 1, "the expression is nested too deeply"))


def evaluate_compiled(expression: Compiled, run: Evaluation) -> Any:
    """The value of an expression; ExpressionError says what is wrong with it."""
    fault = expression.fault
    if fault is None and expression.called:
        functions = run.functions
        for name in expression.called:
            if name not in functions:
                fault = next(faults(expression.tree, functions))
                break
    if fault is not None:
        raise ExpressionError(f"line {fault.line}, column {fault.column}: {fault.message}")
    evaluate = expression.evaluate
    assert evaluate is not None
    try:
        run.steps -= expression.steps  # whatever charges next looks at it
        value = evaluate(run)
        return value if type(value) in _WHOLE else as_json(value, run)
    except ExpressionLimitError as error:
        raise ExpressionLimitError(f"{_spelled(expression.tree)}: {error.message}; {REMEDY}") from None
    except ExpressionError:
        raise
    except RecursionError:
        raise ExpressionLimitError("the expression is nested too deeply") from None
    except MemoryError:
        raise ExpressionLimitError(
            f"{_spelled(expression.tree)}: the expression takes too much memory; {REMEDY}"
        ) from None
    except NeedsWorkerError:
        raise
    except Exception as error:
        raise ExpressionError(
            f"{_spelled(expression.tree)}: {type(error).__name__}: {str(error)[:500]}",
            error_type=type(error).__name__,
        ) from error


def _spelled(tree: ast.AST) -> str:
    try:
        return ast.unparse(tree)[:200]
    except RecursionError:
        return "the expression"


# --- results -----------------------------------------------------------------------------------

_WHOLE = frozenset({bool, int, type(None)})


def as_json(value: Any, run: Evaluation) -> Any:
    """A copy of a value that JSON can hold: tuples and sets become lists. ExpressionError for any other."""
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
            raise _no_json(f"the result has the number {value}")
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
            ordered = sorted(value)  # the order of a set differs from process to process
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
        raise _no_json("the result has a text with half of a surrogate pair") from None


def _no_json(what: str) -> ExpressionError:
    return ExpressionError(f"{what}, which JSON cannot hold", error_type="ResultNotJSON")


# --- parts -------------------------------------------------------------------------------------


def _made(node: ast.AST) -> Part:
    maker = _MAKERS.get(type(node))
    if maker is None:
        raise ExpressionError(f"{type(node).__name__} is not part of the expression language")
    made: Part = maker(node)
    return made


_LOOPS = (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)


def _steps(node: ast.AST) -> int:
    """The parts of an expression; those of a loop are charged when it goes round."""
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
        return _raises(ExpressionError, f"a {type(value).__name__} is not plain data")
    if isinstance(value, str) and len(value) > MAX_TEXT:
        return _raises(ExpressionLimitError, f"a text of {len(value)} characters; the most is {MAX_TEXT}")
    return lambda run: value


def _name(node: ast.Name) -> Part:
    name = node.id

    def variable(run: Evaluation) -> Any:
        return run.scope[name] if name in run.scope else key(run)

    def key(run: Evaluation) -> Any:
        state = run.state
        if name in state:
            value = state[name]
            return value if type(value) in HARMLESS else plain(value, name)
        if name in ("ctx", "state"):
            return state if type(state) is dict else dict(state)
        if name in CONSTANTS:
            return CONSTANTS[name]
        raise _missing(name, {**CONSTANTS, "ctx": 0, "state": 0, **state}, "the state")

    return variable if hasattr(node, "looped") else key


def _attribute(node: ast.Attribute) -> Part:
    owner, name = _made(node.value), node.attr

    def attribute(run: Evaluation) -> Any:
        found = owner(run)
        if isinstance(found, dict):
            if name in found:
                value = found[name]
                return value if type(value) in HARMLESS else plain(value, name)
            raise _missing(name, found, ast.unparse(node))
        raise ExpressionError(
            f"{ast.unparse(node.value)} is {_kind(found)}, which has no key {name!r}", error_type="KeyError"
        )

    return attribute


def _subscript(node: ast.Subscript) -> Part:
    owner, place = _made(node.value), _made(node.slice)

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
        return value if type(value) in HARMLESS else plain(value, ast.unparse(node))

    return subscript


def _slice(node: ast.Slice) -> Part:
    lower, upper, step = (
        None if part is None else _made(part) for part in (node.lower, node.upper, node.step)
    )
    return lambda run: slice(
        None if lower is None else lower(run),
        None if upper is None else upper(run),
        None if step is None else step(run),
    )


def _binary(node: ast.BinOp) -> Part:
    operator, left, right = OPERATORS[type(node.op)], _made(node.left), _made(node.right)
    return lambda run: operator(run, left(run), right(run))


def _unary(node: ast.UnaryOp) -> Part:
    operator, operand = UNARY[type(node.op)], _made(node.operand)
    return lambda run: operator(operand(run))


def _boolean(node: ast.BoolOp) -> Part:
    parts, ends_on = [_made(part) for part in node.values], isinstance(node.op, ast.Or)

    def boolean(run: Evaluation) -> Any:
        value: Any = False
        for part in parts:
            value = part(run)
            if bool(value) is ends_on:
                break
        return value

    return boolean


def _compare(node: ast.Compare) -> Part:
    first = _made(node.left)
    rest = [(OPERATORS[type(op)], _made(part)) for op, part in zip(node.ops, node.comparators, strict=True)]
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
    test, body, otherwise = _made(node.test), _made(node.body), _made(node.orelse)
    return lambda run: body(run) if test(run) else otherwise(run)


def _display(node: ast.List | ast.Tuple | ast.Set) -> Part:
    parts = [_made(part) for part in node.elts]
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
        (None if key is None else _made(key), _made(value))
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
        (_target(part.target), _made(part.iter), [_made(test) for test in part.ifs], _loop_steps(part))
        for part in node.generators
    ]
    key = _made(node.key) if isinstance(node, ast.DictComp) else None
    element = node.value if isinstance(node, ast.DictComp) else node.elt
    value = _made(element)
    own = _steps(element) + (_steps(node.key) if isinstance(node, ast.DictComp) else 0) + 1

    def go_round(run: Evaluation, index: int, take: Callable[[Evaluation], None]) -> None:
        target, source, tests, steps = loops[index]
        last = index == len(loops) - 1
        for item in source(run):
            run.items -= 1
            if run.items < 0:
                raise ExpressionLimitError("the loops go round too often")
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
                    go_round(run, index + 1, take)

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
            go_round(run, 0, take)
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
            run.scope[name] = value if type(value) in HARMLESS else plain(value, name)

        return assign
    if not isinstance(node, ast.Tuple | ast.List):
        raise ExpressionError(f"{ast.unparse(node)} cannot be the variable of a loop")
    parts = [_target(part) for part in node.elts]

    def unpack(run: Evaluation, value: Any) -> None:
        for part, item in zip(parts, value, strict=False):
            part(run, item)

    return unpack


def _call(node: ast.Call) -> Part:
    arguments = [_made(argument) for argument in node.args]
    named = [(keyword.arg, _made(keyword.value)) for keyword in node.keywords]
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
            return value if type(value) in HARMLESS else plain(value, f"{name}()")
        return run.call(name, function, args, keywords)

    return call


def _method(node: ast.Attribute, arguments: list[Part], named: list[tuple[str, Part]]) -> Part:
    owner, name = _made(node.value), node.attr

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
    parts = [_made(part) for part in node.values]

    def joined(run: Evaluation) -> str:
        texts = [_written(part(run), run) for part in parts]
        run.text(sum(map(len, texts)), "f''")
        return "".join(texts)

    return joined


def _formatted(node: ast.FormattedValue) -> Part:
    value = _made(node.value)
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
    return ExpressionError(f"{where}: there is no {name[:200]!r}{near}", error_type="KeyError")


_MAKERS: dict[type[ast.AST], Callable[[Any], Part]] = {
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
