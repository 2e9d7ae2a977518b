"""An accepted setting has an effect, or a warning with its location."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.engine.support import engine_on, workspace
from victor_engine.cli.main import cli
from victor_engine.errors import ConfigError

WORKFLOW = "workflows: {w: {nodes: [{id: a, type: compute, handler: get}]}}"
SETTINGS = """\
scheduler: {history_retention_days: 0}
roles: {admin: [root], viewer: [root]}
permissions:
  operator: [root]
hitl: {allow_self_approval: true}
nodes:
  w.b: {command: [cat]}
  w.a: {command: [echo, $secret.token]}
handlers:
  get: {http: {url: "http://127.0.0.1:1", method: get, body: {a: 1}, timeout: 5}, timeout: 9, env: {A: b}}
agents:
  x: {chat: {base_url: "http://127.0.0.1:1", model: m, api_key_env: A_KEY, api_key_file: key, system: $secret.s}}
"""
WANTED = [
    (2, "the role 'admin' gives no rights: it only names the people who are asked as @admin"),
    (2, "the role 'viewer' gives no rights"),
    (3, "permissions has no effect in this layer: it is a security setting"),
    (7, "nodes.w.b has no effect: no workflow has a node of this name"),
    (8, "nodes.w.a: $secret.token in command is not replaced with the secret"),
    (10, "handlers.get: env has no effect: http starts no process"),
    (10, "handlers.get: http.body has no effect: GET requests have no body"),
    (10, "handlers.get: http.timeout has no effect: the timeout of the binding takes precedence"),
    (12, "agents.x: chat.api_key_env has no effect: the key is read from api_key_file"),
    (12, "agents.x: $secret.s in chat.system is not replaced with the secret"),
]


async def test_each_setting_without_effect_is_a_warning_with_its_location(tmp_path: Path) -> None:
    root = workspace(tmp_path, {"victor.yaml": SETTINGS, "w.yaml": WORKFLOW})
    async with engine_on(root) as engine:
        told = (await engine.engine()).problems
    done = CliRunner().invoke(cli, ["validate", "--json", str(root / "w.yaml")])
    assert done.exit_code == 3, done.output
    validated = json.loads(done.stdout)
    at_home = [p for p in told if p.path == str(root / "victor.yaml")]
    assert [p.line for p in at_home if p.severity != "warning"] == [3], "only a security setting is an error"
    engines = sorted((problem.line, problem.message) for problem in at_home)
    files = sorted(
        (problem["line"], problem["message"])
        for problem in validated
        if problem["path"] == str(root / "victor.yaml")
    )
    assert engines == files
    assert len(engines) == len(WANTED), engines
    for line, words in WANTED:
        assert [found for found in engines if found[0] == line and found[1].startswith(words)], (line, words)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("scheduler: {history_retention_day: 3}", "Did you mean 'history_retention_days'?"),
    ],
)
async def test_an_unknown_role_or_key_is_an_error(tmp_path: Path, settings: str, words: str) -> None:
    root = workspace(tmp_path, {"victor.yaml": settings, "w.yaml": WORKFLOW})
    with pytest.raises(ConfigError, match=re.escape(words)):
        async with engine_on(root):
            pass
    done = CliRunner().invoke(cli, ["validate", str(root / "w.yaml")])
    assert isinstance(done.exception, ConfigError)
    assert words in str(done.exception)


async def test_a_setting_with_effect_is_not_a_warning(tmp_path: Path) -> None:
    settings = """\
        scheduler: {history_retention_days: 0}
        roles: {lead: [root]}
        nodes: {w.a: {command: [cat], env: {A: $secret.a}, cwd: ., grace: 1}}
        """
    root = workspace(tmp_path, {"victor.yaml": settings, "w.yaml": WORKFLOW})
    async with engine_on(root) as engine:
        assert (await engine.engine()).problems == ()
