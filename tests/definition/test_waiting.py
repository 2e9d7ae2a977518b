"""The reader of wait and workflow nodes: values, problems and their places."""

from __future__ import annotations

import pytest

from victor_engine.definition import (
    SubWorkflowNode,
    WaitNode,
    definition_from_content,
    definition_to_content,
    load_workflow_from_yaml,
)
from victor_engine.definition.checks.nested_workflows import check_nesting
from victor_engine.definition.graph import detail
from victor_engine.definition.loader import load_text


def wait(keys: str) -> WaitNode:
    after = "      - {id: a, type: transform, transform: x = 1}\n" if "next" in keys else ""
    workflows = load_workflow_from_yaml(
        f"workflows:\n  w:\n    nodes:\n      - {{id: w, type: wait, {keys}}}\n{after}"
    )
    node = workflows["w"].nodes["w"]
    assert isinstance(node, WaitNode)
    # What is stored and read again is the same node.
    content = definition_to_content(workflows["w"])
    assert definition_from_content("w", content).nodes["w"] == node
    return node


@pytest.mark.parametrize(
    ("keys", "field", "value", "line"),
    [
        ("for: 10m", "seconds", 600.0, "10 m"),
        ("seconds: 90", "seconds", 90.0, "1 m 30 s"),
        ("for: $ctx.delay", "seconds", "$ctx.delay", "$ctx.delay"),
        ('until: "09:00"', "until", "09:00", "until 09:00"),
        ("until: 10:30", "until", "10:30", "until 10:30"),
        ("until: 2026-03-31T09:00:00", "until", "2026-03-31T09:00:00", "until 2026-03-31T09:00:00"),
        ("until: $ctx.at", "until", "$ctx.at", "until $ctx.at"),
        ("file: in/x.csv, stable_for: 5s", "stable_for", 5.0, "file in/x.csv"),
        ("http: https://x/y", "http", {"url": "https://x/y"}, "GET https://x/y"),
        ("for: 1h, timeout: 5m, next: {done: a, timed_out: a}", "on_timeout", "continue", "1 h"),
    ],
)
def test_the_node_has_the_values_of_its_file(keys: str, field: str, value: object, line: str) -> None:
    node = wait(keys)
    assert getattr(node, field) == value
    assert detail(node) == line


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("description: x", "exactly one of for, until, file and http, and this one has none"),
        ("for: 1m, until: '09:00'", "has for and until"),
        ("for: soon", "for must be a number of seconds"),
        ("until: later", "which is not a time"),
        ("until: '09:00', timezone: Europe/Berln", "the time zone 'Europe/Berln' does not exist"),
        ("for: 1m, timezone: UTC", "timezone can be used only with until"),
        ("http: {status: 200}", "needs a url"),
        ("http: {url: x, status: 99}", "status must be a status such as 200"),
        ("http: {url: x, jsn: y}", "unknown key 'jsn'"),
        ("for: 1m, next: {done: w, failed: w}", "the outcome 'failed' is not possible here"),
        ("for: 1m, next: {timed_out: w}", "no node for the outcome 'done'"),
        ("for: 1m, on_timeout: approve", "on_timeout cannot be 'approve'"),
        ("file: x, poll: 0.01", "poll must be at least"),
    ],
)
def test_each_problem_has_its_place(keys: str, words: str) -> None:
    text = f"workflows:\n  w:\n    nodes:\n      - {{id: w, type: wait, {keys}}}\n"
    problems = load_text(text).problems
    found = [p for p in problems if words in p.message and p.severity == "error"]
    assert found, problems
    assert found[0].line == 4


def test_a_workflow_as_a_node() -> None:
    workflows = load_workflow_from_yaml(
        "workflows:\n  w:\n    nodes:\n"
        "      - {id: c, type: workflow, workflow: child, version: 1.10, inputs: {a: $ctx.b}, output: got,"
        " next: {succeeded: a, rejected: a}}\n"
        "      - {id: a, type: transform, transform: x = 1}\n"
    )
    node = workflows["w"].nodes["c"]
    assert isinstance(node, SubWorkflowNode)
    assert (node.workflow, node.version, node.merge, node.wait) == ("child", "1.10", False, True)
    assert detail(node) == "child 1.10"
    again = definition_from_content("w", definition_to_content(workflows["w"]))
    assert again.nodes["c"] == node


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("output: x", "needs a workflow"),
        ("workflow: x, next: {failed: c}", "the outcome 'failed' is not possible here"),
        ("workflow: x, next: {rejected: c}", "no node for the outcome 'succeeded'"),
    ],
)
def test_an_invalid_workflow_node(keys: str, words: str) -> None:
    problems = load_text(
        f"workflows:\n  w:\n    nodes:\n      - {{id: c, type: workflow, {keys}}}\n"
    ).problems
    assert [p for p in problems if words in p.message and p.line == 4], problems


def test_a_node_with_the_id_no_needs_quotes() -> None:
    text = "workflows:\n  w:\n    nodes:\n      - {id: no, type: wait, for: 1m}\n"
    (problem,) = [p for p in load_text(text).problems if "boolean" in p.message]
    assert (problem.severity, problem.line) == ("error", 4)
    assert "quotes" in problem.remedy


def test_a_workflow_that_starts_itself_and_an_unknown_child_workflow_are_warnings() -> None:
    def starts(name: str, *children: str) -> str:
        more = [f", next: [n{i + 1}]" for i in range(len(children) - 1)] + [""]
        nodes = "".join(
            f"      - {{id: n{i}, type: workflow, workflow: {child}{more[i]}}}\n"
            for i, child in enumerate(children)
        )
        return f"  {name}:\n    nodes:\n{nodes}"

    text = "workflows:\n" + starts("a", "b", "leaf") + starts("b", "a") + starts("c", "beta", "a")
    text += "  leaf: {nodes: [{id: x, type: transform, transform: x = 1}]}\n"
    found = check_nesting(load_workflow_from_yaml(text).values())
    assert [(name, problem.severity) for name, problem in found] == [
        ("a", "warning"), ("b", "warning"), ("c", "warning"),
    ]  # fmt: skip
    assert "a → b → a, at node 'n0'" in found[0][1].message
    assert "node 'n0' starts 'beta'" in found[2][1].message
