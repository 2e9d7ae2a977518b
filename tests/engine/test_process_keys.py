"""`env`, `cwd` and `stdin` of a node reach its command, and values of the state stay values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_cli import Capture, Victor
from tests.engine.support import engine_on, until_end, workspace
from victor_engine.api import RunDetail
from victor_engine.engine import Engine

SHOW = """import json, os, sys
text = sys.stdin.read()
names = ("HOST", "BASE", "TOKEN", "VICTOR_NODE_ID")
print(json.dumps({"env": {n: os.environ.get(n) for n in names}, "cwd": os.getcwd(), "stdin": text, "argv": sys.argv[1:]}))
"""
BINDINGS = """
handlers:
  show:
    command: [python3, SCRIPT]
    result: json
    env: {BASE: binding, HOST: binding}
  keep:
    command: [cat]
    result: text
  call: {http: http://127.0.0.1:9/}
secrets: {token: {env: TEST_TOKEN}}
"""
NODE = "workflows:\n  w:\n    nodes:\n      - {{id: a, type: compute, handler: {handler}, {keys}}}\n"


def files(tmp_path: Path, keys: str, handler: str = "show") -> Path:
    script = tmp_path / "show.py"
    script.write_text(SHOW)
    root = workspace(
        tmp_path,
        {
            "victor.yaml": BINDINGS.replace("SCRIPT", str(script)),
            "workflows/w.yaml": NODE.format(keys=keys, handler=handler),
        },
    )
    (root / "data" / "db-1").mkdir(parents=True)
    (root / "data" / "out").symlink_to(tmp_path)
    return root


async def ran(engine: Engine, state: dict[str, Any]) -> RunDetail:
    return await until_end(engine, (await engine.start_run("w", None, state)).id)


async def test_a_command_gets_the_environment_the_directory_and_the_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_TOKEN", "hunter-two")
    keys = 'env: {HOST: $ctx.host, TOKEN: $secret.token}, cwd: "data/$ctx.host", stdin: "$ctx.rows"'
    root = files(tmp_path, keys)
    async with engine_on(root) as engine:
        found = await ran(engine, {"host": "db-1", "rows": [1, 2]})
        assert found.run.status == "succeeded", found.run.error
        shown = found.state["a"]
        assert shown["env"]["HOST"] == "db-1"
        assert shown["env"]["BASE"] == "binding"
        assert shown["env"]["VICTOR_NODE_ID"] == "a"
        assert shown["env"]["TOKEN"] == "***"  # masked in the result, so the command printed the secret
        assert shown["cwd"] == str((root / "data/db-1").resolve())
        assert shown["stdin"] == "[1,2]"


async def test_without_the_keys_a_command_gets_the_payload(tmp_path: Path) -> None:
    async with engine_on(files(tmp_path, "inputs: {n: 1}")) as engine:
        shown = (await ran(engine, {})).state["a"]
        assert json.loads(shown["stdin"])["inputs"] == {"n": 1}
        assert shown["env"]["HOST"] == "binding"


@pytest.mark.parametrize("value", ["$(touch x)", "`id`; rm -rf .", "a\nB=1", "--flag", "'\"", "$HOME"])
async def test_a_value_of_the_state_stays_a_value(tmp_path: Path, value: str) -> None:
    keys = 'env: {HOST: $ctx.host}, stdin: "$ctx.host"'
    async with engine_on(files(tmp_path, keys)) as engine:
        shown = (await ran(engine, {"host": value})).state["a"]
        assert (shown["env"]["HOST"], shown["stdin"], shown["argv"]) == (value, value, [])


@pytest.mark.parametrize(
    ("host", "kind", "words"),
    [
        ("..", "DirectoryError", "is '..', which is not the name of a directory"),
        ("a/b", "DirectoryError", "is 'a/b', which is not the name of a directory"),
        ("", "DirectoryError", "is '', which is not the name of a directory"),
        ("out", "DirectoryError", "leads out of"),
        ("gone", "CommandNotFound", "does not exist"),
    ],
)
async def test_a_directory_does_not_leave_its_root(tmp_path: Path, host: str, kind: str, words: str) -> None:
    async with engine_on(files(tmp_path, 'cwd: "data/$ctx.host"')) as engine:
        error = (await ran(engine, {"host": host})).run.error
        assert error is not None
        assert error.type == kind
        assert words in error.message


async def test_a_missing_value_fails_the_node_unless_it_is_optional(tmp_path: Path) -> None:
    async with engine_on(files(tmp_path, 'env: {HOST: "$ctx.host?", BASE: $ctx.base}')) as engine:
        error = (await ran(engine, {})).run.error
        assert error is not None
        assert "a: env.BASE needs $ctx.base" in error.message
        shown = (await ran(engine, {"base": {"k": 1}})).state["a"]
        assert shown["env"]["BASE"] == '{"k":1}'
        assert shown["env"]["HOST"] == "binding"
        error = (await ran(engine, {"base": "a\0b"})).run.error
        assert error is not None
        assert error.type == "VariableError"
        assert "U+0000" in error.message


async def test_an_empty_input_is_not_the_payload(tmp_path: Path) -> None:
    async with engine_on(files(tmp_path, 'stdin: ""', "keep")) as engine:
        assert (await ran(engine, {})).state["a"] == ""


def test_the_keys_are_refused_where_no_command_runs(tmp_path: Path, capsys: Capture) -> None:
    victor = Victor(files(tmp_path, "env: {HOST: x}", "call"), capsys)
    assert victor("validate", str(victor.root)) != 0
    said = victor.out + victor.err
    assert "node 'a': env is for the process of a command, and handlers.call is http" in said
    assert victor("run", "w") != 0
