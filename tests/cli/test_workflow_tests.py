"""`victor test`: the tests of workflow files as dry runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.test_cli import Capture, Victor
from tests.engine.support import workspace
from victor_engine.definition.content import checksum
from victor_engine.definition.loader import load_text

FLOW = """
workflows:
  w:
    version: 1.0.0
    nodes:
      - {id: count, type: compute, handler: h, next: [large]}
      - {id: large, type: condition, condition: rows > 10, branches: {true: gate, false: load}}
      - {id: gate, type: hitl, hitl_type: approval, next: {approved: load, rejected: stop}}
      - {id: load, type: compute, handler: h, when: rows > 0}
      - {id: stop, type: fail, message: not approved}
    tests:
TESTS
  other:
    nodes: [{id: t, type: transform, transform: x = 1}]
    tests: {it sets x: {outputs: {x: 1}}}
"""
BINDINGS = "handlers: {h: {command: [touch, ran], result: text}}"


def files(tests: str) -> dict[str, str]:
    return {"victor.yaml": BINDINGS, "workflows/w.yaml": FLOW.replace("TESTS", tests)}


GOOD = """\
      large: {mocks: {count: {rows: 12}, gate: approved}, path: [count, large, gate, load], outputs: {rows: 12}}
      small: {mocks: {count: {rows: 0}}, path: [count, large]}
      rejected: {mocks: {count: {rows: 12}, gate: rejected}, status: failed}
      asks: {mocks: {count: {rows: 12}}, status: unknown}
"""
BAD = """\
      status: {mocks: {count: {rows: 12}, gate: rejected}}
      path: {mocks: {count: {rows: 1}}, path: [count, gate]}
      outputs: {mocks: {count: {rows: 1}}, outputs: {rows: 2, gone: 1}}
      mocks: {mocks: {nope: 1}}
"""


def test_tests_pass_or_name_their_differences(tmp_path: Path, capsys: Capture) -> None:
    victor = Victor(workspace(tmp_path / "good", files(GOOD)), capsys)
    assert victor("test") == 0, victor.out
    assert victor.out.splitlines() == [
        "ok  w 1.0.0: large", "ok  w 1.0.0: small", "ok  w 1.0.0: rejected", "ok  w 1.0.0: asks", "ok  other : it sets x",
    ]  # fmt: skip
    victor = Victor(workspace(tmp_path / "bad", files(BAD)), capsys)
    assert victor("test", "w", "--json") == 1
    differences = {each["test"]: each["differences"] for each in json.loads(victor.out)}
    assert differences["status"] == ["status: expected succeeded, got failed: not approved"]
    assert differences["path"] == ["path: expected count, gate; got count, large, load"]
    assert differences["outputs"] == [
        "outputs.rows: expected 2, got 1", "outputs.gone: expected 1, and the state has no such key",
    ]  # fmt: skip
    assert "has no such node" in differences["mocks"][0]
    assert not (victor.root / "ran").exists()


def test_tests_change_without_a_new_version() -> None:
    first, second = (
        load_text(FLOW.replace("TESTS", tests)).workflows["w"].content
        for tests in (GOOD, GOOD[: GOOD.index("\n") + 1])
    )
    assert first != second
    assert checksum(first or {}) == checksum(second or {})


@pytest.mark.parametrize(
    ("test", "message"),
    [
        ("      a: 1\n", "must be a mapping from names to tests"),
        ("      a: {path: x}\n", "path must be a list of node ids"),
        ("      a: {mocks: [x]}\n", "mocks must be a mapping"),
        ("      a: {stats: failed}\n", "unknown key 'stats'"),
        ("      a: {status: done}\n", "status"),
    ],
)
def test_a_test_that_is_not_one_is_an_error(test: str, message: str) -> None:
    problems = [each for each in load_text(FLOW.replace("TESTS", test)).problems if each.severity == "error"]
    assert [message in each.message for each in problems] == [True]
