"""The checks of a whole workflow: targets, reachable nodes, expressions, keys and schedule."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from victor_engine.config.yaml_locations import did_you_mean
from victor_engine.definition.checks.concurrency_checks import check_concurrency
from victor_engine.definition.checks.declared_tests import check_tests
from victor_engine.definition.checks.human_checks import check_hitl
from victor_engine.definition.checks.input_checks import check_schedule_inputs
from victor_engine.definition.checks.reserved_names import check_reserved
from victor_engine.definition.checks.secret_checks import check_secrets
from victor_engine.definition.checks.text_places import place_in_text
from victor_engine.definition.dialect_keys import PROCESS
from victor_engine.definition.expressions.expression import (
    ExpressionProblem,
    FunctionRegistry,
    check_assignments,
    check_expression,
    names_read,
    names_written,
)
from victor_engine.definition.graph import handler_of, reachable
from victor_engine.definition.model import (
    AgentNode,
    ComputeNode,
    ConditionNode,
    FailNode,
    HITLNode,
    MapNode,
    Node,
    ParallelNode,
    SubWorkflowNode,
    SucceedNode,
    TeamNode,
    TransformNode,
    WorkflowDefinition,
)
from victor_engine.definition.nodes.map import check_maps, over_expression
from victor_engine.definition.reader import Problems, Reader
from victor_engine.reserved import ENDS

_INPUT_NAME = re.compile(r"\$ctx\.([A-Za-z_]\w*)")


def check_workflow(
    definition: WorkflowDefinition,
    reader: Reader,
    readers: Mapping[str, Reader],
    problems: Problems,
    functions: FunctionRegistry,
) -> None:
    """Add each problem of the workflow as a whole to `problems`."""
    start = reader.first("start_node", "start", "entry_point")
    of = handler_of(definition)
    if start and (definition.start_node not in definition.nodes or definition.start_node in of):
        problems.error(
            reader.place(start),
            f"{reader.what}: the start node {definition.start_node!r} does not exist",
            did_you_mean(str(definition.start_node), readers),
        )
        return
    valid = True
    for node in definition.nodes.values():
        same = {each: found for each, found in readers.items() if of.get(each) == of.get(node.id)}
        valid = _check_targets(node, readers, same, problems) and valid
    check_maps(definition.nodes, readers, problems)
    if valid and len(definition.nodes) == len(readers):
        _check_reachable(definition, readers, problems)
    for node in definition.nodes.values():
        node_reader = readers[node.id]
        if isinstance(node, ConditionNode):
            _language(check_expression(node.condition, functions), node_reader, "condition", problems)
            _check_keys_read(definition, node, node_reader, problems, functions)
        elif isinstance(node, TransformNode):
            _language(check_assignments(node.transform, functions), node_reader, "transform", problems)
        elif isinstance(node, HITLNode):
            check_hitl(node, node_reader, problems)
        elif isinstance(node, MapNode) and isinstance(node.over, str):
            _language(check_expression(over_expression(node.over), functions), node_reader, "over", problems)
        if node.when is not None:
            _language(check_expression(node.when, functions), node_reader, "when", problems)
        if definition.breaker_for(node) is None:
            _check_breaker(node, node_reader, problems)
        _check_interrupt(node, node_reader, problems)
    check_tests(reader)
    check_reserved(definition, reader, readers, problems)
    check_secrets(definition, readers, problems)
    _check_schedule(definition, reader, problems)
    check_schedule_inputs(definition, reader, problems)
    check_concurrency(definition, reader, problems)


def _check_breaker(node: Node, reader: Reader, problems: Problems) -> None:
    if node.circuit_breaker is not None or node.circuit_breaker_enabled:
        key = reader.first("circuit_breaker", "circuit_breaker_enabled")
        problems.warning(
            reader.place(key),
            f"{reader.what}: {key} has no effect here"
            + (", because circuit_breaker_enabled is false" if node.circuit_breaker_enabled is False else ""),
            "Only nodes that do work have a circuit breaker: agent, compute, team, workflow",
            strict=False,
        )


def _check_interrupt(node: Node, reader: Reader, problems: Problems) -> None:
    if node.on_interrupt != "retry" and not isinstance(node, AgentNode | ComputeNode | TeamNode):
        problems.warning(
            reader.place("on_interrupt"),
            f"{reader.what}: on_interrupt has no effect here",
            "Only work outside the engine can be interrupted: agent, compute, team",
            strict=False,
        )


def _check_targets(
    node: Node, readers: Mapping[str, Reader], same: Mapping[str, Reader], problems: Problems
) -> bool:
    """Add a problem for each target that is not in `same`, the nodes of the same graph."""
    reader = readers[node.id]
    valid = True
    for target, label, kind in node.targets():
        if target in same:
            continue
        valid = False
        key = {
            "next": "next", "branch": "branches", "outcome": "next", "error": "on_error",
            "member": "node" if isinstance(node, MapNode) else "parallel_nodes",
        }[kind]  # fmt: skip
        path = (
            (*reader.path, key, label) if kind in ("branch", "outcome") else _item_path(reader, key, target)
        )
        where = (
            f"branch {label!r} of {reader.what}" if label and kind != "error" else f"{key} of {reader.what}"
        )
        problems.error(
            reader.document.place(path),
            f"{where} leads to {target!r}, "
            + (
                "a node of another graph of the workflow"
                if target in readers
                else "a node that does not exist"
            ),
            "The nodes of on_failure, on_cancel and finally lead only to nodes of the same handler, and no other node "
            "leads to them"
            if target in readers
            else did_you_mean(target, same),
        )
    if any(target == node.id for target, _, kind in node.targets() if kind == "member"):
        key = "node" if isinstance(node, MapNode) else "parallel_nodes"
        problems.error(reader.place(key), f"{reader.what} contains itself")
        valid = False
    return valid


def _item_path(reader: Reader, key: str, target: str) -> tuple[str | int, ...]:
    value = reader.data.get(key)
    if isinstance(value, list) and target in value:
        return (*reader.path, key, value.index(target))
    return (*reader.path, key)


def _check_reachable(
    definition: WorkflowDefinition, readers: Mapping[str, Reader], problems: Problems
) -> None:
    reached = reachable(definition)
    unreachable = [node_id for node_id in definition.nodes if node_id not in reached]
    # Only the first node of an unreachable chain is reported; the others follow from it.
    entered = {
        target
        for node_id in unreachable
        for target, _, _ in definition.nodes[node_id].targets()
        if target != node_id
    }
    roots = [node_id for node_id in unreachable if node_id not in entered] or unreachable[:1]
    for node_id in roots:
        remedy = "Name it in the next or branches of another node, or remove it"
        if node_id in ENDS:
            remedy = f"In branches, {node_id} means the end of the run: give the node another name"
        problems.error(
            readers[node_id].place("id"),
            f"node {node_id!r} cannot be reached from the start ({_start_of(definition, node_id)!r})",
            remedy,
        )


def _start_of(definition: WorkflowDefinition, node_id: str) -> str:
    handler = handler_of(definition).get(node_id)
    return definition.start if handler is None else definition.handlers[handler].start


def _language(found: list[ExpressionProblem], reader: Reader, key: str, problems: Problems) -> None:
    """Add the problems inside a text, with their places in the file."""
    path = (*reader.path, key)
    for problem in found:
        problems.warning(
            place_in_text(reader.document, path, problem.line, problem.column),
            f"{reader.what}: {problem.message}; the node fails if it is reached",
            "Register a function for it, or bind a compute node to a command",
        )


# --- keys that are written and read ------------------------------------------------------------


def _written(definition: WorkflowDefinition) -> dict[str, str]:
    """Return the state keys that the definition is known to write, with the node that writes each."""
    keys: dict[str, str] = {}
    for node in definition.nodes.values():
        if isinstance(node, TransformNode):
            keys.update(dict.fromkeys(names_written(node.transform), node.id))
        elif not isinstance(node, ConditionNode | ParallelNode | FailNode | SucceedNode) or node.output:
            keys[node.output_key] = node.id
    return keys


def _given(definition: WorkflowDefinition) -> set[str]:
    """Return the state keys that the file expects in the initial state."""
    names: set[str] = set() if definition.inputs is None else set(definition.inputs.properties)

    def collect(value: Any) -> None:
        if isinstance(value, str):
            names.update(_INPUT_NAME.findall(value))
        elif isinstance(value, Mapping):
            for item in value.values():
                collect(item)
        elif isinstance(value, list | tuple):
            for item in value:
                collect(item)

    for node in definition.nodes.values():
        if isinstance(node, AgentNode | ComputeNode | TeamNode | SubWorkflowNode):
            collect([getattr(node, key, None) for key in ("inputs", *PROCESS)])
            names.update(str(v).split(".")[0] for v in node.input_mapping.values() if isinstance(v, str))
    schedule = definition.schedule or {}
    for key in ("initial_state", "state"):
        if isinstance(schedule.get(key), Mapping):
            names.update(schedule[key])
    return names


def _check_keys_read(
    definition: WorkflowDefinition,
    node: ConditionNode,
    reader: Reader,
    problems: Problems,
    functions: FunctionRegistry,
) -> None:
    """Warn of a condition that reads a key which no node writes."""
    written = _written(definition)
    known = set(written) | _given(definition) | {"human", "errors", "ctx", "state"}
    questions = {
        other.id: other
        for other in definition.nodes.values()
        if isinstance(other, HITLNode) and node.id in (*other.next, *other.outcomes.values())
    }
    if node.condition.strip() in functions:
        return
    for name in sorted(names_read(node.condition)):
        if name in known:
            continue
        if questions:
            question = next(iter(questions.values()))
            problems.warning(
                reader.place("condition"),
                f"{reader.what} reads {name!r}, which no node writes",
                f"The answer to {question.id!r} is under {question.output_key!r}: read that key, or add output: {name} "
                "to the node",
                strict=False,
            )
            continue
        close = get_close_matches(name, sorted(written), n=1, cutoff=0.9)
        if close:
            problems.warning(
                reader.place("condition"),
                f"{reader.what} reads {name!r}, and no node is known to write it",
                f"Did you mean {close[0]!r} (written by {written[close[0]]!r})? A JSON result may also contain the key",
                strict=False,
            )


def _check_schedule(definition: WorkflowDefinition, reader: Reader, problems: Problems) -> None:
    block = definition.schedule
    if block is None:
        return
    specs = [
        key for key in ("cron", "every", "interval", "at", "once", "after") if block.get(key) is not None
    ]
    if len(specs) != 1:
        given = "none is given" if not specs else f"{' and '.join(specs)} are given"
        problems.error(
            reader.place("schedule"),
            f"{reader.what}: schedule needs exactly one of cron, every, at, after; {given}",
        )
