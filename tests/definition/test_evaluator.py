"""The evaluator charges before it works, so no expression blocks the event loop."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from victor_engine.definition.expressions.budget import LOCAL, NeedsWorkerError
from victor_engine.definition.expressions.expression import FunctionRegistry, evaluate, run_assignments
from victor_engine.errors import ExpressionError, ExpressionLimitError

F = FunctionRegistry()
STATE: dict[str, Any] = {
    "n": 3,
    "many": list(range(300_000)),
    "text": "a b " * 150_000,
    "long": 10**1200,
    "object": {f"key {i}": "v" * 50 for i in range(100_000)},
    "k" * 100_000: 1,
    "nest": [[[i] for i in range(300)] for _ in range(300)],
}

NAMES = (*(name for name in STATE if name.isidentifier() and len(name) < 20), "missing", "ctx")
LITERALS = (
    "0",
    "-2",
    "3.5",
    "'a'",
    "''",
    "'ab' * 1000",
    "10**1000",
    "[1, 2]",
    "(1, 'b')",
    "{}",
    "None",
    "-10**9",
)
FUNCTIONS = tuple(sorted(F.names - {"now", "current_timestamp"}))
METHODS = (
    "lower",
    "title",
    "strip",
    "split",
    "rsplit",
    "join",
    "replace",
    "count",
    "zfill",
    "get",
    "items",
    "index",
)


def _wider(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operators = ("+", "-", "*", "/", "//", "%", "**", "==", "<", "in", "is", "and", "or")
    return st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(operators), inner),
        st.builds("{}({})".format, st.sampled_from(FUNCTIONS), inner),
        st.builds("{}({}, {})".format, st.sampled_from(FUNCTIONS), inner, inner),
        st.builds("({}).{}({})".format, inner, st.sampled_from(METHODS), inner),
        st.builds("({}).{}({}, {})".format, inner, st.sampled_from(METHODS), inner, inner),
        st.builds("({})[{}]".format, inner, inner),
        st.builds("({})[{}:]".format, inner, inner),
        st.builds("[{} for x in {}]".format, inner, inner),
        st.builds("{{{}: {} for x in {}}}".format, inner, inner, inner),
        st.builds("f'{{{}}}'".format, st.sampled_from(NAMES)),
        st.builds("[{}] * 50000".format, inner),
    )


EXPRESSIONS = st.recursive(st.sampled_from(NAMES + LITERALS), _wider, max_leaves=6)


@given(EXPRESSIONS)
def test_an_evaluation_within_the_limits_of_the_loop_is_short(expression: str) -> None:
    started = time.thread_time()
    try:
        evaluate(expression, STATE, F, LOCAL)
    except (ExpressionError, NeedsWorkerError):
        pass
    assert time.thread_time() - started < 0.25, expression


@pytest.mark.parametrize(
    "expression",
    ["round(7, -10**9)", "[0] * 10**9", "'x' * 10**9", "2**10**9", "range(10**12)", "''.zfill(10**9)"],
)
def test_an_expression_that_is_too_large_for_any_process_is_refused_at_once(expression: str) -> None:
    with pytest.raises(ExpressionLimitError, match="make it smaller") as caught:
        evaluate(expression, {}, F, LOCAL)
    assert caught.value.error_type == "ExpressionLimitError"


@pytest.mark.parametrize("expression", ["'\\ud800'", "{'\\ud800': 1}", "[1e308 * 10]", "float('nan')"])
def test_results_that_json_cannot_represent_are_typed_errors(expression: str) -> None:
    with pytest.raises(ExpressionError, match="JSON cannot represent") as caught:
        evaluate(expression, {}, F)
    assert caught.value.error_type == "ResultNotJSON"


@pytest.mark.parametrize("value", [object(), len, type, __import__("os")])
def test_values_that_are_not_plain_data_are_refused(value: Any) -> None:
    for expression in ("a", "a == 1", "o.k", "l[0]", "a if a else a", "not a", "[x for x in l]"):
        with pytest.raises(ExpressionError, match="expressions accept numbers"):
            evaluate(expression, {"a": value, "o": {"k": value}, "l": [value]}, F)


def test_statements_share_a_budget() -> None:
    statement = "a = [i for i in range(150000)]\n"
    with pytest.raises(ExpressionLimitError, match=r"line \d+: .*more than"):
        run_assignments(statement * 60, {}, F)


def test_a_key_of_the_state_hides_a_constant_of_the_same_name() -> None:
    assert run_assignments("x = true", {}, F) == {"x": True}
    assert run_assignments("x = true", {"true": 5}, F) == {"x": 5}
    assert run_assignments("x = ctx", {"ctx": 7}, F) == {"x": 7}


def test_a_set_has_the_same_order_in_every_process() -> None:
    assert evaluate("set(['c', 'a', 'b'])", {}, F) == ["a", "b", "c"]
