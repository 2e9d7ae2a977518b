"""The first files: `victor init`, `victor new`, and a run of a file without a workspace."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from victor_engine.cli.main import main

Capture = pytest.CaptureFixture[str]


class Here:
    """The command `victor` in a directory, without options. `said` has its last output and errors."""

    def __init__(self, capture: Capture) -> None:
        self.capture = capture
        self.said = ""

    def __call__(self, *words: str) -> int:
        self.capture.readouterr()
        try:
            code = main(list(words))
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = self.capture.readouterr()
        self.said = out + err
        return code


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> Here:
    directory = tmp_path / "empty"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return Here(capsys)


def test_from_an_empty_directory_to_the_first_run_in_four_commands(here: Here) -> None:
    """The help names them; each one names the next."""
    assert here("--help") == 0
    assert "init" in here.said
    assert here("init") == 0
    assert "victor trust" in here.said
    assert "victor run hello" in here.said
    assert here("trust") == 0
    assert here("run", "hello") == 0
    assert "Hello from run" in here.said
    assert "succeeded" in here.said


def test_trust_of_a_workspace_without_bindings_says_so(here: Here) -> None:
    Path("victor.yaml").write_text("{}")
    assert here("trust", "--yes") == 0
    assert "executes:\n  nothing: it has no bindings\n" in here.said


def test_the_skeletons_name_schemas_that_exist_and_that_they_match(here: Here) -> None:
    assert here("init") == 0
    assert here("new", "workflow", "other") == 0
    for name in ("victor.yaml", "workflows/hello.yaml", "workflows/other.yaml"):
        path = Path(name)
        line, *rest = path.read_text().splitlines()
        target = line.removeprefix("# yaml-language-server: $schema=")
        schema = json.loads((path.parent / target).read_text())
        assert (
            list(jsonschema.Draft202012Validator(schema).iter_errors(yaml.safe_load("\n".join(rest)))) == []
        )
    written = Path(".victor/workflow.schema.json").read_text()
    assert here("schema") == 0
    assert here.said == written
    Path(".victor/workflow.schema.json").write_text("old")
    assert here("schema", "--write") == 0
    assert Path(".victor/workflow.schema.json").read_text() == written
    assert here("schema", "scheduler.yaml") == 0
    assert json.loads(here.said)["title"] == "scheduler.yaml"
    assert here("schema", "other") == 2
    assert here("schema", "workflow", "--write") == 2


def test_nothing_is_replaced(here: Here) -> None:
    assert here("init", "ws") == 0
    assert "victor --workspace ws trust" in here.said
    assert here("init", "ws") == 5
    assert "ws/victor.yaml exists already" in here.said
    assert here("--workspace", "ws", "new", "workflow", "hello") == 5
    assert "hello.yaml exists already" in here.said


def test_skeletons_are_valid_and_keep_the_file(here: Here) -> None:
    assert here("init") == 0
    assert here("new", "workflow", "two") == 0
    assert here("new", "schedule", "two") == 0
    assert here("new", "migration", "two", "--from", "0.9.0") == 0
    text = Path("workflows/two.yaml").read_text()
    assert "# A question to people." in text
    assert here("validate") == 0, here.said
    assert "2 files, 2 workflows, 0 errors, 0 warnings" in here.said
    assert here("new", "schedule", "two") == 5
    assert here("new", "schedule", "three") == 4
    assert here("new", "workflow", "a b") == 2


def test_a_file_that_cannot_be_changed_stays_and_the_block_is_printed(here: Here) -> None:
    assert here("init") == 0
    path = Path("workflows/flow.yaml")
    path.write_text("workflows: {flow: {nodes: [{id: a, type: transform, transform: 'x = 1'}]}}\n")
    before = path.read_text()
    assert here("new", "schedule", "flow") == 2
    assert 'cron: "0 9 * * 1-5"' in here.said
    assert path.read_text() == before


def test_without_a_workspace_the_error_names_the_directories(here: Here) -> None:
    assert here("new", "workflow", "x") == 4
    assert f"no workspace: {Path.cwd()} and its parent directories have no victor.yaml" in here.said


def test_a_file_without_a_workspace_runs_in_its_directory(here: Here) -> None:
    one = "{nodes: [{id: a, type: transform, transform: 'x = 1'}]}"
    Path("one.yaml").write_text(f"workflows: {{one: {one}}}\n")
    Path("both.yaml").write_text(f"workflows: {{a: {one}, b: {one}}}\n")
    assert here("run", "one.yaml") == 6, here.said
    assert f"victor --workspace {Path.cwd()} trust" in here.said
    assert here("--workspace", ".", "trust") == 0
    assert here("run", "one.yaml") == 0
    assert "succeeded" in here.said
    assert here("run", "both.yaml") == 2
    assert "both.yaml has 2 workflows; name one: both.yaml:a" in here.said
    assert here("run", "both.yaml:b") == 0
    assert here("run", "nothing.yaml") == 2


@pytest.mark.parametrize(
    "command", [("run", "hello"), ("plan",), ("validate",), ("deploy",), ("scheduler", "start")]
)
def test_without_a_workspace_an_error_names_the_directory_and_the_remedy(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: tuple[str, ...],
) -> None:
    """The default ~/.victor, which the user did not name, is not looked at as if it were one."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("VICTOR_STATE", raising=False)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert main(list(command)) == 2
    error = capsys.readouterr().err
    assert (
        f"no workspace was found: neither {tmp_path}/empty nor a directory above it has a victor.yaml"
        in error
    )
    assert "run: victor init" in error
    assert not (tmp_path / "home").exists()
