"""What an operator sets for single nodes of one run while it is on its way."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from victor_engine.api import Actor, NodeOverride
from victor_engine.clock import LONGEST
from victor_engine.definition.model import (
    ConditionNode,
    HITLNode,
    Node,
    ParallelNode,
    SubWorkflowNode,
    TransformNode,
    WaitNode,
    WorkflowDefinition,
)
from victor_engine.domain.statuses import RunStatus
from victor_engine.domain.transitions import RunCommand, refusal
from victor_engine.errors import ConflictError, UsageError
from victor_engine.events import EventKind
from victor_engine.runtime.journal import RunRef
from victor_engine.runtime.retry import DEFAULT_RETRY
from victor_engine.store.db import Tx
from victor_engine.store.repositories import attempts, runs
from victor_engine.store.runs import node_overrides


def tuned(node: Node, override: NodeOverride | None) -> Node:
    """Return the node with the time limit and the number of attempts that an operator has set for it."""
    if override is None:
        return node
    if override.timeout is not None:
        node = replace(node, timeout_seconds=override.timeout)
    if override.max_attempts is None:
        return node
    policy = node.retry_policy or DEFAULT_RETRY
    return replace(node, retry_policy=replace(policy, max_attempts=override.max_attempts))


def check_override(definition: WorkflowDefinition, wanted: NodeOverride, retry_now: bool) -> None:
    """Raise UsageError if it can have no effect on a node of this definition."""
    node = definition.nodes.get(wanted.node_id)
    if node is None:
        raise UsageError(
            f"{definition.name} has no node {wanted.node_id!r}; its nodes are {', '.join(list(definition.nodes)[:20])}"
        )
    if isinstance(node, ConditionNode | TransformNode | HITLNode | ParallelNode | WaitNode):
        raise UsageError(
            f"{wanted.node_id} is a {node.type} node: only nodes that do work have a time limit and attempts to set"
        )
    if wanted.timeout is not None and isinstance(node, WaitNode | SubWorkflowNode):
        raise UsageError(
            f"{wanted.node_id} is a {node.type} node: how long it waits at most was set when the run came to it"
        )
    if wanted.timeout is not None and not 0 < wanted.timeout <= LONGEST:
        raise UsageError(
            f"a time limit of {wanted.timeout:g} s is none; give seconds above 0, up to 100 years"
        )
    if wanted.max_attempts is not None and wanted.max_attempts < 1:
        raise UsageError(f"{wanted.max_attempts} attempts are too few; give 1 or more")
    if wanted.timeout is None and wanted.max_attempts is None and not retry_now:
        raise UsageError("nothing to set: give a time limit, a number of attempts, or retry at once")


def override_node(
    tx: Tx, ref: RunRef, actor: Actor, wanted: NodeOverride, retry_now: bool, note: str
) -> NodeOverride:
    """The transition; returns what holds for the node from now on."""
    stored = runs.lock(tx, ref.key)
    if refusal(RunStatus(stored.status), RunCommand.OVERRIDE) is not None:
        raise ConflictError(
            f"run {ref.id} is {stored.status}: no further attempt of {wanted.node_id} will come"
        )
    overrides = node_overrides(stored.overrides)
    old = overrides.get(wanted.node_id, NodeOverride(wanted.node_id))
    new = NodeOverride(
        wanted.node_id,
        timeout=old.timeout if wanted.timeout is None else wanted.timeout,
        max_attempts=old.max_attempts if wanted.max_attempts is None else wanted.max_attempts,
    )
    overrides[wanted.node_id] = new
    if retry_now and not attempts.retry_now(tx, ref.key, wanted.node_id):
        raise ConflictError(f"{wanted.node_id} of run {ref.id} does not wait for another attempt now")
    runs.set_overrides(tx, ref.key, msgspec.json.encode(overrides).decode())
    data = {
        "timeout": wanted.timeout,
        "max_attempts": wanted.max_attempts,
        "retry_now": retry_now or None,
        "note": note or None,
    }
    tx.event(
        EventKind.NODE_OVERRIDDEN,
        actor=actor,
        run_key=ref.key,
        run_id=ref.id,
        schedule_id=ref.schedule_id,
        workflow=ref.workflow,
        node_id=wanted.node_id,
        data={key: value for key, value in data.items() if value is not None},
    )
    return new
