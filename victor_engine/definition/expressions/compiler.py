"""The compiler of expressions: each kind of node becomes a function of an evaluation."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from victor_engine.definition.expressions.budget import (
    ITEM,
    MAX_ITEMS,
    MAX_TEXT,
    PLAIN,
    VALUE_TYPES,
    Evaluation,
    plain,
)
from victor_engine.definition.expressions.functions import Builtin, text_method
from victor_engine.definition.expressions.json_results import written
from victor_engine.definition.expressions.language import (
    LIST_METHODS,
    MAPPING_METHODS,
    STRING_METHODS,
)
from victor_engine.definition.expressions.leaves import (
    Part,
    constant_part,
    count_steps,
    kind,
    missing,
    name_part,
)
from victor_engine.definition.expressions.operators import OPERATORS, UNARY
from victor_engine.errors import ExpressionError, ExpressionLimitError


def compile_part(node: ast.AST) -> Part:
    """Return the function that evaluates a node. Raise ExpressionError for a node outside the language."""
    compiler = _COMPILERS.get(type(node))
    if compiler is None:
        raise ExpressionError(f"{type(node).__name__} is not part of the expression language")
    part: Part = compiler(node)
    return part


def _attribute(node: ast.Attribute) -> Part:
    owner, name = compile_part(node.value), node.attr

    def attribute(run: Evaluation) -> Any:
        found = owner(run)
        if isinstance(found, dict):
            if name in found:
                value = found[name]
                return value if type(value) in VALUE_TYPES else plain(value, name)
            raise missing(name, found, ast.unparse(node.value))
        raise ExpressionError(
            f"{ast.unparse(node.value)} is {kind(found)} and has no key {name!r}", error_type="KeyError"
        )

    return attribute


def _subscript(node: ast.Subscript) -> Part:
    owner, place = compile_part(node.value), compile_part(node.slice)

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
        None if part is None else compile_part(part) for part in (node.lower, node.upper, node.step)
    )
    return lambda run: slice(
        None if lower is None else lower(run),
        None if upper is None else upper(run),
        None if step is None else step(run),
    )


def _binary(node: ast.BinOp) -> Part:
    operator, left, right = OPERATORS[type(node.op)], compile_part(node.left), compile_part(node.right)
    return lambda run: operator(run, left(run), right(run))


def _unary(node: ast.UnaryOp) -> Part:
    operator, operand = UNARY[type(node.op)], compile_part(node.operand)
    return lambda run: operator(operand(run))


def _boolean(node: ast.BoolOp) -> Part:
    parts, ends_on = [compile_part(part) for part in node.values], isinstance(node.op, ast.Or)

    def boolean(run: Evaluation) -> Any:
        value: Any = False
        for part in parts:
            value = part(run)
            if bool(value) is ends_on:
                break
        return value

    return boolean


def _compare(node: ast.Compare) -> Part:
    first = compile_part(node.left)
    rest = [
        (OPERATORS[type(op)], compile_part(part)) for op, part in zip(node.ops, node.comparators, strict=True)
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
    test, body, otherwise = compile_part(node.test), compile_part(node.body), compile_part(node.orelse)
    return lambda run: body(run) if test(run) else otherwise(run)


def _display(node: ast.List | ast.Tuple | ast.Set) -> Part:
    parts = [compile_part(part) for part in node.elts]
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
        (None if key is None else compile_part(key), compile_part(value))
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
        (
            _target(part.target),
            compile_part(part.iter),
            [compile_part(test) for test in part.ifs],
            _loop_steps(part),
        )
        for part in node.generators
    ]
    key = compile_part(node.key) if isinstance(node, ast.DictComp) else None
    element = node.value if isinstance(node, ast.DictComp) else node.elt
    value = compile_part(element)
    own = count_steps(element) + (count_steps(node.key) if isinstance(node, ast.DictComp) else 0) + 1

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
    return 2 + count_steps(part.iter) + sum(map(count_steps, part.ifs))


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
    arguments = [compile_part(argument) for argument in node.args]
    named = [(keyword.arg, compile_part(keyword.value)) for keyword in node.keywords]
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
    owner, name = compile_part(node.value), node.attr

    def method(run: Evaluation) -> Any:
        found = owner(run)
        if isinstance(found, str):
            allowed = STRING_METHODS
        elif isinstance(found, dict):
            allowed = MAPPING_METHODS
        else:
            allowed = LIST_METHODS if isinstance(found, list | tuple) else frozenset()
        if name not in allowed:
            raise ExpressionError(f"{kind(found)} has no method {name!r}", error_type="AttributeError")
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
    parts = [compile_part(part) for part in node.values]

    def joined(run: Evaluation) -> str:
        texts = [written(part(run), run) for part in parts]
        run.text(sum(map(len, texts)), "f''")
        return "".join(texts)

    return joined


def _formatted(node: ast.FormattedValue) -> Part:
    value = compile_part(node.value)
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


_COMPILERS: dict[type[ast.AST], Callable[[Any], Part]] = {
    ast.Constant: constant_part,
    ast.Name: name_part,
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
