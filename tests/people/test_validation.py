"""Schemas: errors worded for the person who typed, and invalid schemas found before a request opens."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from victor_engine.definition.model import HITLNode
from victor_engine.errors import NodeError
from victor_engine.people.questions import build_ask
from victor_engine.people.validation import check_schema, validate

BROKEN = [
    ({"type": "strin"}, "at type"),
    ({"properties": {"a": {"minimum": "x"}}}, "properties.a.minimum"),
    ({"properties": {"a": {"$ref": "#/$defs/gone"}}}, "'#/$defs/gone' at properties.a."),
    ({"items": {"$ref": "http://192.0.2.1/schema.json"}}, "which it does not define"),
    ({"type": "string", "pattern": "("}, "'('"),
]


@pytest.mark.parametrize(("schema", "words"), BROKEN)
def test_a_broken_schema_is_named_with_its_place(schema: dict[str, object], words: str) -> None:
    fault = check_schema(schema)
    assert fault is not None
    assert words in fault
    assert words in validate(schema, {"a": 1})[""]


@pytest.mark.parametrize(("schema", "words"), BROKEN)
def test_nobody_is_asked_what_nobody_could_answer(schema: dict[str, object], words: str) -> None:
    node = HITLNode(id="gate", hitl_type="input", input_schema=schema)
    with pytest.raises(NodeError) as caught:
        build_ask(node, {}, "alice", datetime(2026, 1, 1, tzinfo=UTC))
    assert caught.value.message.startswith("gate: input_schema")
    assert caught.value.retryable is False


def test_an_unknown_reject_policy_is_named() -> None:
    node = HITLNode(id="gate", reject_policy="sometimes")
    with pytest.raises(NodeError, match="'sometimes'"):
        build_ask(node, {}, "alice", datetime(2026, 1, 1, tzinfo=UTC))


def test_local_references_and_values_that_look_like_them_are_fine() -> None:
    schema = {
        "$defs": {"port": {"type": "integer", "maximum": 65535}},
        "properties": {"port": {"$ref": "#/$defs/port"}},
        "additionalProperties": False,
        "default": {"$ref": "just a value"},
    }
    assert check_schema(schema) is None
    assert validate(schema, {"port": 80}) == {}
    assert validate(schema, {"port": 70000}) == {"port": "must be at most 65535"}


def test_a_schema_that_is_no_mapping() -> None:
    assert check_schema(["a"]) == "must be a mapping, not list"


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("date", "2026-02-28", "2026-02-30"),
        ("date-time", "2026-03-31T14:30:00Z", "2026-03-31T14:30:00"),
        ("time", "14:30", "25:00"),
        ("email", "a@example.org", "a@example"),
        ("uri", "https://example.org/x", "example org"),
        ("duration", "P1DT2H", "P"),
        ("duration", "PT0.5S", "P1DT"),
    ],
)
def test_formats_are_checked(name: str, good: str, bad: str) -> None:
    schema = {"type": "string", "format": name}
    assert validate(schema, good) == {}
    assert list(validate(schema, bad)) == [""]


def test_each_fault_has_its_own_path() -> None:
    schema = {
        "type": "object",
        "required": ["name", "hosts"],
        "properties": {
            "name": {"type": "string", "minLength": 1},
            "hosts": {"type": "array", "items": {"type": "object", "required": ["ip"]}},
        },
    }
    assert validate(schema, {"name": "", "hosts": [{"ip": 1}, {}]}) == {
        "name": "is required",
        "hosts.1.ip": "is required",
    }
    assert validate(schema, {}) == {"name": "is required", "hosts": "is required"}


SLOW = "((a{1,1000}){1,1000}){1,1000}$"
"""A pattern that backtracks."""


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string", "pattern": SLOW}, "a" * 3000 + "b"),
        ({"not": {"type": "string", "pattern": SLOW}}, "a" * 3000 + "b"),
        ({"patternProperties": {SLOW: True}, "additionalProperties": False}, {"a" * 3000 + "b": 1}),
        ({"additionalProperties": False, "patternProperties": {SLOW: True}}, {"a" * 3000 + "b": 1}),
        ({"propertyNames": {"pattern": SLOW}}, {"a" * 3000 + "b": 1}),
        ({"items": {"pattern": SLOW}}, ["a" * 3000 + "b"] * 1000),
    ],
)
def test_a_pattern_that_backtracks_is_refused_in_time(schema: dict[str, object], value: object) -> None:
    began = time.process_time()
    assert "takes too long on this text" in validate(schema, value)[""]
    assert time.process_time() - began < 5


def test_a_usual_pattern_has_time_for_many_texts() -> None:
    schema = {"items": {"pattern": r"^([a-z0-9]+(-[a-z0-9]+)*\.)+[a-z]{2,}$"}}
    assert validate(schema, [f"host-{number}.example.org" for number in range(2000)]) == {}
    assert validate(schema, ["host"]) == {"0": r"does not match ^([a-z0-9]+(-[a-z0-9]+)*\.)+[a-z]{2,}$"}


def test_names_of_members_match_patterns_as_before() -> None:
    schema = {
        "properties": {"a": {"type": "integer"}},
        "patternProperties": {"^x-": {"type": "string"}},
        "additionalProperties": {"type": "boolean"},
    }
    assert validate(schema, {"a": 1, "x-b": "c", "d": True}) == {}
    assert validate(schema, {"x-b": 1, "d": 2}) == {"x-b": "must be text", "d": "must be yes or no"}
    assert validate({"additionalProperties": False}, {"d": 2}) == {"": "must not have 'd'"}


def test_patterns_that_the_library_would_match_without_a_limit_are_refused() -> None:
    schema = {"allOf": [{"patternProperties": {"^x": True}}], "unevaluatedProperties": False}
    assert "unevaluatedProperties with patternProperties" in (check_schema(schema) or "")


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, 1, {"": "matches none of the 2 variants"}),
        ({"oneOf": [{"type": "integer"}, {"minimum": 1}]}, 1, {"": "matches more than one variant"}),
        ({"dependentRequired": {"a": ["b"]}}, {"a": 1}, {"b": "is required with a"}),
        ({"minProperties": 2}, {"a": 1}, {"": "must have at least 2 members"}),
        ({"enum": list(range(40))}, 41, {"": f"must be one of {', '.join(map(str, range(30)))} and 10 more"}),
        ({"not": {"required": ["a"]}}, {"a": 1}, {"": 'must not match {"required":["a"]}'}),
    ],
)
def test_rules_of_whole_values_are_worded(
    schema: dict[str, object], value: object, expected: dict[str, str]
) -> None:
    assert validate(schema, value) == expected
