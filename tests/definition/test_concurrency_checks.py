"""The checks of the key of `concurrency`."""

from __future__ import annotations

import pytest

from victor_engine.api import ProblemInfo
from victor_engine.definition import definition_from_content
from victor_engine.definition.loader import load_text

INPUTS = "    inputs: {customer: string, region: {type: string, required: false}}\n"
FLOW = """workflows:
  w:
INPUTS    concurrency: {key: KEY, max: 1}
    nodes: [{id: a, type: transform, transform: x = 1}]
"""


def problems(key: str, inputs: str = "") -> tuple[ProblemInfo, ...]:
    return load_text(FLOW.replace("INPUTS", inputs).replace("KEY", key), "w.yaml").problems


@pytest.mark.parametrize(
    ("key", "inputs"),
    [
        ("$ctx.customer", ""),
        ("$ctx.custmer", ""),
        ("$ctx.customer", INPUTS),
        ("$ctx.customer.id", INPUTS),
        ("'$ctx.region?/$ctx.customer'", INPUTS),
    ],
)
def test_a_reference_to_the_initial_state_is_accepted(key: str, inputs: str) -> None:
    assert problems(key, inputs) == ()


def test_no_key_is_accepted() -> None:
    assert problems("''") == problems("null") == ()


def test_a_name_that_is_not_an_input_is_an_error_at_its_place() -> None:
    (found,) = problems("a/$ctx.custmer", INPUTS)
    assert (found.severity, found.line, found.column) == ("error", 4, 26)
    assert found.message == "workflow 'w': concurrency: key: 'custmer' is not an input"
    assert found.remedy == "Did you mean 'customer'?"


@pytest.mark.parametrize(
    ("key", "reference", "column"),
    [
        ("'{customer}'", "{customer}", 25),
        ("$run.nominal_time", "$run.nominal_time", 24),
        ("$secret.x", "$secret.x", 24),
        ("$ctx.customer-$inputs.region", "$inputs.region", 38),
    ],
)
def test_another_reference_is_an_error_that_names_the_form(key: str, reference: str, column: int) -> None:
    (found,) = problems(key, INPUTS)
    assert (found.severity, found.line, found.column) == ("error", 4, column)
    assert found.message == f"workflow 'w': concurrency: key: {reference} is not replaced here"
    assert "$ctx.name" in found.remedy


def test_a_key_without_a_reference_is_a_warning() -> None:
    (found,) = problems("customer")
    assert (found.severity, found.line, found.column) == ("warning", 3, 24)
    assert "'customer' has no reference, so all runs share one limit" in found.message


def test_a_stored_version_with_such_a_key_runs_on() -> None:
    content = {
        "concurrency": {"key": "{customer}"},
        "nodes": [{"id": "a", "type": "transform", "transform": "x = 1"}],
    }
    stored = definition_from_content("w", content)
    assert stored.concurrency is not None
    assert stored.concurrency.key == "{customer}"
