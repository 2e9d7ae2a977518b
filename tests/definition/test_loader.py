# ruff: noqa: E501 -- a table of files, each as one text
"""The loader of workflow files: the dialect, and the place and remedy of each problem."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from victor_engine.definition import (
    AgentNode,
    ConditionNode,
    HITLNode,
    ParallelNode,
    TeamNode,
    checksum,
    definition_from_content,
    definition_to_content,
    load_workflow_from_yaml,
)
from victor_engine.definition.loader import load_file, load_text
from victor_engine.definition.templates import render, resolve_inputs, resolve_mapping
from victor_engine.errors import DefinitionError, NodeError

BAD = {
    "a syntax error": ("workflows: [\n", "error", 2, 1, "not valid YAML"),
    "an empty file": ("", "error", 1, 1, "empty"),
    "an unpaired surrogate": ('workflows:\n  w:\n    nodes: [{id: a, goal: "\\ud800"}]\n', "error", 3, 27, "an unpaired surrogate"),
    "a key given twice": ("workflows:\n  w:\n    nodes: []\n    nodes: []\n", "error", 4, 5, "'nodes' is given twice"),
    "an unknown key": (
        "workflows:\n  w:\n    nodes:\n      - {id: a, type: agent, role: r, goall: x}\n", "error", 4, 39, "Did you mean 'goal'",
    ),
    "a key that is not similar to a known one": (
        "workflows:\n  w:\n    nodes:\n      - {id: a, type: agent, role: r, qqqqqq: x}\n", "warning", 4, 39, "the engine passes it on",
    ),
    "a successor that does not exist": (
        "workflows:\n  w:\n    nodes:\n      - {id: a, type: agent, role: r, next: [bee]}\n      - {id: bees, type: agent, role: r}\n",
        "error", 4, 46, "Did you mean 'bees'",
    ),
    "a branch to a node that does not exist": (
        "workflows:\n  w:\n    nodes:\n      - id: a\n        type: condition\n        condition: x\n        branches:\n"
        "          yes: nowhere\n", "error", 8, 16, "does not exist",
    ),
    "an unreachable node": (
        "workflows:\n  w:\n    nodes:\n      - {id: a, type: agent, role: r}\n      - {id: b, type: agent, role: r}\n",
        "error", 5, 14, "cannot be reached",
    ),
    "a duplicate id": (
        "workflows:\n  w:\n    nodes:\n      - {id: a, type: agent, role: r}\n      - {id: a, type: agent, role: r}\n",
        "error", 5, 14, "used twice",
    ),
    "an unknown type": ("workflows:\n  w:\n    nodes:\n      - {id: a, type: agnet}\n", "error", 4, 23, "Did you mean 'agent'"),
    "a wrong timeout": (
        "workflows:\n  w:\n    nodes:\n      - {id: a, type: agent, role: r, timeout: -1}\n", "error", 4, 48, "greater than zero",
    ),
    "a loop in a transform": (
        "workflows:\n  w:\n    nodes:\n      - id: a\n        type: transform\n        transform: |\n          x = []\n"
        "          for y in x:\n            z = 1\n", "warning", 8, 11, "a loop (for)",
    ),
    "an unknown function": (
        "workflows:\n  w:\n    nodes:\n      - {id: a, type: transform, transform: 'x = blub(1)'}\n", "warning", 4, 50, "unknown function 'blub'",
    ),
    "too many approvals": (
        "workflows:\n  w:\n    nodes:\n      - {id: a, type: hitl, assignees: [x], required_approvals: 2}\n", "error", 4, 65, "only one person",
    ),
    "a map without an outcome": (
        "workflows:\n  w:\n    nodes:\n      - {id: a, type: hitl, next: {approved: b}}\n      - {id: b, type: agent, role: r}\n",
        "error", 4, 35, "'rejected'",
    ),
    "approval without an answer": (
        "workflows:\n  w:\n    nodes:\n      - {id: a, type: hitl, fallback: approve}\n", "warning", 4, 39, "without an answer the request is approved",
    ),
    "a default that violates its schema": (
        "workflows:\n  w:\n    nodes:\n      - {id: a, type: hitl, hitl_type: input, input_schema: {type: integer}, default_value: x}\n",
        "error", 4, 93, "does not match",
    ),
    "two ways to be scheduled": (
        "workflows:\n  w:\n    schedule: {cron: '@daily', every: 1h}\n    nodes: [{id: a, type: agent, role: r}]\n",
        "error", 3, 15, "exactly one of",
    ),
    "a start node that does not exist": (
        "workflows:\n  w:\n    start: b\n    nodes: [{id: a, type: agent, role: r}]\n", "error", 3, 12, "does not exist",
    ),
    "an alias bomb": (
        "a: &a [1,1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
        "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n",
        "error", None, None, "more than 200000 values",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_has_its_place(tmp_path: Path, name: str) -> None:
    text, severity, line, column, message = BAD[name]
    path = tmp_path / "w.yaml"
    path.write_text(text)
    found = [p for p in load_file(path).problems if message in f"{p.message}. {p.remedy}"]
    assert found, [(p.line, p.column, p.message) for p in load_file(path).problems]
    assert found[0].severity == severity
    assert found[0].path == str(path)
    if line is not None:
        assert (found[0].line, found[0].column) == (line, column)


def test_a_character_can_be_written_as_a_surrogate_pair() -> None:
    nodes = [{"id": "a", "type": "hitl", "prompt": "\U0001f600", "choices": ["\U0001f600"]}]
    found = load_workflow_from_yaml(json.dumps({"workflows": {"w\U0001f600": {"nodes": nodes}}}))
    assert found["w\U0001f600"].content == {"nodes": nodes}


def test_an_invalid_workflow_does_not_hide_the_others() -> None:
    result = load_text(
        "workflows:\n  bad:\n    nodes: [{id: a, type: nothing}]\n  good:\n    nodes: [{id: a, type: agent, role: r}]\n"
    )
    assert list(result.workflows) == ["good"]
    assert not result.ok


def test_an_unreadable_file_is_a_problem(tmp_path: Path) -> None:
    assert "cannot be read" in load_file(tmp_path / "none.yaml").problems[0].message
    binary = tmp_path / "b.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    assert "UTF-8" in load_file(binary).problems[0].message


DIALECT = """
workflows:
  w:
    description: All of it
    metadata: {version: 1.10, owner: me}
    schedule: {cron: "0 9 * * *"}
    execution: {max_timeout_seconds: 1h, default_node_timeout: 5m, max_iterations: 50, max_retries: 2}
    nodes:
      - id: a
        role: analyst
        goal: do {x}
        timeout_seconds: 90s
        input_mapping: {data: raw.x}
        retry_policy: {max_attempts: 3, backoff: linear, retryable_errors: [Timeout]}
        llm_config: {temperature: 0.1}
        next: c
      - id: c
        type: condition
        condition: x > 1
        branches: {yes: p, no: h, default: p}
      - {id: p, type: parallel, parallel_nodes: [m, n], join_strategy: n_of_m, join_count: 1, next: [t]}
      - {id: m, type: compute, handler: h, constraints: [llm, write]}
      - {id: n, type: compute, tools: [shell], inputs: {p: "$ctx.x?"}}
      - id: h
        type: hitl
        hitl_type: choice
        choices: [one, {value: 2, label: Two, description: second}]
        timeout: 15m
        on_timeout: continue
        default_value: one
        next: {one: t, default: t}
      - {id: t, type: team, formation: consensus, members: [{role: r}, {id: z, role: q, tool_budget: 3}], next: [e]}
      - {id: e, type: transform, transform: {y: x + 1}}
