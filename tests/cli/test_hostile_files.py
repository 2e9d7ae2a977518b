"""Files with hostile content: each is one error with its location, and other files are still loaded."""

from __future__ import annotations

import json
import os
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tests.cli.test_cli import Capture, Victor
from tests.engine.support import workspace

GOOD = """
    workflows:
      good:
        nodes:
          - {id: a, type: transform, transform: x = 1}
    """

FIRST = "workflows:\n  bad:\n    nodes:\n"


def node(text: str) -> str:
    return f"{FIRST}      - {{id: a, type: transform, transform: {text}}}\n"


def refers(reference: str) -> str:
    return f"{FIRST}      - {{id: a, $ref: {json.dumps(reference)}}}\n"


def halves(levels: int, first: str, line: str) -> str:
    """Return lines of which each refers twice to the previous one."""
    return first + "".join(line.format(n=n, m=n - 1) for n in range(1, levels))


HOSTILE = {
    "lists in lists": ("a: " + "[" * 3000 + "]" * 3000, "w.yaml:1:", "levels deep"),
    "an unclosed list": ("[" * 200_000, "w.yaml:1:", "levels deep"),
    "blocks in blocks": ("\n".join("  " * n + "a:" for n in range(800)), "w.yaml:60:", "levels deep"),
    "mappings in mappings": ("{a: " * 3000, "w.yaml:1:", "levels deep"),
    "an alias that holds itself": ("a: &a [*a]", "w.yaml:1:", "levels deep"),
    "aliases that multiply": (
        halves(40, "- &a0 [x, x]\n", "- &a{n} [*a{m}, *a{m}]\n"), "w.yaml:", "more than 200000 values",
    ),
    "merges that multiply": (
        halves(40, "- &a0 {x: 1}\n", "- &a{n} {{<<: [*a{m}, *a{m}]}}\n"), "w.yaml:", "given twice",
    ),
    "merges in one mapping that multiply": (
        halves(40, "a:\n- &a0 {x: 1}\n", "- &a{n} {{<<: [*a{m}, *a{m}]}}\n") + "<<: *a39\n",
        "w.yaml:", "more than 200000 values",
    ),
    "merges in a row": (
        halves(3000, "a:\n- &a0 {x: 1}\n", "- &a{n} {{<<: *a{m}}}\n") + "<<: *a2999\n", "w.yaml:", "levels deep",
    ),
    "a very long number": (f"a: {'9' * 5000}", "w.yaml:1:4", "more than 400 characters"),
    "a very long sexagesimal number": (f"a: 1{':0' * 200_000}", "w.yaml:1:4", "more than 400 characters"),
    "a tag that does not match its value": ('a: !!int ""', "w.yaml:1:4", "not a valid value"),
    "a tag of a date on other text": ("a: !!timestamp soon", "w.yaml:1:4", "not a valid value"),
    "a schema that refers to itself": (
        f"{FIRST}      - {{id: a, type: hitl, hitl_type: input, input_schema: {{$ref: '#'}}, timeout: 1h}}\n",
        "w.yaml:4:", "refers to itself without end",
    ),
    "a large file": ("# " + "x" * 3_000_000, "w.yaml:1:1", "larger than 2 MB"),
    "a reference to a device": (refers("/dev/zero#x"), "w.yaml:4:", "is outside"),
    "a reference out of the workspace": (refers("../../outside.yaml#x"), "w.yaml:4:", "is outside"),
    "a reference through a link": (refers("link.yaml#x"), "w.yaml:4:", "is outside"),
    "a reference through a link to a directory": (refers("up/outside.yaml#x"), "w.yaml:4:", "is outside"),
    "a reference to a pipe": (refers("pipe.txt#x"), "w.yaml:4:", "a named pipe, not a regular file"),
    "a reference to a directory": (refers(".#x"), "w.yaml:4:", "a directory, not a regular file"),
    "a reference to a large file": (refers("large.txt#x"), "w.yaml:4:", "larger than 2 MB"),
    "a reference that is not a file name": (refers("a\0b#x"), "w.yaml:4:", "not a file name"),
    "a reference to a deep file": (refers("deep.txt#x"), "w.yaml:4:", "deep.txt:1:"),
    "a reference in a cycle of links": (refers("loop.yaml#x"), "w.yaml:4:", "cannot be read"),
}  # fmt: skip


TRANSFORMS = {
    "many nots": (f"x = {'not ' * 5000}y", "nested more than 100 levels"),
    "many signs": (f"x = {'-' * 5000}1", "nested more than 100 levels"),
    "a long sum": (f"x = 1{' + 1' * 1000}", "nested more than 100 levels"),
    "many attributes": (f"x = y{'.a' * 1000} + 1", "nested more than 100 levels"),
    "many brackets": (f"x = {'(' * 5000}", "parenthes"),
    "many conditional expressions": (f"x = {'1 if y else ' * 600}1", "nested more than 100 levels"),
    "a long transform": (f"x = 1{' ' * 200_000}; y = 1", "longer than 100000 characters"),
    "a null byte": ("x = \0", "null byte"),
}
CONDITIONS = {
    "many nots": (f"{'not ' * 2000}x", "nested more than 100 levels"),
    "a long condition": (f"{'not ' * 5000}x", "longer than 10000 characters"),
}


