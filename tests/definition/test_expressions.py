"""The expression language: its values, its limits, and that no expression leaves the sandbox."""

from __future__ import annotations

import time
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from victor_engine.definition.expressions.expression import (
    FunctionRegistry,
    check_assignments,
    check_expression,
    evaluate,
    evaluate_condition,
    names_read,
    run_assignments,
)
from victor_engine.errors import ExpressionError

F = FunctionRegistry()
STATE: dict[str, Any] = {
    "a": {"b": 3, "items": [1, 2]},
    "docs": [{"content": "xy"}, {"content": "z"}],
    "n": 2,
    "target_env": "staging",
    "flag": True,
    "text": "Hello",
}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("n + 1", 3),
        ("a.b * 2", 6),
        ("a['b']", 3),
        ("a.get('zz', 7)", 7),
        ("flag and target_env == 'staging'", True),
        ("sum(len(doc.content) for doc in docs)", 3),
        ("[d.content for d in docs if len(d.content) > 1]", ["xy"]),
        ("'yes' if n > 1 else 'no'", "yes"),
        ("n in [1, 2]", True),
        ("text.lower()", "hello"),
        ("f'{text} {n:03d}'", "Hello 002"),
        ("merge(a, {'c': 1})", {"b": 3, "items": [1, 2], "c": 1}),
        ("not flag or null is None", True),
        ("ctx.n", 2),
        ("{x: 1 for x in ['p']}", {"p": 1}),
        ("(1, 2)", [1, 2]),
    ],
)
def test_values(expression: str, value: Any) -> None:
    assert evaluate(expression, STATE, F) == value
    assert check_expression(expression, F) == []


@pytest.mark.parametrize(
    "hostile",
    [
        "__import__('os')", "open('/etc/passwd')", "a.__class__", "().__class__.__bases__", "text.format(1)",
        "''.join.__self__", "lambda: 1", "(x := 1)", "[x for x in range(10**9)]", "9**9**9", "2**4000000",
        "'a' * 10**9", "[0] * 10**9", "'%999999999d' % 1", "f'{1:>999999999}'", "f'{1:{n}}'", "text.zfill(10**9)",
        "text.replace('', 'x' * 200000).replace('x', 'y' * 200000)", "getattr(a, 'b')", "eval('1')",
        "[[[k for k in range(1000)] for j in range(1000)] for i in range(1000)]", "10**4000 * 10**4000", "yield 1",
    ],
)  # fmt: skip
def test_no_expression_leaves_the_sandbox_or_exceeds_its_limits(hostile: str) -> None:
    started = time.perf_counter()
    with pytest.raises(ExpressionError):
        evaluate(hostile, STATE, F)
    assert time.perf_counter() - started < 20


@pytest.mark.parametrize("joined", ["text * 2000", "{f'{x}': 1 for x in range(2000)}", "[text] * 2000"])
def test_a_join_that_is_too_long_is_refused_before_the_work(joined: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ExpressionError, match="join makes a text of"):
            evaluate(f"(text * 2000).join({joined})", STATE, F)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_assignments_in_order_over_several_lines() -> None:
    found = run_assignments(
        """
        status = "ok"
        x = a.b + n
        n += 1
        outputs = {
          "first": a.b,
          "names": [d.content for d in docs]
        }
        deep.er = true
        a.c = null
        """,
        STATE,
        F,
    )
    assert found == {
        "status": "ok", "x": 5, "n": 3, "outputs": {"first": 3, "names": ["xy", "z"]}, "deep": {"er": True},
        "a": {"b": 3, "items": [1, 2], "c": None},
    }  # fmt: skip
    assert STATE["a"] == {"b": 3, "items": [1, 2]}, "the state itself is not touched"


def test_a_statement_that_is_not_an_assignment_has_its_place() -> None:
    problems = check_assignments("x = []\nfor c in x:\n  y = 1\nz = foo(1)\n", F)
    assert [(f.line, f.column) for f in problems] == [(2, 1), (4, 5)]
    assert "a loop (for)" in problems[0].message
    assert "unknown function 'foo'" in problems[1].message
    with pytest.raises(ExpressionError, match="a loop"):
        run_assignments("for c in x:\n  y = 1", STATE, F)


def test_a_condition_is_a_function_a_key_or_an_expression() -> None:
    functions = FunctionRegistry()
    functions.register("all_good", lambda state: state["n"] == 2)
    assert evaluate_condition("all_good", STATE, functions) is True
    assert evaluate_condition("a.items[1]", STATE, F) == 2
    assert evaluate_condition(" n > 1 ", STATE, F) is True
    with pytest.raises(ExpressionError, match=r"the state has no 'flagg'.*did you mean 'flag'") as caught:
        evaluate_condition("flagg", STATE, F)
    assert caught.value.error_type == "KeyError"
    assert names_read("a.b > limit and len(xs)") == {"a", "limit", "xs"}


@given(st.text(max_size=60))
def test_any_text_is_a_value_or_a_typed_error(text: str) -> None:
    try:
        evaluate(text, {"a": 1, "b": [1, 2], "c": {"d": "e"}}, F)
    except ExpressionError:
        pass


def test_the_functions_of_a_cached_tree_are_checked_at_each_evaluation() -> None:
    has, lacks = FunctionRegistry(), FunctionRegistry()
    has.register("twice", lambda value: value * 2)
    for _ in range(2):
        assert evaluate("twice(x)", {"x": 2}, has) == 4
        with pytest.raises(ExpressionError, match="unknown function 'twice'"):
            evaluate("twice(x)", {"x": 2}, lacks)


def test_a_text_that_is_run_again_starts_from_the_given_state() -> None:
    text = "x += 1\ny = [item * x for item in items]"
    for x in (1, 5):
        assert run_assignments(text, {"x": x, "items": [1, 2]}, FunctionRegistry()) == {
            "x": x + 1,
            "y": [x + 1, 2 * (x + 1)],
        }
