import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.runs.recorder import Recorder, make_call
from victor_engine.config import Config, load_config
from victor_engine.definition.limits import Constraints
from victor_engine.definition.model import (
    AgentNode,
    ComputeNode,
    Node,
    TeamMember,
    TeamNode,
    WorkflowDefinition,
)
from victor_engine.errors import ConfigError, NodeError
from victor_engine.secretrefs import authored
from victor_engine.work.bindings import BindingTable


def table(tmp_path: Path, text: str, **environ: str) -> BindingTable:
    (tmp_path / "victor.yaml").write_text(text)
    config = load_config(tmp_path, environ={"HOME": str(tmp_path)}, system_file=tmp_path / "none")
    return BindingTable(config, environ=environ)


FULL = """
nodes: {deploy.special: {command: [by-node]}}
handlers: {build: {command: [by-handler]}}
tools: {shell: {command: [by-shell]}, git: {command: [by-git]}}
agents: {writer: {command: [by-writer]}}
default_agent: {command: [by-default]}
"""


@pytest.mark.parametrize(
    ("node", "role", "expected"),
    [
        (ComputeNode(id="special", handler="build", tools=("shell",)), None, "by-node"),
        (ComputeNode(id="n", handler="build", tools=("shell",)), None, "by-handler"),
        (ComputeNode(id="n", handler="unknown", tools=("shell", "read")), None, "by-shell"),
        (AgentNode(id="n", role="writer"), None, "by-writer"),
        (AgentNode(id="n", role="writer", tools=("shell",)), None, "by-writer"),
        (AgentNode(id="n", role="other", tools=("shell", "git")), None, "by-default"),
        (AgentNode(id="n"), None, "by-default"),
        (TeamNode(id="t"), "writer", "by-writer"),
    ],
)
def test_the_order_of_bindings(tmp_path: Path, node: Node, role: str | None, expected: str) -> None:
    invoker = table(tmp_path, FULL).resolve("deploy", node, role)
    assert invoker.description == f"command {expected}"


@pytest.mark.parametrize(
    ("node", "words", "where"),
    [
        (AgentNode(id="n", role="writer"), "role 'writer'", ("agents", "writer")),
        (ComputeNode(id="n", handler="h"), "handler 'h'", ("handlers", "h")),
        (ComputeNode(id="n", tools=("read",)), "tool 'read'", ("tools", "read")),
        (ComputeNode(id="n", tools=("read", "edit")), "node 'n'", ("nodes", "deploy.n")),
        (ComputeNode(id="n", tools=("a", "b")), "several", ("nodes", "deploy.n")),
        (AgentNode(id="n", role="yes: no"), "yes: no", ("agents", "yes: no")),
    ],
)
def test_an_unbound_node_is_reported_with_the_lines_that_bind_it(
    tmp_path: Path, node: Node, words: str, where: tuple[str, str]
) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        table(tmp_path, "tools: {a: {command: [x]}, b: {command: [y]}}").resolve("deploy", node)
    lines = caught.value.details["lines"]
    assert lines in str(caught.value)
    assert len(lines.splitlines()) == 3
    section, name = where
    assert list(yaml.safe_load(lines)[section]) == [name]
    assert table(tmp_path, lines).resolve("deploy", node).description.startswith("command ./bin/")


def test_check_reports_each_node_that_cannot_run(tmp_path: Path) -> None:
    nodes = (
        ComputeNode(id="a", handler="h", constraints=Constraints(write_allowed=False)),
        AgentNode(id="b", role="nobody"),
        TeamNode(id="c", members=(TeamMember(id="m", role="writer"), TeamMember(id="lost"))),
    )
    definition = WorkflowDefinition(name="w", nodes={node.id: node for node in nodes}, path="w.yaml")
    bindings = table(tmp_path, "handlers: {h: {command: [cat]}}\nagents: {writer: {command: [cat]}}")
    found = bindings.check(definition, {"b": (7, 9)})
    assert [(p.severity, p.path) for p in found] == [
        ("warning", "w.yaml"),
        ("error", "w.yaml"),
        ("error", "w.yaml"),
    ]
    assert "write_allowed: false is not enforced" in found[0].message
    assert "'nobody'" in found[1].message
    assert found[1].remedy.startswith("Add to victor.yaml:\nagents:\n  nobody:\n")
    assert "'lost'" in found[2].message
    assert [(p.line, p.column) for p in found] == [(0, 0), (7, 9), (0, 0)]


def test_lines_that_bind_several_nodes_are_shown_once(tmp_path: Path) -> None:
    nodes = {id: ComputeNode(id=id, handler="h") for id in ("a", "b")}
    first, second = table(tmp_path, "").check(WorkflowDefinition(name="w", nodes=nodes))
    assert first.remedy == "Add to victor.yaml:\nhandlers:\n  h:\n    command: [./bin/h]"
    assert second.remedy == "The lines for node 'a' bind this node too"


