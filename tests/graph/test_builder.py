"""Workflows from the builder equal those of YAML files with the same content, and run in the engine."""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tests.engine.support import engine_on, question, until_end
from tests.engine.support import workspace as workspace_in
from victor_engine.api import Answer
from victor_engine.definition import (
    RetryPolicy,
    WorkflowDefinition,
    checksum,
    definition_to_content,
    load_workflow_from_yaml,
)
from victor_engine.errors import UsageError
from victor_engine.graph import GraphDefinitionError, WorkflowBuilder, register_workflow, workflow

YAML = """
    workflows:
      release:
        description: From a plan to a release
        version: "1.2.0"
        max_iterations: 20
        nodes:
          - id: plan
            type: agent
            role: planner
            goal: "Plan {what}"
            tool_budget: 5
            retry_policy: {max_attempts: 2, initial_delay: 0.5}
            next: [risky]
          - id: risky
            type: condition
            condition: risk_of
            branches: {high: approve, low: both}
          - id: approve
            type: hitl
            prompt: "Release {what}?"
            context_keys: [what]
            timeout_seconds: 600
            fallback: abort
            next: {approved: both, rejected: report}
          - id: both
            type: parallel
            parallel_nodes: [build, scan]
            next: [report]
          - {id: build, type: compute, handler: build, timeout_seconds: 60}
          - {id: scan, type: compute, handler: scan}
          - {id: report, type: transform, transform: "report = report_transform(ctx)"}
    """


def risk_of(state: dict[str, Any]) -> str:
    return "high" if state.get("risk", 0) > 5 else "low"


def release(version: str = "1.2.0") -> WorkflowBuilder:
    return (
        WorkflowBuilder("release", "From a plan to a release", version=version, max_iterations=20)
        .add_agent(
            "plan", "planner", "Plan {what}", tool_budget=5, retry=RetryPolicy(max_attempts=2, initial_delay=0.5)
        )
        .add_condition("risky", risk_of, {"high": "approve", "low": "both"})
        .add_hitl_approval(
            "approve", "Release {what}?", context_keys=["what"], timeout=600, fallback="abort",
            next_nodes={"approved": "both", "rejected": "report"},
        )
        .add_parallel("both", ["build", "scan"])
        .add_compute("build", "build", timeout=60)
        .add_compute("scan", "scan")
        .add_transform("report", lambda ctx: f"{ctx['what']}: {ctx.get('approve')}")
    )  # fmt: skip


def same(one: WorkflowDefinition, other: WorkflowDefinition) -> bool:
    contents = [definition_to_content(definition) for definition in (one, other)]
    return checksum(contents[0]) == checksum(contents[1]) and one.nodes == other.nodes


def test_a_built_definition_equals_that_of_the_file() -> None:
    built = release().build()
    assert isinstance(built, WorkflowDefinition)
    assert same(built, load_workflow_from_yaml(dedent(YAML))["release"])
    assert not same(built, release("1.2.1").build())


def test_the_decorator_names_and_describes() -> None:
    @workflow("ship", "To the customer")
    def made() -> WorkflowBuilder:
        return release()

    definition, functions = made.built()
    assert (definition.name, definition.description) == ("ship", "To the customer")
    assert set(functions) == {"risk_of", "report_transform"}
    content = definition_to_content(definition)
    assert content["description"] == "To the customer"
    assert made().nodes == release().build().nodes


def test_the_default_edges_of_a_builder() -> None:
    built = (
        WorkflowBuilder("w")
        .add_transform("a", "x = 1")
        .add_transform("b", "x = 2")
        .add_transform("end", "x = 3", next_nodes=[])
        .add_transform("c", "x = 4")
        .chain("a", "c")
        .chain("b", "end")
        .build()
    )
    assert {node.id: node.next for node in built.nodes.values()} == {
        "a": ("b", "c"), "b": ("end",), "end": (), "c": (),
    }  # fmt: skip


def merge(state: dict[str, Any]) -> str:
    return ""


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda b: b.add_transform("a", "x = 1"), "a node 'a' exists already"),
        (lambda b: b.chain("a", "b"), "node 'b' does not exist"),
        (lambda b: b.add_transform("b", "x = 1", next_nodes=["c"]), "'c'"),
        (lambda b: b.add_condition("b", "x", {"yes": "c"}), "'c'"),
        (lambda b: b.add_parallel("p", ["c"]), "'c'"),
        (lambda b: b.add_transform("b", merge), "another function 'merge'"),
        (
            lambda b: b.add_transform("b", "x = 1", next_nodes=[]).add_transform("c", "x = 1"),
            "node 'c' cannot be reached",
        ),
    ],
)
def test_errors_are_named(build: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        build(WorkflowBuilder("w").add_transform("a", "x = 1")).build()


def test_an_empty_builder_is_an_error() -> None:
    with pytest.raises(GraphDefinitionError, match="has no nodes"):
        WorkflowBuilder("w").build()


FILES = {
    "victor.yaml": f"""
        handlers:
          build: {{command: [{sys.executable}, -c, "print(1)"]}}
          scan: {{command: [{sys.executable}, -c, "print(2)"]}}
        agents:
          planner: {{command: [{sys.executable}, -c, "print(3)"]}}
        """
}


@pytest.mark.process
async def test_a_built_approval_is_answered_in_the_engine(tmp_path: Path) -> None:
    async with engine_on(workspace_in(tmp_path, FILES)) as engine:
        assert await register_workflow(engine, release()) == "1.2.0"
        run = await engine.start_run("release", state={"what": "7.1", "risk": 9})
        asked = await question(engine, run.id)
        assert asked.prompt == "Release 7.1?"
        await engine.answer(asked.id, asked.revision, Answer(outcome="approved"))
        ended = await until_end(engine, run.id)
        assert ended.run.status == "succeeded"
        assert ended.state["report"] == "7.1: True"
        assert {attempt.node_id for attempt in ended.attempts} >= {"approve", "build", "scan"}


async def test_a_function_cannot_replace_another_of_the_same_name(tmp_path: Path) -> None:
    def other(state: dict[str, Any]) -> str:
        return "low"

    other.__name__ = "risk_of"
    async with engine_on(workspace_in(tmp_path, FILES)) as engine:
        await register_workflow(engine, release())
        await engine.reload()
        with pytest.raises(UsageError, match="another function 'risk_of'"):
            await register_workflow(engine, WorkflowBuilder("w").add_condition("a", other, {"low": None}))
