"""The declared inputs of a workflow: their reader, with places, and the check of an initial state."""

from __future__ import annotations

from dataclasses import replace
from textwrap import dedent
from typing import Any

import pytest

from victor_engine.definition import definition_from_content, definition_to_content
from victor_engine.definition.content import checksum
from victor_engine.definition.inputs import Inputs
from victor_engine.definition.loader import LoadResult, load_text
from victor_engine.errors import InvalidInputError

NODES = "    nodes: [{id: a, type: transform, transform: x = 1}]\n"


def loaded(inputs: str, more: str = "") -> LoadResult:
    block = "".join(f"      {line}\n" for line in dedent(inputs).strip().splitlines())
    return load_text(f"workflows:\n  w:\n    inputs:\n{block}{more}{NODES}", "w.yaml")


def inputs_of(text: str) -> Inputs:
    result = loaded(text)
    assert result.problems == ()
    inputs = result.workflows["w"].inputs
    assert inputs is not None
    return inputs


SHORT = """
customer: string
count: {type: integer, default: 3, minimum: 1, description: The number of copies}
region: {enum: [eu, us], default: eu}
note: {type: string, required: false}
"""


def test_the_short_form_is_a_json_schema() -> None:
    inputs = inputs_of(SHORT)
    assert inputs.schema == {
        "type": "object",
        "properties": {
            "customer": {"type": "string"},
            "count": {
                "type": "integer",
                "default": 3,
                "minimum": 1,
                "description": "The number of copies",
            },
            "region": {"enum": ["eu", "us"], "default": "eu"},
            "note": {"type": "string"},
        },
        "additionalProperties": False,
        "required": ["customer"],
    }
    assert inputs.required == ("customer",)
    assert inputs.accept("w", {"customer": "a"}) == {"customer": "a", "count": 3, "region": "eu"}


def test_a_json_schema_is_used_as_it_is() -> None:
    inputs = inputs_of("""
        type: object
        required: [host]
        properties:
          host: {type: string, pattern: "^db"}
          retries: {type: integer, default: 2}
    """)
    assert inputs.accept("w", {"host": "db-1", "other": 1}) == {"host": "db-1", "other": 1, "retries": 2}
    assert inputs.problems({"host": "web"}) == {"host": "does not match ^db"}


@pytest.mark.parametrize(
    ("state", "problems"),
    [
        ({}, {"customer": "is required"}),
        ({"customer": 1}, {"customer": "must be text"}),
        ({"customer": "a", "count": "x"}, {"count": "must be a whole number"}),
        ({"customer": "a", "count": 0}, {"count": "must be at least 1"}),
        ({"customer": "a", "region": "asia"}, {"region": "must be one of eu, us"}),
        (
            {"custmer": "a"},
            {"custmer": "is not an input. Did you mean 'customer'?", "customer": "is required"},
        ),
        ({"customer": "a", "_run": {}, "human": {}}, {}),
    ],
)
def test_a_state_is_checked(state: dict[str, Any], problems: dict[str, str]) -> None:
    inputs = inputs_of(SHORT)
    assert inputs.problems(state) == problems
    if problems:
        with pytest.raises(InvalidInputError) as refused:
            inputs.accept("w", state)
        assert refused.value.details["errors"] == problems
        assert "`victor run w --help` lists the inputs" in refused.value.message
    assert inputs.problems({}, later=["customer"]) == {}


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("[a]", 4, 7, "inputs: must be a mapping from names to inputs, not a list"),
        ("a: 3", 4, 10, "the input 'a' must be a type or a mapping, not 3 (a number)"),
        ("a: strng", 4, 10, "'strng' is not a type"),
        ("a: {type: strng}", 4, 17, "'strng' is not a type"),
        ("a: {type: string, defualt: x}", 4, 25, "unknown key 'defualt'"),
        ("a: {type: string, colour: x}", 4, 25, "unknown key 'colour'"),
        ("a: {type: string, required: perhaps}", 4, 35, "required must be true or false"),
        ("a: {type: string, required: true, default: x}", 4, 35, "has a default, so it is never missing"),
        ("a: {type: integer, default: x}", 4, 35, "the default must be a whole number"),
        ("a: {type: string, minLength: x}", 4, 36, "is not valid"),
        ("a: {type: string, secret: true}", 4, 25, "the input 'a' cannot be secret"),
        ("a: {type: string, writeOnly: true}", 4, 10, "the input 'a' is secret"),
        ("{type: object, properties: {a: {format: password}}}", 4, 38, "the input 'a' is secret"),
        ("_a: string", 4, 7, "the input '_a' is reserved"),
        ("human: string", 4, 7, "the input 'human' is reserved"),
        ("properties: {a: {type: string}}", 4, 7, "looks like a JSON Schema"),
        ("{type: object, properties: {a: {type: strng}}}", 4, 45, "is not valid"),
        ("{type: object, properties: {a: {type: integer, default: x}}}", 4, 63, "the default must be"),
    ],
)
def test_a_wrong_declaration_is_an_error_with_its_place(
    text: str, line: int, column: int, words: str
) -> None:
    (problem, *_) = loaded(text).problems
    assert words in problem.message
    assert (problem.severity, problem.path, problem.line, problem.column) == ("error", "w.yaml", line, column)


