"""The environment of work: a short list with `inherit_env: false`, else that of the engine without secrets."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.engine.support import engine_on, until_end, workspace
from victor_engine.cli.main import cli

pytestmark = pytest.mark.process

SHOW = """
import json, os
def show():
    return {"names": sorted(os.environ)}
def born():
    return {"names": sorted(line.partition("=")[0] for line in open("/proc/self/environ").read().split("\\0") if line)}
if __name__ == "__main__":
    print(json.dumps(show()))
"""
PYTHON = json.dumps(sys.executable)
FILES = {
    "show.py": SHOW,
    "victor.yaml": f"""
        secrets: {{deploy: {{env: DEPLOY_KEY}}, filed: {{file: missing.txt}}, unused: {{env: UNUSED_KEY}}}}
        agents: {{writer: {{chat: {{base_url: "http://127.0.0.1:1", model: m, api_key_env: MODEL_KEY}}}}}}
        handlers:
          few: {{command: [{PYTHON}, show.py], inherit_env: false, env: {{GIVEN: "1", KEY: $secret.deploy}}}}
          all: {{command: [{PYTHON}, show.py], inherit_env: true, result: json}}
          old: {{command: [{PYTHON}, show.py]}}
          worker: {{python: "show:show", inherit_env: false}}
          born: {{python: "show:born", inherit_env: false}}
          whole: {{python: "show:born", inherit_env: true}}
        """,
    "workflows/w.yaml": """
        workflows:
          w:
            nodes:
              - {id: few, type: compute, handler: few, next: [all]}
              - {id: all, type: compute, handler: all, next: [old]}
              - {id: old, type: compute, handler: old, next: [whole]}
              - {id: whole, type: compute, handler: whole, next: [worker]}
              - {id: worker, type: compute, handler: worker, next: [born]}
              - {id: born, type: compute, handler: born, inputs: {token: $secret.other}}
        """,
}
BASIC = {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR"}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("VICTOR_", "LC_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setenv("STRANGE", "thing")
    monkeypatch.setenv("DEPLOY_KEY", "hunter2-value")
    monkeypatch.setenv("VICTOR_SECRET_OTHER", "other-value")
    monkeypatch.delenv("UNUSED_KEY", raising=False)


async def test_work_gets_what_its_binding_says(tmp_path: Path) -> None:
    async with engine_on(workspace(tmp_path, FILES)) as engine:
        run = await engine.start_run("w")
        state = (await until_end(engine, run.id)).state
        names = {node: set(state[node]["names"]) for node in ("few", "all", "old", "whole", "worker", "born")}
        call = {name for name in names["few"] if name.startswith("VICTOR_")}
        assert {"VICTOR_RUN_ID", "VICTOR_IDEMPOTENCY_KEY"} <= call
        shell = {"PWD", "SHLVL", "_", "OLDPWD"}  # /bin/sh, which starts a command, sets these
        assert names["few"] - call - BASIC - shell == {"GIVEN", "KEY", "LC_ALL"}
        assert "PATH" in names["few"]
        for node in ("all", "old", "whole"):
            assert "STRANGE" in names[node]
        for node in ("worker", "born"):
            assert "STRANGE" not in names[node]
            assert "PATH" in names[node]
        for node in names:
            assert "DEPLOY_KEY" not in names[node]
        assert (await engine.engine()).inheriting == ("handlers.old",)


def test_validate_names_the_bindings_that_rely_on_the_default(tmp_path: Path) -> None:
    root = workspace(tmp_path, FILES)
    done = CliRunner().invoke(cli, ["validate", str(root)])
    assert "inherit_env is missing in handlers.old, so the work gets all variables" in done.output
    assert "From 0.6.0 on the default is false" in done.output


def check(root: Path, *words: str) -> tuple[int, str]:
    done = CliRunner().invoke(
        cli, ["--workspace", str(root), "--state-dir", str(root / ".state"), "secrets", "check", *words]
    )
    return done.exit_code, done.output


def test_secrets_check_says_which_are_missing_and_never_a_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = workspace(tmp_path, FILES)
    code, said = check(root)
    assert code == 3
    lines = {line.split()[0]: line for line in said.splitlines() if line.strip()}
    assert " ok " in lines["deploy"]
    assert "handlers.few" in lines["deploy"]
    assert " missing " in lines["filed"]
    assert " missing " in lines["unused"]
    assert " ok " in lines["other"]
    assert lines["other"].rstrip().endswith("w")
    assert " missing " in lines["agents.writer.api_key"]
    assert "the secret 'unused' is not available: the environment variable UNUSED_KEY is not set" in said
    code, as_json = check(root, "--json")
    assert code == 3
    assert {each["name"]: bool(each.get("missing")) for each in json.loads(as_json)} == {
        "agents.writer.api_key": True,
        "deploy": False,
        "filed": True,
        "other": False,
        "unused": True,
    }
    for value in ("hunter2-value", "other-value"):
        assert value not in said + as_json
    monkeypatch.setenv("UNUSED_KEY", "unused-value")
    monkeypatch.setenv("MODEL_KEY", "model-value")
    (root / "missing.txt").write_text("filed-value\n")
    assert check(root)[0] == 0


async def test_a_running_engine_checks_in_its_own_environment(tmp_path: Path) -> None:
    async with engine_on(workspace(tmp_path, FILES)) as engine:
        found = {each.name: each.missing for each in await engine.secrets()}
        assert found["deploy"] == ""
        assert "missing.txt cannot be read" in found["filed"]
