"""The declared inputs of a workflow on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_cli import Capture, Victor
from tests.engine.support import workspace
from victor_engine.definition.inputs import read_value

FILES = {
    "victor.yaml": "{}\n",
    "workflows/w.yaml": """
workflows:
  w:
    version: 1.0.0
    inputs:
      customer: string
      count: {type: integer, default: 3, description: The number of copies}
      region: {enum: [eu, us], default: eu}
    nodes: [{id: a, type: transform, transform: "doubled = count * 2"}]
  free:
    nodes: [{id: a, type: transform, transform: "b = n"}]
""",
}


@pytest.fixture
def victor(tmp_path: Path, capsys: Capture) -> Victor:
    return Victor(workspace(tmp_path, FILES), capsys)


def test_a_run_starts_with_inputs(victor: Victor) -> None:
    assert victor("run", "w", "-i", "customer=42", "--input", "count=5", "--json") == 0
    run = json.loads(victor.out)["id"]
    assert victor("runs", "show", run, "--json") == 0
    assert json.loads(victor.out)["state"] == {"customer": "42", "count": 5, "region": "eu", "doubled": 10}
    assert victor("run", "w", "--state", '{"customer": "a"}', "-i", "region=us", "--dry-run") == 0
    assert '"region": "us"' in victor.out
    assert victor("run", "free", "-i", "n=7", "--dry-run") == 0
    assert '"b": 7' in victor.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "customer is required"),
        (["-i", "customer=a", "-i", "count=many"], "count must be a whole number"),
        (["-i", "custmer=a"], "custmer is not an input. Did you mean 'customer'?"),
        (["-i", "customer"], "--input 'customer' is not NAME=VALUE"),
        (["-i", "customer=a", "-i", "customer=b"], "the input 'customer' is given twice"),
        (["-i", "customer=a", "--state", '{"customer": "b"}'], "the input 'customer' is given twice"),
    ],
)
def test_inputs_that_do_not_match_start_no_run(victor: Victor, words: list[str], message: str) -> None:
    assert victor("run", "w", *words) == 2
    assert message in victor.err
    assert victor("runs", "list", "--json") == 0
    assert json.loads(victor.out) == []
    assert victor("run", "w", "--dry-run", *words) == 2
    assert message in victor.err


def test_the_help_lists_the_inputs_with_and_without_a_store(victor: Victor) -> None:
    for _ in range(2):
        assert victor("run", "w", "--help") == 0
        lines = [" ".join(line.split()) for line in victor.out.splitlines()]
        assert lines[lines.index("Inputs of w:") + 1 :] == [
            "customer text, required",
            "count a whole number, default 3. The number of copies",
            "region one of eu, us, default eu",
        ]
        assert victor("run", "free", "-h") == 0
        assert "declares no inputs and accepts any state" in victor.out
        assert victor("run", "free", "-i", "n=1") == 0
    assert victor("run", "gone", "-h") == 0
    assert "no workflow gone" in " ".join(victor.out.split())
    assert victor("run", "--help") == 0
    assert "Inputs of" not in victor.out


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        ({"type": "string"}, "1", "1"),
        ({"enum": ["1", "2"]}, "1", "1"),
        ({"type": "integer"}, "1", 1),
        ({"type": "integer"}, "x", "x"),
        ({"type": ["string", "null"]}, "null", None),
        ({"type": "array"}, "[1]", [1]),
        ({}, '{"a": 1}', {"a": 1}),
        (None, "true", True),
        (None, "NaN", "NaN"),
        (None, "a b", "a b"),
    ],
)
def test_the_value_of_an_input_is_text_or_json(schema: Any, text: str, value: Any) -> None:
    assert read_value(schema, text) == value


CHILD = """
workflows:
  w:
    version: 1.0.0
    inputs: {customer: string, count: {type: integer, default: 3}}
    nodes: [{id: a, type: transform, transform: "doubled = count * 2"}]
"""
PARENT = """
workflows:
  parent:
    nodes:
      - {{id: go, type: workflow, workflow: w, {keys}}}
"""


@pytest.mark.parametrize(
    ("keys", "column", "words"),
    [
        ("inputs: {count: 3}", 55, "w: customer is required"),
        ("inputs: {customer: a, count: many}", 76, "w: count must be a whole number"),
        ("inputs: {custmer: $ctx.x, customer: a}", 65, "w: custmer is not an input"),
        ("input_mapping: {cust: x, customer: y}", 69, "w: cust is not an input"),
        ("wait: false", 9, "w: customer is required"),
        ("inputs: {customer: $ctx.x, count: $ctx.y}", 0, ""),
        ("input_mapping: [customer]", 0, ""),
        ("version: ^1.0", 0, ""),
    ],
)
def test_the_inputs_of_a_child_are_checked_in_the_file(
    tmp_path: Path, capsys: Capture, keys: str, column: int, words: str
) -> None:
    files = {"victor.yaml": "{}\n", "workflows/c.yaml": CHILD, "workflows/p.yaml": PARENT.format(keys=keys)}
    victor = Victor(workspace(tmp_path, files), capsys)
    code = victor("validate", str(victor.root))
    said = victor.out + victor.err
    if not words:
        assert code == 0, said
        return
    assert code == 3, said
    (line,) = [line for line in said.splitlines() if words in line]
    assert f"p.yaml:5:{column}: error: node 'go': {words}" in line


def test_the_state_of_a_schedule_with_a_version_is_checked_against_that_version(
    tmp_path: Path, capsys: Capture
) -> None:
    schedule = "    schedule: {every: 1h, version: ^1.0, initial_state: {count: 1}}\n"
    newer = CHILD.replace("1.0.0", "2.0.0").replace("customer: string, ", "") + schedule
    files = {"victor.yaml": "{}\n", "workflows/one.yaml": CHILD, "workflows/two.yaml": newer}
    victor = Victor(workspace(tmp_path, files), capsys)
    assert victor("validate", str(victor.root)) == 3
    said = victor.out + victor.err
    assert "two.yaml:7:42: error" in said
    assert "schedule.initial_state: customer is required in version 1.0.0" in said
    (victor.root / "workflows/two.yaml").write_text(newer.replace("{count: 1}", "{customer: a}"))
    assert victor("validate", str(victor.root)) == 0