@pytest.mark.parametrize(
    ("schedule", "line", "words"),
    [
        ("{every: 1h}", 9, "customer is required"),
        ("{every: 1h, initial_state: {customer: 3}}", 9, "customer must be text"),
        ("{every: 1h, state: {customer: x, cuont: 3}}", 9, "cuont is not an input. Did you mean 'count'?"),
    ],
)
def test_a_schedule_block_must_give_the_inputs(schedule: str, line: int, words: str) -> None:
    (problem,) = loaded(SHORT, f"\n    schedule: {schedule}\n").problems
    assert problem.severity == "error"
    assert problem.line == line
    assert words in problem.message


@pytest.mark.parametrize(
    "schedule",
    [
        "{every: 1h, initial_state: {customer: x}}",
        "{after: {workflows: other, take: [customer]}}",
        "{every: 1h, version: ^1.0}",
    ],
)
def test_a_schedule_block_with_the_inputs_is_accepted(schedule: str) -> None:
    assert loaded(SHORT, f"    schedule: {schedule}\n").problems == ()


OUTPUTS = "pages: integer\nname: {type: string, from: report.title, required: false}"


def with_outputs(text: str) -> LoadResult:
    block = "".join(f"      {line}\n" for line in text.splitlines())
    return load_text(f"workflows:\n  w:\n    outputs:\n{block}{NODES}", "w.yaml")


def test_outputs_are_read_from_the_state() -> None:
    result = with_outputs(OUTPUTS)
    assert result.problems == ()
    workflow = result.workflows["w"]
    outputs = workflow.outputs
    assert outputs is not None
    assert outputs.read({"pages": 3, "report": {"title": "t"}, "x": 1}) == {"pages": 3, "name": "t"}
    assert outputs.error({"pages": 3}) is None
    assert str(outputs.error({"report": 1})).count("pages is required")
    assert definition_from_content("w", definition_to_content(workflow)).outputs == outputs
    built = replace(workflow, content=None)
    assert definition_from_content("w", definition_to_content(built)).outputs == outputs


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("a: {type: string, default: x}", 25, "unknown key 'default'"),
        ("a: {type: string, from: a..b}", 31, "from must be a path in the state"),
        ("a: strng", 10, "the output 'a': 'strng' is not a type"),
        ("[a]", 7, "outputs: must be a mapping from names to outputs"),
    ],
)
def test_a_wrong_output_is_an_error_with_its_place(text: str, column: int, words: str) -> None:
    (problem, *_) = with_outputs(text).problems
    assert words in problem.message
    assert (problem.severity, problem.line, problem.column) == ("error", 4, column)


def test_inputs_are_part_of_the_version() -> None:
    one, other = loaded(SHORT).workflows["w"], loaded("customer: string").workflows["w"]
    assert checksum(one.content or {}) != checksum(other.content or {})
    stored = definition_from_content("w", definition_to_content(one))
    assert stored.inputs == one.inputs


def test_inputs_that_an_earlier_release_passed_on_do_not_stop_a_stored_version() -> None:
    content = {"inputs": ["a", "b"], "nodes": [{"id": "a", "type": "transform", "transform": "x = 1"}]}
    assert definition_from_content("w", content).inputs is None


def test_a_declared_input_is_a_known_key_of_a_condition() -> None:
    nodes = (
        "    nodes:\n"
        "      - {id: a, type: condition, condition: customers == 1, branches: {true: b, default: b}}\n"
        "      - {id: b, type: transform, transform: customer = 1}\n"
    )
    head = "workflows:\n  w:\n"
    assert load_text(head + nodes).problems != ()
    assert (
        load_text(f"{head}    inputs: {{customers: {{type: integer, default: 1}}}}\n{nodes}").problems == ()
    )
