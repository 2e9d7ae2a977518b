"""Overrides: time limits and numbers of attempts that an operator sets for single nodes of one run."""

from __future__ import annotations

from dataclasses import replace

from victor_engine.api import NodeOverride
from victor_engine.clock import LONGEST
from victor_engine.definition.model import (
    ConditionNode,
    FailNode,
    HITLNode,
    MapNode,
    Node,
    ParallelNode,
    SubWorkflowNode,
    SucceedNode,
    TransformNode,
    WaitNode,
    WorkflowDefinition,
)
from victor_engine.errors import UsageError
from victor_engine.work.retry import DEFAULT_RETRY


def with_overrides(node: Node, override: NodeOverride | None) -> Node:
    """Return the node with the time limit and the number of attempts of its override."""
    if override is None:
        return node
    if override.timeout is not None:
        node = replace(node, timeout_seconds=override.timeout)
    if override.max_attempts is None:
        return node
    policy = node.retry_policy or DEFAULT_RETRY
    return replace(node, retry_policy=replace(policy, max_attempts=override.max_attempts))


def check_override(definition: WorkflowDefinition, wanted: NodeOverride, retry_now: bool) -> None:
    """Raise UsageError if the override cannot have an effect on a node of this definition."""
    node = definition.nodes.get(wanted.node_id)
    if node is None:
        raise UsageError(
            f"{definition.name} has no node {wanted.node_id!r}; its nodes are {', '.join(list(definition.nodes)[:20])}"
        )
    if isinstance(
        node,
        ConditionNode | TransformNode | HITLNode | MapNode | ParallelNode | WaitNode | FailNode | SucceedNode,
    ):
        raise UsageError(
            f"{wanted.node_id} is a {node.type} node; an override applies only to nodes that do work"
        )
    if wanted.timeout is not None and isinstance(node, WaitNode | SubWorkflowNode):
        raise UsageError(
            f"{wanted.node_id} is a {node.type} node; its time limit was fixed when the run reached it"
        )
    if wanted.timeout is not None and not 0 < wanted.timeout <= LONGEST:
        raise UsageError(
            f"the time limit {wanted.timeout:g} s is not valid; give seconds above 0, up to 100 years"
        )
    if wanted.max_attempts is not None and wanted.max_attempts < 1:
        raise UsageError(f"{wanted.max_attempts} is not a valid number of attempts; give 1 or more")
    if wanted.timeout is None and wanted.max_attempts is None and not retry_now:
        raise UsageError(
            "the override is empty; give a time limit, a number of attempts, or an immediate retry"
        )