def test_the_summary_lists_everything_that_trust_allows(tmp_path: Path) -> None:
    text = """
functions: {age: "acme.time:age"}
tools:
  a: {command: [rm, -rf, /tmp/x]}
  b: {python: "acme.b:run"}
  c: {http: {url: "https://example.test/c", headers: {Authorization: "Bearer $secret.t"}}}
default_agent: {chat: {base_url: "https://llm.test/v1", model: big, api_key_env: K}}
"""
    commands, functions, urls = table(tmp_path, text).summary()
    assert commands == ("rm -rf /tmp/x",)
    assert functions == ("acme.time:age", "acme.b:run")
    assert urls == ("POST https://example.test/c", "https://llm.test/v1 (big)")


async def call_with(bindings: BindingTable, node: Node, **more: Any) -> tuple[Any, Recorder]:
    recorder = Recorder()
    result = await bindings.resolve("w", node)(make_call(**more), recorder)
    return result, recorder


@pytest.mark.process
async def test_a_secret_reaches_the_work_and_nothing_else(tmp_path: Path) -> None:
    text = """tools: {t: {command: [sh, -c, 'read x; echo "$x" >&2; echo "$x"'], env: {A: b}}}"""
    bindings = table(tmp_path, text, VICTOR_SECRET_DB="hunter2-long")
    inputs = {"url": authored("db://$secret.db@host"), "given": "$secret.other"}
    node = ComputeNode(id="n", tools=("t",), inputs={"url": "db://$secret.db@host", "given": "$ctx.given"})
    probe = """tools: {t: {command: [sh, -c, 'grep -c hunter2-long']}}"""
    seen, _ = await call_with(table(tmp_path, probe, VICTOR_SECRET_DB="hunter2-long"), node, inputs=inputs)
    assert seen == 1
    result, recorder = await call_with(bindings, node, inputs=inputs)
    assert result["inputs"] == {"url": "db://***@host", "given": "$secret.other"}  # never named by the author
    assert "hunter2" not in json.dumps(recorder.lines)


@pytest.mark.process
async def test_a_secret_in_an_error_is_masked(tmp_path: Path) -> None:
    text = """tools: {t: {command: [sh, -c, 'echo "bad $TOKEN" >&2; exit 1'], env: {TOKEN: $secret.tok}}}"""
    bindings = table(tmp_path, text, VICTOR_SECRET_TOK="abcd-efgh")
    with pytest.raises(NodeError) as caught:
        await call_with(bindings, ComputeNode(id="n", tools=("t",)))
    assert str(caught.value).endswith("exit code 1: bad ***")
    assert "abcd" not in repr(caught.value.to_wire())


async def test_the_error_about_a_missing_secret_gives_its_possible_sources(tmp_path: Path) -> None:
    bindings = table(tmp_path, "tools: {t: {command: [cat]}}")
    node = ComputeNode(id="n", tools=("t",), inputs={"a": "$secret.db-main"})
    with pytest.raises(NodeError, match="set VICTOR_SECRET_DB_MAIN") as caught:
        await call_with(bindings, node, inputs={"a": authored("$secret.db-main")})
    assert caught.value.retryable is False


@pytest.mark.parametrize(
    ("binding", "constraints", "words"),
    [
        ("chat: {base_url: 'http://x', model: m}", Constraints(llm_allowed=False), "language model"),
        ("http: 'http://x'", Constraints(network_allowed=False), "needs the network"),
    ],
)
async def test_work_is_refused_if_a_constraint_forbids_it(
    tmp_path: Path, binding: str, constraints: Constraints, words: str
) -> None:
    bindings = table(tmp_path, f"agents: {{a: {{{binding}}}}}")
    with pytest.raises(NodeError, match=words) as caught:
        await call_with(bindings, AgentNode(id="n", role="a"), constraints=constraints)
    assert caught.value.error_type == "ConstraintError"


@pytest.mark.process
async def test_the_log_names_a_constraint_that_is_not_enforced(tmp_path: Path) -> None:
    bindings = table(tmp_path, "tools: {t: {command: ['true']}}")
    node = ComputeNode(id="n", tools=("t",))
    _, recorder = await call_with(bindings, node, constraints=Constraints(filesystem_allowed=False))
    assert recorder.text("log") == ["filesystem_allowed: false is not enforced for this binding"]


def test_an_empty_configuration_binds_nothing(tmp_path: Path) -> None:
    bindings = BindingTable(Config(workspace=tmp_path))
    with pytest.raises(ConfigError, match="has no binding"):
        bindings.resolve("w", ComputeNode(id="n"))
    assert bindings.summary() == ((), (), ())


def test_check_warns_about_a_missing_program(tmp_path: Path) -> None:
    definition = WorkflowDefinition(name="w", nodes={"a": ComputeNode(id="a", tools=("t",))})
    (problem,) = table(tmp_path, "tools: {t: {command: [./absent]}}").check(definition)
    assert problem.severity == "warning"
    assert "absent" in problem.message
    assert "victor.yaml:1:9" in problem.message


def test_functions_for_expressions_are_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", [*sys.path])
    (tmp_path / "own_functions.py").write_text("def double(x): return 2 * x\n")
    assert table(tmp_path, "functions: {twice: 'own_functions:double'}").functions()["twice"](4) == 8
    with pytest.raises(ConfigError, match=r"victor.yaml:1:13: functions.f: .*AttributeError"):
        table(tmp_path, "functions: {f: 'own_functions:absent'}").functions()
