"""`victor validate` on a whole workspace: the checks that need more than one file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.test_cli import Capture, Victor
from tests.engine.support import workspace
from victor_engine.cli.main import main

NODES = "nodes: [{id: a, type: transform, transform: 'x = 1'}]"


def flow(name: str, schedule: str = "", version: str = "") -> str:
    lines = [f"  {name}:"]
    lines += [f"    version: {version}"] if version else []
    lines += [f"    schedule: {{{schedule}}}"] if schedule else []
    return "workflows:\n" + "\n".join([*lines, f"    {NODES}\n"])


def checked(tmp_path: Path, capsys: Capture, files: dict[str, str], *paths: str) -> tuple[int, str]:
    victor = Victor(workspace(tmp_path, {"victor.yaml": "{}\n", **files}), capsys)
    code = victor("validate", *(str(victor.root / path) for path in paths))
    return code, victor.out + victor.err


@pytest.mark.parametrize("paths", [(), ("workflows/one.yaml",)])
def test_a_cycle_of_dependencies_is_an_error_with_its_place(
    tmp_path: Path, capsys: Capture, paths: tuple[str, ...]
) -> None:
    """Also if only one file of it is checked."""
    files = {"workflows/one.yaml": flow("one", "after: two"), "workflows/two.yaml": flow("two", "after: one")}
    code, said = checked(tmp_path, capsys, files, *paths)
    assert code == 3
    assert (
        "one.yaml:3:16: error: workflow 'one': schedule.after: the workflows form a cycle: one -> two -> one"
        in (said)
    )
    assert ("two.yaml:3:16" in said) is not paths


def test_unknown_upstream_workflows_and_versions_are_errors(tmp_path: Path, capsys: Capture) -> None:
    files = {
        "workflows/one.yaml": flow("one", "after: tow", "1.0.0"),
        "workflows/two.yaml": flow("two", "every: 1h, version: ^9", "1.0.0"),
        "workflows/three.yaml": flow("three", "every: 1h, version: stable", "1.0.0"),
    }
    code, said = checked(tmp_path, capsys, files)
    assert code == 3
    assert "schedule.after: the workflow 'tow' does not exist. Did you mean 'two'?" in said
    assert "schedule.version: two has no version ^9; its versions are 1.0.0" in said
    assert "3 files, 3 workflows, 2 errors, 0 warnings" in said


def test_times_in_the_past_are_warnings(tmp_path: Path, capsys: Capture) -> None:
    files = {
        "workflows/one.yaml": flow("one", "at: '2020-01-01T00:00'"),
        "workflows/two.yaml": flow("two", "cron: '@daily', end_date: '2020-01-01'"),
        "workflows/three.yaml": flow("three", "after: one"),
    }
    code, said = checked(tmp_path, capsys, files)
    assert code == 0
    assert "one.yaml:3:16: warning: workflow 'one': schedule.at: the schedule will not fire again" in said
    assert (
        "two.yaml:3:32: warning: workflow 'two': schedule.end_date: the schedule will not fire again" in said
    )
    assert "schedule.after: one will not be started by its schedule again" in said


def test_a_file_outside_a_workspace_can_depend_on_other_files(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "alone.yaml"
    path.write_text(flow("one", "after: elsewhere"))
    with pytest.raises(SystemExit) as end:
        main(["validate", str(path)])
    assert (end.value.code, capsys.readouterr().out) == (0, "")


def test_a_workspace_without_files_names_it(tmp_path: Path, capsys: Capture) -> None:
    code, said = checked(tmp_path, capsys, {})
    assert code == 2
    assert f"the workspace {tmp_path / 'ws'} has no workflow files" in said


def test_a_version_that_the_store_has_with_other_content_is_an_error(tmp_path: Path, capsys: Capture) -> None:
    """`validate` names the place, the differences and the next free version."""
    files = {"victor.yaml": "{}\n", "workflows/w.yaml": flow("w", version="1.0.0")}
    victor = Victor(workspace(tmp_path, files), capsys)
    assert victor("validate") == 0
    assert victor("run", "w") == 0
    assert victor("validate") == 0
    (victor.root / "workflows/w.yaml").write_text(flow("w", version="1.0.0").replace("x = 1", "x = 2"))
    for paths in ((), (str(victor.root / "workflows/w.yaml"),)):
        assert victor("validate", *paths) == 3
        assert "w.yaml:3:5: error: w 1.0.0 is registered with different content" in victor.out
        assert "use version 1.0.1" in victor.out
        assert "Differences: " in victor.out
    (victor.root / "workflows/w.yaml").write_text(flow("w", version="1.0.1").replace("x = 1", "x = 2"))
    assert victor("validate") == 0


@pytest.mark.parametrize(
    ("one", "two", "error"),
    [
        (flow("w", "", "1.0"), flow("w", "", "1.0.0").replace("x = 1", "x = 2"), "with a different content"),
        (flow("w"), flow("w").replace("x = 1", "x = 2"), "Give each its own version"),
        (flow("w", "every: 1h"), flow("w", "every: 2h"), "with a different schedule"),
        (flow("w", "every: 1h", "1.0.0"), flow("w", "every: 2h", "2.0.0"), ""),
        (flow("w", "every: 1h"), flow("w"), ""),
    ],
    ids=["content", "no version", "schedule", "two versions", "twin"],
)
def test_files_that_contradict_each_other_are_an_error_of_validate_and_plan(
    tmp_path: Path, capsys: Capture, one: str, two: str, error: str
) -> None:
    """Otherwise the order of the files would decide what comes into force."""
    victor = Victor(
        workspace(tmp_path, {"victor.yaml": "{}\n", "workflows/one.yaml": one, "workflows/two.yaml": two}),
        capsys,
    )
    for command in ("validate", "plan"):
        assert victor(command) == (3 if error else 0)
        assert error in victor.out + victor.err
    if error:
        assert f"is also declared by {victor.root}/workflows/one.yaml" in victor.err
        assert victor("run", "w") == 3


def test_bindings_without_the_form_of_their_result_are_noted(tmp_path: Path, capsys: Capture) -> None:
    node = "workflows: {w: {nodes: [{id: n, type: compute, handler: a}]}}"
    bindings = "a: {command: ['true']}, b: {command: ['true'], result: text}, c: {python: 'm:f'}"
    _, said = checked(
        tmp_path, capsys, {"victor.yaml": f"handlers: {{{bindings}}}", "workflows/w.yaml": node}
    )
    assert "result is missing in handlers.a, so the form of the output is guessed" in said
    files = {"victor.yaml": "handlers: {a: {command: ['true'], result: json}}", "workflows/w.yaml": node}
    assert "result is missing" not in checked(tmp_path / "b", capsys, files)[1]


def test_names_and_references_are_checked_by_validate_and_plan(tmp_path: Path, capsys: Capture) -> None:
    """An error is one of both; a version or workflow that does not exist yet is a warning."""
    text = flow("w", "every: 1h", "1.0.0") + (
        "    deprecated: {message: old, successor: 9.9.9, removal: 2020-01-01}\n"
        "  parent:\n    nodes: [{id: s, type: workflow, workflow: w, version: ^7, next: [t]},"
        " {id: t, type: workflow, workflow: wv}]\n"
    )
    code, said = checked(tmp_path, capsys, {"workflows/one.yaml": text})
    assert code == 0
    lines = [line.partition("one.yaml:")[2] for line in said.splitlines()]
    message = "warning: workflow 'w': w has no version 9.9.9; its versions are 1.0.0"
    assert any(line.startswith("6:") and message in line for line in lines)
    assert "the removal 2020-01-01 has passed" in said
    assert "node 's': w has no version ^7" in said
    assert "node 't' starts 'wv', which no file of the workspace defines" in said
    errors = {
        "version": (flow("w", "", "one"), "does not have the form major.minor.patch"),
        "removal": (
            flow("w", "", "1.0.0") + "    deprecated: {removal: soon}\n",
            "deprecated.removal is not a date",
        ),
        "key": (flow("w", "", "1.0.0") + "    deprecated: {succesor: 2.0.0}\n", "Did you mean 'successor'?"),
        "node": (flow("w").replace("id: a", 'id: "a\\x07"'), "the name of node 'a\\x07' has characters"),
        "cycle": (
            flow("w", "after: v") + flow("v", "after: w").replace("workflows:\n", ""),
            "schedule.after: the workflows form a cycle",
        ),
        "upstream": (flow("w", "after: none"), "the workflow 'none' does not exist"),
    }
    victor = Victor(tmp_path / "ws", capsys)
    for name, (text, error) in errors.items():
        (victor.root / "workflows/one.yaml").write_text(text)
        for command in ("validate", "plan", "deploy"):
            assert victor(command) == 3, (name, command)
            assert error in victor.out + victor.err, (name, command)


def test_dependencies_can_change_their_direction(tmp_path: Path, capsys: Capture) -> None:
    """The order in which the schedules are committed does not matter."""
    files = {
        "victor.yaml": "{}\n",
        "one.yaml": flow("one", "after: two"),
        "two.yaml": flow("two", "every: 1h"),
    }
    victor = Victor(workspace(tmp_path, files), capsys)
    assert victor("deploy", "--yes") == 0
    (victor.root / "two.yaml").write_text(flow("two", "after: one"))
    (victor.root / "one.yaml").write_text(flow("one", "every: 1h"))
    assert victor("deploy", "--yes") == 0, victor.err
    (victor.root / "one.yaml").write_text(flow("one", "after: two"))
    (victor.root / "two.yaml").write_text(flow("two", "every: 1h"))
    assert victor("deploy", "--yes") == 0, victor.err


def test_an_alias_of_a_schedule_can_be_set_after_its_workflow_is_deployed(
    tmp_path: Path, capsys: Capture
) -> None:
    files = {"victor.yaml": "{}\n", "one.yaml": flow("one", "every: 1h, version: stable", "1.0.0")}
    victor = Victor(workspace(tmp_path, files), capsys)
    assert victor("deploy", "--yes") == 0
    assert "warning: schedule.version: one has no alias 'stable'" in victor.err
    assert victor("versions", "alias", "one", "stable", "1.0.0") == 0
