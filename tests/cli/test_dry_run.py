"""`victor run --dry-run` on the files of a workspace."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.test_cli import Capture, Victor
from tests.engine.support import workspace

FILES = {
    "victor.yaml": "handlers: {h: {command: [touch, ran], result: text}}\nfunctions: {f: 'm:f'}\n",
    "workflows/w.yaml": """
workflows:
  w:
    version: 1.2.0
    nodes:
      - {id: a, type: compute, handler: h, next: [c]}
      - {id: c, type: condition, condition: n > 1, branches: {true: end, false: ask}}
      - {id: ask, type: hitl, hitl_type: choice, choices: [x, y], prompt: "Which?"}
  calls:
    nodes: [{id: t, type: transform, transform: y = f(1)}]
""",
}


def test_a_dry_run_prints_the_way_and_does_nothing(tmp_path: Path, capsys: Capture) -> None:
    victor = Victor(workspace(tmp_path, FILES), capsys)
    before = sorted(path.name for path in victor.root.rglob("*"))
    assert victor("run", "w", "--dry-run", "--mock", 'a={"n": 2}') == 0
    assert victor.out.splitlines() == [
        'a: execute  command touch ran  result {"n": 2}',
        "c: choose  true",
        "succeeded",
        'state: {"n": 2, "a": {"n": 2}}',
    ]
    assert victor("run", "w", "--dry-run", "--mock", 'a={"n": 1}') == 0
    assert "The dry run ends here: ask asks all users" in victor.err
    assert victor("run", "w", "--dry-run", "--mock", 'a={"n": 1}', "--mock", "ask=x", "--json") == 0
    found = json.loads(victor.out)
    assert (found["status"], found["state"]["ask"], found["version"]) == ("succeeded", "x", "1.2.0")
    assert victor("run", "w", "--dry-run") == 10
    assert "Without results: a. Give them with --mock NODE=JSON" in victor.err
    assert victor("run", "calls", "--dry-run") == 10
    assert "calls a function of the workspace" in victor.out
    assert sorted(path.name for path in victor.root.rglob("*")) == before


def test_options_that_do_not_go_together_are_refused(tmp_path: Path, capsys: Capture) -> None:
    victor = Victor(workspace(tmp_path, FILES), capsys)
    assert victor("run", "w", "--mock", "a=1") == 2
    assert "add --dry-run" in victor.err
    assert victor("run", "w", "--dry-run", "--follow") == 2
    assert victor("run", "w", "--dry-run", "--mock", "a") == 2
    assert victor("run", "w", "--dry-run", "--version", "9.0.0") == 4
    assert "have no workflow w 9.0.0" in victor.err
    assert victor("run", "gone", "--dry-run") == 4
