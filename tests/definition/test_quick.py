"""The quick way for plain expressions comes to what the sandbox comes to, wherever it comes to anything."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from victor_engine.definition import sandbox
from victor_engine.definition.expressions import FunctionRegistry, evaluate, run_assignments
from victor_engine.definition.language import parse
from victor_engine.definition.quick import LeftToTheSandboxError, quick
from victor_engine.errors import ExpressionError

F = FunctionRegistry()

NAMES = ("a", "b", "missing", "ctx", "state", "true", "null", "None", "o", "l")
LITERALS = ("0", "1", "-2", "3.5", "'x'", "''", "'k'", "True", "None", "1e308", "10**30")
BINARY = ("+", "-", "*", "/", "//", "%", "**", "<<", ">>", "&", "|", "^")
COMPARING = ("==", "!=", "<", "<=", ">", ">=", "in", "not in", "is", "is not")


def _wider(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(BINARY), inner),
        st.builds("({} {} {})".format, inner, st.sampled_from(COMPARING), inner),
        st.builds("({} < {} <= {})".format, inner, inner, inner),
        st.builds("({} {} {})".format, inner, st.sampled_from(("and", "or")), inner),
        st.builds("({}{})".format, st.sampled_from(("not ", "-", "+", "~")), inner),
        st.builds("({} if {} else {})".format, inner, inner, inner),
        st.builds("{}.{}".format, st.sampled_from(NAMES), st.sampled_from(("k", "zz", "_x"))),
        st.builds("{}[{}]".format, st.sampled_from(NAMES), inner),
    )


EXPRESSIONS = st.recursive(st.sampled_from(NAMES + LITERALS), _wider, max_leaves=6)
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5), st.floats(allow_nan=False), st.sampled_from(("", "x", "k"))
)
STATES = st.fixed_dictionaries(
    {
        "a": VALUES,
        "b": VALUES,
        "o": st.dictionaries(st.sampled_from(("k", "x")), VALUES),
        "l": st.lists(VALUES),
    }
)


def came_to(expression: str, state: dict[str, Any]) -> tuple[str, Any]:
    try:
        value = evaluate(expression, state, F)
    except ExpressionError as error:
        return "error", str(error)
    return type(value).__name__, value


@given(EXPRESSIONS, STATES)
def test_it_is_the_same_with_and_without_the_quick_way(expression: str, state: dict[str, Any]) -> None:
    quickly = came_to(expression, state)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sandbox, "quick", lambda tree: None)
        slowly = came_to(expression, state)
    assert quickly == slowly
    assert repr(quickly) == repr(slowly)


@pytest.mark.parametrize(
    "expression",
    ["n + 1", "o.k == 'v' and not flag", "o['k']", "l[0] if l else null", "1 < n <= 3", "ctx.n", "-n % 2"],
)
def test_plain_expressions_take_the_quick_way(expression: str, monkeypatch: pytest.MonkeyPatch) -> None:
    state = {"n": 2, "o": {"k": "v"}, "flag": False, "l": [4]}

    def slow(*given: Any) -> Any:
        raise AssertionError("evaluated by the sandbox")

    monkeypatch.setattr(sandbox, "first_fault", slow)
    evaluate(expression, state, F)


@pytest.mark.parametrize(
    "expression", ["len(a)", "[x for x in a]", "a.lower()", "a._x", "a.__class__", "a[1:2]"]
)
def test_what_is_not_plain_does_not(expression: str) -> None:
    assert quick(parse(expression)) is None


@pytest.mark.parametrize("value", [len, open, object(), type, __import__("os")])
def test_what_is_no_plain_data_is_left_to_the_sandbox(value: Any) -> None:
    for expression in ("a", "a == 1", "o.k", "l[0]", "a if a else a", "not a"):
        made = quick(parse(expression))
        assert made is not None
        with pytest.raises(LeftToTheSandboxError):
            made({"a": value, "o": {"k": value}, "l": [value]})


def test_limits_of_size_hold_on_the_quick_way_too() -> None:
    with pytest.raises(ExpressionError, match="bits"):
        evaluate("n * n", {"n": 2**3000}, F)
    with pytest.raises(ExpressionError, match="repetition"):
        evaluate("s * n", {"s": "x", "n": 10**9}, F)
    with pytest.raises(ExpressionError, match="does not format"):
        evaluate("s % n", {"s": "%d", "n": 1}, F)


def test_a_name_of_a_constant_gives_way_to_a_key_of_the_state() -> None:
    assert run_assignments("x = true", {}, F) == {"x": True}
    assert run_assignments("x = true", {"true": 5}, F) == {"x": 5}
    assert run_assignments("x = ctx", {"ctx": 7}, F) == {"x": 7}
