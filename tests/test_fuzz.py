"""The fuzzers of `make proof` find nothing in a few inputs, and find a seeded error."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from tests import fuzz
from victor_engine.definition import json_schema
from victor_engine.durations import parse_duration
from victor_tui.filter_language import FilterError, parse_filter
from victor_tui.inbox.filter_language import parse_inbox_filter


@pytest.mark.parametrize("target", fuzz.TARGETS)
def test_a_few_inputs_have_no_finding(target: str) -> None:
    for seed in range(60):
        assert fuzz.problem(target, seed) is None


def test_an_exception_and_a_slow_input_are_findings(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(given: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setitem(fuzz.TARGETS, "filters", (fuzz.filters, fail, 1.0))
    assert "ZeroDivisionError" in (fuzz.problem("filters", 1) or "")
    monkeypatch.setitem(fuzz.TARGETS, "filters", (fuzz.filters, lambda given: None, -1.0))
    assert "takes" in (fuzz.problem("filters", 1) or "")


def test_an_expression_writes_no_warning_to_the_output_of_the_engine() -> None:
    code = (
        "from victor_engine.definition.expressions.expression import FunctionRegistry, evaluate\n"
        "try:\n    evaluate('1if a else \"\\\\d\"', {'a': 1}, FunctionRegistry())\n"
        "except Exception as error:\n    print(type(error).__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({"$dynamicRef": "nowhere"}, "refers to 'nowhere' at $dynamicRef, which it does not define"),
        (
            {"not": {"unevaluatedItems": {"$ref": "#/$defs/a"}}},
            "refers to '#/$defs/a' at not.unevaluatedItems.$ref",
        ),
        ({"unevaluatedProperties": {"pattern": "["}}, "is not valid at unevaluatedProperties.pattern"),
    ],
)
def test_a_reference_to_nothing_is_refused_wherever_it_stands(
    schema: dict[str, object], problem: str
) -> None:
    assert problem in (json_schema.check_schema(schema) or "")
    assert "cannot be checked" in json_schema.validate(schema, [1])[""]


def test_a_value_has_a_limited_number_of_problems() -> None:
    wanted = {"items": {"type": "string"}}
    assert len(json_schema.validate(wanted, [1] * 100_000)) == json_schema.PROBLEMS


@pytest.mark.parametrize("parse", [parse_filter, parse_inbox_filter])
def test_a_long_filter_is_refused_at_once(parse: Callable[..., object]) -> None:
    with pytest.raises(FilterError, match="at most 1000 characters"):
        parse("took:>" + "9" * 10_000, fuzz.NOW)


def test_a_long_duration_is_refused_at_once() -> None:
    assert parse_duration("9" * 10_000) is None
    assert parse_duration("1h30m") == 5400