@pytest.fixture
def victor(tmp_path: Path, capsys: Capture) -> Victor:
    files = {"victor.yaml": "", "workflows/good.yaml": GOOD, "workflows/deep.txt": "[" * 3000}
    root = workspace(tmp_path, files)
    here = root / "workflows"
    (tmp_path / "outside.yaml").write_text("nodes: [{id: x, type: transform, transform: x = 1}]")
    (here / "link.yaml").symlink_to(tmp_path / "outside.yaml")
    (here / "up").symlink_to(tmp_path)
    (here / "loop.yaml").symlink_to("loop.yaml")
    os.mkfifo(here / "pipe.txt")
    with (here / "large.txt").open("wb") as file:
        file.truncate(1 << 40)
    return Victor(root, capsys)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_one_problem_and_the_others_are_loaded(victor: Victor, name: str) -> None:
    text, place, message = HOSTILE[name]
    (victor.root / "workflows" / "w.yaml").write_text(text)
    path = victor.root / "workflows"
    assert victor("validate", str(path / "good.yaml"), str(path / "w.yaml")) == 3
    errors = [line for line in victor.out.splitlines() if ": error: " in line]
    assert len(errors) == 1
    assert f"workflows/{place}" in errors[0]
    assert message in errors[0]
    assert len(errors[0]) < 1000
    assert victor("scheduler", "add", "good", "--cron", "@daily") == 0, victor.err
    assert victor("scheduler", "add", "bad", "--cron", "@daily") == 4


def hostile_expression(victor: Victor, nodes: list[dict[str, Any]], message: str) -> None:
    """Check one error with its location, a run that fails with an error type, and another workflow."""
    path = victor.root / "workflows" / "w.yaml"
    path.write_text(FIRST + "".join(f"      - {json.dumps(node)}\n" for node in nodes))
    assert victor("validate", "--strict", str(path)) == 3
    errors = [line for line in victor.out.splitlines() if ": error: " in line]
    assert len(errors) == 1
    assert "workflows/w.yaml:4:" in errors[0]
    assert message in errors[0]
    assert victor("run", "bad", "--state", '{"x": 1, "y": 1}') != 0
    assert "ExpressionError" in victor.out + victor.err
    assert "internal error of the engine" not in victor.out + victor.err
    assert len(victor.out + victor.err) < 5000
    assert victor("run", "good") == 0


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_hostile_transform_is_one_problem_and_a_typed_failure(victor: Victor, name: str) -> None:
    text, message = TRANSFORMS[name]
    hostile_expression(victor, [{"id": "a", "type": "transform", "transform": text}], message)


@pytest.mark.parametrize("name", CONDITIONS)
def test_a_hostile_condition_is_one_problem_and_a_typed_failure(victor: Victor, name: str) -> None:
    text, message = CONDITIONS[name]
    after = {"id": "b", "type": "transform", "transform": "z = 1"}
    first = {"id": "a", "type": "condition", "condition": text, "branches": {"true": "b", "false": "b"}}
    hostile_expression(victor, [first, after], message)


def test_a_pipe_instead_of_a_file_does_not_block(victor: Victor) -> None:
    pipe = victor.root / "workflows" / "pipe.yaml"
    os.mkfifo(pipe)
    assert victor("validate", str(pipe)) == 3
    assert "pipe.yaml:1:1: error: cannot be read: it is a named pipe, not a regular file" in victor.out
    assert victor("validate", str(victor.root)) == 3
    assert "pipe.yaml:1:1" in victor.out


@pytest.mark.parametrize(
    "text",
    ["a: " + "[" * 3000, "agents: {a: " + "{a: " * 3000, f"x: {'9' * 5000}"],
    ids=("list", "map", "number"),
)
def test_a_hostile_configuration_is_one_error_with_its_location(victor: Victor, text: str) -> None:
    (victor.root / "victor.yaml").write_text(text)
    assert victor("scheduler", "add", "good", "--cron", "@daily") == 3
    assert "victor.yaml:1:" in victor.err
    assert "Traceback" not in victor.err


def test_a_configuration_that_is_a_pipe_is_refused(victor: Victor) -> None:
    (victor.root / "victor.yaml").unlink()
    os.mkfifo(victor.root / "victor.yaml")
    assert victor("scheduler", "add", "good", "--cron", "@daily") == 3
    assert "victor.yaml: cannot be read: it is a named pipe" in victor.err


@pytest.mark.parametrize("name", ["days.yaml", "days.ics"])
def test_a_calendar_that_is_a_pipe_is_one_problem(victor: Victor, name: str) -> None:
    os.mkfifo(victor.root / name)
    (victor.root / "victor.yaml").write_text(f"calendars: {{days: {name}}}\n")
    text = GOOD.replace("good:", "kept:\n        schedule: {cron: '@daily', exclude: [days]}")
    (victor.root / "workflows" / "kept.yaml").write_text(dedent(text))
    assert victor("validate", str(victor.root)) == 3
    assert "a named pipe, not a regular file" in victor.out
    assert victor("scheduler", "add", "good", "--cron", "@daily") == 0


def test_values_and_documents_are_counted(victor: Victor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("victor_engine.yamlnodes.MAX_VALUES", 2000)
    for text in ("[" + "0, " * 3000 + "]", "--- 0\n" * 3000):
        (victor.root / "workflows" / "w.yaml").write_text(text)
        assert victor("validate", str(victor.root / "workflows" / "w.yaml")) == 3
        assert "more than 2000 values" in victor.out


def test_many_references_to_one_file_read_it_once_and_count_its_values(victor: Victor) -> None:
    here = victor.root / "workflows"
    large = {"nodes": [{"id": "x", "type": "transform", "transform": "x = 1", "metadata": {"a": [0] * 5000}}]}
    (here / "large.txt").unlink()
    (here / "large.txt").write_text(json.dumps(large))
    nodes = "".join(f"      - {{id: a{n}, $ref: 'large.txt#x'}}\n" for n in range(1000))
    (here / "w.yaml").write_text(FIRST + nodes)
    assert victor("validate", str(here / "w.yaml")) == 3
    assert "w.yaml:" in victor.out
    assert "more than 200000 values" in victor.out
