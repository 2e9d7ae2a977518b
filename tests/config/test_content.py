"""The files that belong to the content of a workspace, by the work that names them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from victor_engine.config import load_config
from victor_engine.config.content import Content, file_digest, read_content


def content(root: Path, settings: dict[str, Any], *migrations: str) -> Content:
    (root / "victor.yaml").write_text(yaml.safe_dump(settings))
    return read_content(load_config(root, environ={"HOME": str(root / "home")}), migrations)


def write(root: Path, *names: str, text: str = "x = 1\n") -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def names(found: Content) -> set[str]:
    return set(found.files) - {"victor.yaml"}


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["./bin/run.sh"], {"bin/run.sh"}),
        (["sh", "bin/run.sh", "--data=data/in.json"], {"bin/run.sh", "data/in.json"}),
        (["sh", "-c", "bin/run.sh>out; cat data/in.json"], {"bin/run.sh", "data/in.json"}),
        (["cat", "bin", "missing", "/etc/hostname"], set()),
        (["echo", "bin/../data/in.json"], {"data/in.json"}),
    ],
)
def test_the_words_of_a_command_name_files(tmp_path: Path, command: list[str], expected: set[str]) -> None:
    write(tmp_path, "bin/run.sh", "data/in.json", "other.sh")
    assert names(content(tmp_path, {"default_agent": {"command": command}})) == expected


def test_words_are_relative_to_the_directory_of_the_binding(tmp_path: Path) -> None:
    write(tmp_path, "jobs/run.sh", "run.sh")
    settings = {"agents": {"a": {"command": ["sh", "run.sh"], "cwd": "jobs"}}}
    found = content(tmp_path, settings)
    assert names(found) == {"jobs/run.sh"}
    assert found.bound["agents.a"] == ("jobs/run.sh",)


def test_a_program_that_the_path_of_a_binding_finds_in_the_workspace_belongs_to_it(tmp_path: Path) -> None:
    write(tmp_path, "bin/tool")
    (tmp_path / "bin/tool").chmod(0o755)
    settings = {"agents": {"a": {"command": ["tool"], "env": {"PATH": str(tmp_path / "bin")}}}}
    assert names(content(tmp_path, settings)) == {"bin/tool"}


def test_modules_of_the_workspace_that_a_script_imports_belong_to_it(tmp_path: Path) -> None:
    write(tmp_path, "bin/job.py", text="import json, helper\nfrom lib.deep import leaf\n")
    write(tmp_path, "bin/helper.py", text="def f():\n    from lib import late\n")
    write(tmp_path, "bin/lib/__init__.py", "bin/lib/late.py", "bin/lib/other.py", "bin/lib/deep/__init__.py")
    write(tmp_path, "bin/lib/deep/leaf.py", text="from .. import sibling\nfrom . import near\n")
    write(tmp_path, "bin/lib/sibling.py", "bin/lib/deep/near.py")
    found = content(tmp_path, {"default_agent": {"command": ["python3", "bin/job.py"]}})
    assert names(found) == {
        "bin/job.py", "bin/helper.py", "bin/lib/__init__.py", "bin/lib/late.py", "bin/lib/deep/__init__.py",
        "bin/lib/deep/leaf.py", "bin/lib/sibling.py", "bin/lib/deep/near.py",
    }  # fmt: skip
    # A file that takes the place of a module of the standard library would be executed.
    assert "bin/json.py" in found.bound["default_agent"]


def test_a_module_that_python_runs_belongs_to_it(tmp_path: Path) -> None:
    write(tmp_path, "pkg/__init__.py", "pkg/__main__.py", "pkg/unused.py")
    found = content(tmp_path, {"default_agent": {"command": ["python3", "-m", "pkg"]}})
    assert names(found) == {"pkg/__init__.py", "pkg/__main__.py"}


def test_functions_of_bindings_expressions_and_migrations_belong_to_it(tmp_path: Path) -> None:
    write(tmp_path, "bound.py", text="import used\n")
    write(tmp_path, "used.py", "reports.py", "moves/__init__.py", "moves/steps.py", "unused.py")
    settings = {"tools": {"t": {"python": "bound:f"}}, "functions": {"report": "reports:report"}}
    found = content(tmp_path, settings, "moves.steps:up")
    assert names(found) == {"bound.py", "used.py", "reports.py", "moves/__init__.py", "moves/steps.py"}
    assert "reports.py" in found.bound["functions"]
    assert "moves/steps.py" in found.bound["migrations"]


def test_each_change_of_a_file_changes_the_digest(tmp_path: Path) -> None:
    write(tmp_path, "run.sh", "notes.txt")
    settings: dict[str, Any] = {"default_agent": {"command": ["sh", "run.sh"]}}
    before = content(tmp_path, settings)
    write(tmp_path, "notes.txt", text="not executed")
    assert content(tmp_path, settings).digest == before.digest
    write(tmp_path, "run.sh", text="y")
    changed = content(tmp_path, settings)
    assert changed.digest != before.digest
    assert changed.of({"w.yaml": "1"}).digest != changed.digest
    assert content(tmp_path, {**settings, "workflows": ["*.yml"]}).digest != changed.digest


def test_hostile_files_are_read_without_harm(tmp_path: Path) -> None:
    write(tmp_path, "bad.py", text="def (\n")
    write(tmp_path, "cycle.py", text="import cycle\n")
    write(tmp_path, "nul.py", text="\0")
    settings = {
        "agents": {name: {"command": ["python3", f"{name}.py", "x" * 5000, "'"]} for name in ("bad", "cycle")},
        "tools": {"t": {"python": "nul:f"}},
    }  # fmt: skip
    assert names(content(tmp_path, settings)) == {"bad.py", "cycle.py", "nul.py"}


def test_only_a_regular_file_has_a_digest(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert file_digest(tmp_path / "pipe") == ""
    assert file_digest(tmp_path) == ""
    assert file_digest(tmp_path / "missing") == ""
