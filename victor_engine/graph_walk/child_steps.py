"""The steps of a node that starts a child run: its inputs, and the result of the child. All pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from victor_engine.api import ErrorInfo
from victor_engine.definition.model import ConditionNode, SubWorkflowNode, WorkflowDefinition
from victor_engine.definition.templates import resolve_inputs, resolve_mapping
from victor_engine.durations import duration_text
from victor_engine.errors import NodeError
from victor_engine.graph_walk.effects import Child, ChildEnd, Done
from victor_engine.reserved import RUN, SECRETS, is_reserved
from victor_engine.store.patch import Patch


def child_inputs(
    node: SubWorkflowNode, state: Mapping[str, Any], warn: Callable[..., None]
) -> dict[str, Any]:
    """Return the initial state of a child: only the inputs that the node names.

    References to secrets are `SecretText`.
    """
    inputs = resolve_inputs(node.inputs, state, node.id) if node.inputs else {}
    if node.input_mapping:
        mapped, missing = resolve_mapping(node.input_mapping, state)
        inputs.update(mapped)
        for name in missing:
            warn(node.id, f"input_mapping reads {name!r}, which is not in the state", key=name)
    return inputs


def child_started(node: SubWorkflowNode, child: Child) -> Done:
    """Return the result of a node that does not wait for its child."""
    result = {"run": child.run_id, "workflow": node.workflow, "version": child.version}
    return Done(Patch({node.output_key: result}), _successors(node, "succeeded"), result=result)


def child_done(definition: WorkflowDefinition, node: SubWorkflowNode, child: Child, end: ChildEnd) -> Done:
    """Return the result of a node whose child has ended. Raise NodeError if the child failed, was cancelled or
    timed out. A rejection is an outcome, not an error."""
    name = f"{node.workflow} {child.version}"
    if end.status == "timed_out":
        raise NodeError(
            f"{node.id}: {name} (run {child.run_id}) took longer than {duration_text(node.timeout_seconds or 0)}"
            " and was cancelled",
            error_type="TimeoutError",
            bases=("OSError", "Exception"),
        )
    if end.status == "cancelled":
        raise NodeError(
            f"{node.id}: {name} (run {child.run_id}) was cancelled",
            error_type="ChildRunError",
            retryable=False,
        )
    if end.status == "failed":
        error = end.error or ErrorInfo(type="Error", message="failed")
        raise NodeError(
            f"{node.id}: {name} (run {child.run_id}) failed"
            + (f" at {error.node_id}" if error.node_id else "")
            + f": {error.type}: {error.message}",
            error_type="ChildRunError",
            bases=(error.type,),
            exit_code=error.exit_code,  # with the message, it makes the cause of the child that of its parent
            http_status=error.http_status,
        )
    result = {key: value for key, value in end.state.items() if key not in (SECRETS, RUN)}
    settings: dict[str, Any] = {}
    if node.merge:
        # Reserved keys in the state of a child belong to the nodes of the child.
        settings = {key: value for key, value in result.items() if not is_reserved(key)}
    settings[node.output_key] = result
    patch = Patch(settings)
    if end.status == "rejected" and not _handles_rejection(definition, node):
        why = f"{name} (run {child.run_id}) was rejected"
        if end.error is not None:
            why += f": {end.error.message}"
        return Done(patch, branch="rejected", rejected=why, result=result)
    return Done(patch, _successors(node, end.status), branch=_label(node, end), result=result)


def _label(node: SubWorkflowNode, end: ChildEnd) -> str | None:
    return end.status if node.outcomes or end.status != "succeeded" else None


def _successors(node: SubWorkflowNode, outcome: str) -> tuple[str, ...]:
    if not node.outcomes:
        return node.next
    target = node.outcomes.get(outcome, node.outcomes.get("default"))
    return (target,) if target is not None else ()


def _handles_rejection(definition: WorkflowDefinition, node: SubWorkflowNode) -> bool:
    if node.outcomes:
        return "rejected" in node.outcomes or "default" in node.outcomes
    conditions = [isinstance(definition.nodes[target], ConditionNode) for target in node.next]
    return bool(conditions) and all(conditions)