"""


def test_the_dialect() -> None:
    (workflow,) = load_workflow_from_yaml(DIALECT).values()
    assert workflow.version == "1.10"
    assert workflow.metadata["version"] == "1.10"
    assert workflow.metadata["schedule"] == {"cron": "0 9 * * *"}
    assert (workflow.max_execution_timeout_seconds, workflow.default_node_timeout_seconds) == (3600, 300)
    assert (workflow.max_iterations, workflow.max_retries, workflow.start) == (50, 2, "a")
    a, c, p, h, t = (workflow.nodes[name] for name in "acpht")
    assert isinstance(a, AgentNode)
    assert (a.timeout_seconds, a.next) == (90, ("c",))
    assert a.retry_policy is not None
    assert a.retry_policy.delay_after(3) == 3
    assert isinstance(c, ConditionNode)
    assert [(b.key, b.boolean, b.target) for b in c.branches] == [
        ("yes", True, "p"), ("no", False, "h"), ("default", None, "p"),
    ]  # fmt: skip
    assert isinstance(p, ParallelNode)
    assert (p.join_strategy, p.join_count) == ("n_of_m", 1)
    assert isinstance(h, HITLNode)
    assert (h.fallback, h.default_value, h.choices[1].value, h.outcomes["one"]) == ("continue", "one", 2, "t")
    assert isinstance(t, TeamNode)
    assert [m.id for m in t.members] == ["r", "z"]


def test_a_definition_survives_storage_and_can_be_built_in_python() -> None:
    (workflow,) = load_workflow_from_yaml(DIALECT).values()
    assert workflow.content is not None
    stored = json.loads(json.dumps(workflow.content))
    again = definition_from_content("w", stored)
    assert again.nodes == workflow.nodes
    built = definition_from_content("w", definition_to_content(replace(workflow, content=None)))
    assert built.nodes == workflow.nodes


@given(st.randoms())
def test_a_checksum_is_independent_of_order_and_schedule(random: Any) -> None:
    (workflow,) = load_workflow_from_yaml(DIALECT).values()

    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            items = [(key, shuffled(item)) for key, item in value.items()]
            random.shuffle(items)
            return dict(items)
        return [shuffled(item) for item in value] if isinstance(value, list) else value

    assert workflow.content is not None
    assert checksum(shuffled(workflow.content)) == checksum(workflow.content)
    assert checksum({**workflow.content, "schedule": {"cron": "@daily"}}) == checksum(workflow.content)
    assert checksum({**workflow.content, "max_retries": 9}) != checksum(workflow.content)


def test_shared_nodes_are_included_and_a_cycle_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "gates.yaml").write_text(
        "nodes:\n  - {id: gate, type: hitl, prompt: 'Sure?', timeout: 60}\n  - {$ref: 'gates.yaml#loop', id: loop}\n"
    )
    main = tmp_path / "w.yaml"
    main.write_text(
        "workflows:\n  w:\n    nodes:\n      - {$ref: 'gates.yaml#gate', id: mine, next: [z]}\n"
        "      - {id: z, type: transform, transform: x = 1}\n"
    )
    result = load_file(main)
    assert result.ok, result.problems
    node = result.workflows["w"].nodes["mine"]
    assert isinstance(node, HITLNode)
    assert (node.prompt, node.timeout_seconds, node.next) == ("Sure?", 60, ("z",))
    for reference, message in (
        ("gates.yaml#gatte", "Did you mean 'gate'"), ("none.yaml#x", "cannot be read"), ("gates.yaml", "must be"),
        ("gates.yaml#loop", "refers to itself"),
    ):  # fmt: skip
        main.write_text(f"workflows:\n  w:\n    nodes:\n      - {{$ref: '{reference}', id: a}}\n")
        texts = " ".join(f"{p.message} {p.remedy}" for p in load_file(main).problems)
        assert message in texts


def test_load_workflow_from_yaml_lists_every_error() -> None:
    with pytest.raises(DefinitionError) as caught:
        load_workflow_from_yaml(
            "workflows:\n  w:\n    nodes:\n      - {id: a, type: x}\n      - {id: b, type: y}\n"
        )
    assert caught.value.message.count("does not exist") == 2
    assert len(caught.value.details["problems"]) == 2


def test_templates_and_references() -> None:
    state = {"a": {"b": [1, 2]}, "name": "x", "d": {"k": True}}
    rendered = render("{name} {a.b[1]} {missing} {{name}} {not a name} {d}", state)
    assert rendered.text.startswith("x 2 ⟨missing is missing⟩ {name} {not a name} {")
    assert rendered.missing == ("missing",)
    assert resolve_inputs({"p": "$ctx.a", "q": ["in $ctx.name!", "$ctx.no?"]}, state) == {
        "p": {"b": [1, 2]}, "q": ["in x!", None],
    }  # fmt: skip
    optional = {"p": "$ctx.no?", "q": {"r": "$ctx.no.x?", "s": "a$ctx.no?b"}, "day": "$run.local_date?"}
    assert resolve_inputs(optional, state) == {"q": {"s": "ab"}}
    assert resolve_mapping({"x": "name?", "y": "no?"}, state) == ({"x": "x"}, ())
    with pytest.raises(NodeError, match=r"n: inputs\.p needs \$ctx\.nope"):
        resolve_inputs({"p": "$ctx.nope"}, state, "n")
    assert resolve_mapping({"x": "a.b", "y": "zz"}, state) == ({"x": [1, 2], "y": None}, ("zz",))


@given(st.text(max_size=80), st.dictionaries(st.sampled_from(["a", "b", "c"]), st.text(max_size=5)))
def test_rendering_never_fails_and_returns_the_missing_names(template: str, state: dict[str, str]) -> None:
    found = render(template, state)
    assert all(name not in state for name in found.missing)


def test_a_node_with_the_name_of_the_end_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text(
        "workflows:\n  w:\n    nodes:\n      - {id: c, type: condition, condition: '1 > 0', branches: {true: end, false: end}}\n"
        "      - {id: end, type: transform, transform: 'x = 2'}\n"
    )
    reserved, unreachable = sorted(load_file(path).problems, key=lambda each: each.remedy, reverse=True)
    assert "In branches, end means the end of the run" in unreachable.remedy
    assert "the id 'end' is reserved" in reserved.message
