"""`victor plan` and `victor deploy`, without an engine and beside one."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.cli.test_cli import Capture, Victor
from tests.engine.support import workspace


def flow(version: str, x: int) -> str:
    return (
        f"workflows:\n  w:\n    version: {version}\n    schedule: {{every: 1h}}\n"
        f"    nodes: [{{id: a, type: transform, transform: 'x = {x}'}}]\n"
    )


@pytest.fixture
def victor(tmp_path: Path, capsys: Capture) -> Victor:
    root = workspace(tmp_path, {"victor.yaml": "{}\n", "workflows/w.yaml": flow("1.0.0", 1)})
    return Victor(root, capsys)


def write(victor: Victor, text: str) -> None:
    (victor.root / "workflows/w.yaml").write_text(text)


def test_a_workspace_that_no_engine_has_opened_is_planned_and_deployed(victor: Victor) -> None:
    assert victor("plan") == 0
    assert victor.out.splitlines()[:2] == ["+ w 1.0.0 is new", "* schedule of w is added: every 3600 s"]
    assert not (victor.root / ".state").exists()
    assert victor("deploy") == 2
    assert "give --yes, or --plan TOKEN" in victor.err
    assert victor("deploy", "--yes") == 0
    assert "deployment 1: 2 changes in force" in victor.out
    assert victor("plan") == 0
    assert "no changes" in victor.out
    assert victor("scheduler", "list") == 0
    assert "every 1 hour" in victor.out


def test_a_plan_is_applied_by_its_token_and_undone(victor: Victor) -> None:
    assert victor("deploy", "--yes") == 0
    write(victor, flow("2.0.0", 2))
    assert victor("plan", "--json") == 0
    plan = json.loads(victor.out)
    assert [change["kind"] for change in plan["changes"]] == ["changed"]
    assert [each["state"] for each in plan["workflows"]] == ["changed"]
    write(victor, flow("3.0.0", 3))
    assert victor("deploy", "--plan", plan["plan"]) == 5
    assert "no longer applies" in victor.err
    write(victor, flow("2.0.0", 2))
    assert victor("deploy", "--plan", plan["plan"], "--json") == 0
    assert json.loads(victor.out)["lines"] == ["w 1.0.0 -> 2.0.0"]
    assert victor("deploy", "--undo", "--yes") == 0
    assert "< w goes back to 1.0.0 from 2.0.0" in victor.out
    assert "deployment 3 takes deployment 2 back" in victor.out
    assert victor("run", "w") == 0  # an engine starts, and leaves it so
    assert " of w 1.0.0" in victor.out
    assert victor("plan") == 0
    assert "< w returns to 2.0.0 from 1.0.0" in victor.out
    assert "undone by " in victor.err
    assert victor("deploy", "--undo", "--yes") == 0
    assert victor("deploy", "--undo", "--yes") == 5
    assert "no deployment is left" in victor.err


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (flow("1.0.0", 9), "use version 1.0.1"),
        ("workflows: [", "w.yaml"),
        (flow("2.0.0", 2).replace("every: 1h", "every: 1h, exclude: [none]"), "none"),
        (flow("2.0.0", 2).replace("every: 1h", "every: 1h, version: ^7"), "w has no version ^7"),
    ],
    ids=["same version", "broken", "calendar", "version of the schedule"],
)
def test_an_error_prevents_the_whole_deployment(victor: Victor, text: str, error: str) -> None:
    assert victor("deploy", "--yes") == 0
    write(victor, text)
    (victor.root / "workflows/other.yaml").write_text(flow("1.0.0", 1).replace("w:", "other:"))
    assert victor("plan") == 3
    assert error in victor.err
    assert "+ other 1.0.0 is new" in victor.out
    assert "plan: " not in victor.out
    assert victor("deploy", "--yes") == 3
    assert "nothing was deployed: " in victor.err
    assert victor("plan") == 3
    assert "+ other 1.0.0 is new" in victor.out


def test_listings_and_starts_say_that_files_differ(victor: Victor) -> None:
    """Another engine than that of the start would deploy the changes, so a running one is needed to see them."""
    assert victor("run", "w") == 0
    assert "deployment 1: w 1.0.0 is new" in victor.err
    assert victor("versions", "list") == 0
    assert "in force" in victor.out
    write(victor, flow("1.0.0", 9))
    assert victor("run", "w") == 3
    assert "registered with different content" in victor.err
    assert "To start the version in force, give --version 1.0.0" in victor.err
    assert victor("run", "w", "--version", "1.0.0") == 0
    assert victor("scheduler", "status") == 7
    assert "use version 1.0.1" in victor.err
    write(victor, flow("2.0.0", 2))
    assert victor("scheduler", "status") == 7
    assert "the files differ: 1 change not in force" in victor.err
    for command in (("versions", "list"), ("scheduler", "list")):
        assert victor(*command) == 0
        assert "w: files changed: w 1.0.0 -> 2.0.0" in victor.err
    (victor.root / "workflows/w.yaml").unlink()
    assert victor("versions", "list") == 0
    assert "missing" in victor.out
    write(victor, "workflows: [")
    assert victor("versions", "list") == 0
    assert "error" in victor.out
    assert victor("run", "w") == 0
    assert (
        "warning: w 1.0.0 starts, which is in force; files error: workflow w may have been removed: "
        in victor.err
    )


def test_json_and_explanations_say_that_files_differ(victor: Victor) -> None:
    assert victor("deploy", "--yes") == 0
    assert victor("scheduler", "list", "--json") == 0
    (schedule,) = json.loads(victor.out)
    assert schedule["files"] == "in force"
    write(victor, flow("2.0.0", 2))
    for command in (("versions", "list", "w"), ("versions", "list"), ("scheduler", "list")):
        assert victor(*command, "--json") == 0
        assert [each["files"] for each in json.loads(victor.out)] == ["changed"]
        assert "w: files changed: w 1.0.0 -> 2.0.0" in victor.err
    assert victor("scheduler", "status", "--json") == 7
    assert json.loads(victor.out)["files"] == {"changes": 1, "errors": 0, "undone": False}
    assert victor("scheduler", "explain", schedule["id"]) == 0
    assert "w: files changed: w 1.0.0 -> 2.0.0" in victor.err


def test_a_workflow_without_a_schedule_that_is_in_no_file_is_named(victor: Victor) -> None:
    write(victor, flow("1.0.0", 1).replace("    schedule: {every: 1h}\n", ""))
    assert victor("deploy", "--yes") == 0
    (victor.root / "workflows/w.yaml").unlink()
    assert victor("plan") == 0
    assert "w: files missing: it is in no file; version 1.0.0 stays in force" in victor.err


def test_declarations_that_a_file_no_longer_has_are_named(victor: Victor) -> None:
    more = "    deprecated: too slow\n    migrations: [{from: 0.9.0, steps: [{type: add_field, field: y, default: 1}]}]\n"
    write(victor, flow("1.0.0", 1) + more)
    assert victor("deploy", "--yes") == 0
    assert victor("plan") == 0
    assert "any more" not in victor.err
    write(victor, flow("1.0.0", 1))
    assert victor("plan") == 0
    assert "w 1.0.0 stays deprecated (too slow), although its file does not say so any more" in victor.err
    assert "victor versions restore w 1.0.0" in victor.err
    assert "the migration 0.9.0 -> 1.0.0 stays registered, although its file" in victor.err
    assert victor("versions", "restore", "w", "1.0.0") == 0
    assert victor("plan") == 0
    assert "stays deprecated" not in victor.err
    write(victor, flow("1.0.0", 1) + more)
    assert victor("deploy", "--yes") == 0
    assert victor("versions", "deprecate", "w", "1.0.0", "--message", "by hand") == 0
    write(victor, flow("1.0.0", 1))
    assert victor("plan") == 0
    assert "stays deprecated" not in victor.err


def test_a_running_engine_starts_what_is_in_force_and_says_so(victor: Victor) -> None:
    (victor.root / "workflows/broken.yaml").write_text("workflows: [")
    assert victor("scheduler", "start", "--daemon") == 0
    try:
        assert "deployment 1: w 1.0.0 is new" in victor.err
        assert "broken.yaml:1:" in victor.err
        (victor.root / "workflows/broken.yaml").unlink()
        write(victor, flow("2.0.0", 2))
        assert victor("run", "w") == 0
        assert " w 1.0.0 " in victor.out
        assert "w 1.0.0 starts, which is in force; files changed: w 1.0.0 -> 2.0.0" in victor.err
        assert "give --deploy" in victor.err
        assert victor("run", "w", "--deploy") == 0
        assert " w 2.0.0 " in victor.out
        assert "deployment 2: w 1.0.0 -> 2.0.0" in victor.err
        assert victor("deploy", "--undo", "--yes") == 0
        assert victor("scheduler", "status") == 0
        assert "; files differ" in victor.err
        assert victor("run", "w") == 0
        assert " w 1.0.0 " in victor.out
    finally:
        assert victor("scheduler", "stop") == 0


def test_a_daemon_without_a_terminal_deploys_on_sighup(victor: Victor) -> None:
    assert victor("scheduler", "start", "--daemon") == 0
    log = victor.root / ".state/engine.log"
    try:
        assert victor("scheduler", "status", "--json") == 0
        pid = json.loads(victor.out)["pid"]
        for text, said in (
            (flow("2.0.0", 2), "deployment 2: w 1.0.0 -> 2.0.0"),
            (flow("2.0.0", 9), "nothing was deployed, because the files have errors"),
            (flow("2.0.0", 2), "the files were read again"),
        ):
            write(victor, text)
            os.kill(pid, signal.SIGHUP)
            limit = time.monotonic() + 60
            while said not in log.read_text():
                assert time.monotonic() < limit, log.read_text()
                time.sleep(0.05)
        assert victor("run", "w") == 0
        assert " w 2.0.0 " in victor.out
    finally:
        assert victor("scheduler", "stop") == 0
