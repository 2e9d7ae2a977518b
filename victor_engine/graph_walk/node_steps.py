"""The steps of single types of nodes: calls, results, branches, answers. All pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from victor_engine import jsonio
from victor_engine.api import ErrorInfo
from victor_engine.definition.limits import NO_CONSTRAINTS
from victor_engine.definition.model import (
    AgentNode,
    Branch,
    ComputeNode,
    ConditionNode,
    HITLNode,
    Node,
    TeamNode,
    TransformNode,
    WaitNode,
    WorkflowDefinition,
)
from victor_engine.definition.templates import render, resolve_inputs, resolve_mapping
from victor_engine.durations import duration_text
from victor_engine.errors import NodeError, VictorError
from victor_engine.graph_walk import team
from victor_engine.graph_walk.effects import Done, Step
from victor_engine.graph_walk.process_input import process_of
from victor_engine.graph_walk.waits import Wait, WaitEnd
from victor_engine.people.requests import Decision, next_nodes
from victor_engine.reserved import RUN
from victor_engine.run_instant import instant_in
from victor_engine.secretrefs import authored
from victor_engine.store.patch import Patch
from victor_engine.work.calls import NodeCall, RunIdentity

Warn = Callable[..., None]

_SHOWN = 80
"""The maximum number of characters of a value in a message."""


def error_info(error: VictorError, node_id: str) -> ErrorInfo:
    """Return the stored form of a failure. Lone surrogates, which cannot be stored, are escaped."""
    message = error.message.encode("utf-8", "backslashreplace").decode()
    if isinstance(error, NodeError):
        return ErrorInfo(
            type=error.error_type,
            message=message,
            node_id=node_id,
            exit_code=error.process_exit_code,
            http_status=error.http_status,
        )
    return ErrorInfo(type=type(error).__name__, message=message, node_id=node_id)


def node_call(
    identity: RunIdentity,
    step: Step,
    number: int,
    state: Mapping[str, Any],
    extra_inputs: Mapping[str, Any] | None,
    warn: Warn,
) -> NodeCall:
    """Return the call for the work of an agent, compute or team member node."""
    node = step.node
    assert isinstance(node, AgentNode | ComputeNode | TeamNode)
    inputs: dict[str, Any] = resolve_inputs(node.inputs, state, node.id) if node.inputs else {}
    if node.input_mapping:
        mapped, missing = resolve_mapping(node.input_mapping, state)
        inputs.update(mapped)
        for name in missing:
            warn(node.id, f"input_mapping reads {name!r}, which is not in the state", key=name)
    if extra_inputs:
        inputs.update(extra_inputs)
    member = team.member_of(step)
    role, goal = "", ""
    tools: tuple[str, ...] = ()
    tool_budget: int | None = None
    config: dict[str, Any] = dict(node.extra)
    if member is not None and isinstance(node, TeamNode):
        role, goal, tools = member.role, member.goal or node.goal, member.tools
        tool_budget = team.budget(node, member)
        config |= dict(member.extra)
        if member.goal and node.goal:
            config["team_goal"] = node.goal
    elif isinstance(node, AgentNode):
        role, goal, tools, tool_budget = node.role, node.goal, node.tools, node.tool_budget
    elif isinstance(node, ComputeNode):
        tools = node.tools
    if goal:
        rendered = render(goal, state)
        goal = rendered.text
        for name in rendered.missing:
            warn(node.id, f"the goal names {{{name}}}, which is not in the state", key=name)
    maps_inputs = bool(node.inputs or node.input_mapping)
    return NodeCall(
        run_id=identity.run_id,
        workflow=identity.workflow,
        version=identity.version,
        node_id=step.key,
        node_type=node.type,
        iteration=step.iteration,
        attempt=number,
        idempotency_key=step.idempotency_key(identity.run_id),
        role=role,
        goal=goal,
        inputs=inputs,
        instant=instant_in(state),
        state=None if maps_inputs else {key: value for key, value in state.items() if key != RUN},
        tools=tools,
        tool_budget=tool_budget,
        llm_config=node.llm_config if isinstance(node, AgentNode) else {},
        profile=node.profile if isinstance(node, AgentNode) else None,
        constraints=getattr(node, "constraints", NO_CONSTRAINTS),
        config=authored(config),
        process=process_of(node, state) if isinstance(node, AgentNode | ComputeNode) else {},
        timeout=node.timeout_seconds,
    )


def work_done(node: Node, result: Any) -> Done:
    """Return the result of a step from the result of its work. Work that returns a Patch sets the change itself."""
    if isinstance(result, Patch):
        return Done(result, node.next, result=dict(result.set))
    return Done(result_patch(node, result), node.next, result=result)


def result_patch(node: Node, result: Any) -> Patch:
    """Return the patch of a result: all of it under the output key; the keys of an object also in the state, unless
    `merge: false`.

    If the object has a key with the name of the output, the whole object wins. Reserved keys stay inside the
    object; they are removed from the state when the step is committed.
    """
    try:
        # A large text is only encoded, because JSON of it takes long.
        _ = result.encode() if isinstance(result, str) else jsonio.dumps(result)
    except (TypeError, ValueError) as error:
        raise NodeError(
            f"{node.id}: the result cannot be encoded as JSON: {error}", error_type="ResultTypeError"
        ) from None
    settings: dict[str, Any] = {}
    if node.merge and isinstance(result, dict):
        settings.update({key: value for key, value in result.items() if isinstance(key, str)})
    settings[node.output_key] = result
    return Patch(settings)


def transform_patch(node: TransformNode, assigned: dict[str, Any]) -> Done:
    return Done(Patch(assigned), node.next, result=assigned)


# --- conditions --------------------------------------------------------------------------------


def choose_branch(
    definition: WorkflowDefinition, node: ConditionNode, state: Mapping[str, Any], value: Any
) -> Done:
    """Choose the branch for the value of the condition.

    A key matches the value itself, then its boolean, then the outcome of the answer that the
    condition names; then `default`. False without a branch ends this branch of the walk; any other
    value without a branch is an error.
    """
    branch = _match(definition, node, value, state)
    if branch is not None:
        successors = (branch.target,) if branch.target is not None else ()
        ended = None if branch.target is not None else f"{node.id}: branch {branch.key!r} ends here"
        return Done(Patch(), successors, branch=branch.key, ended=ended, result=value)
    if not node.branches and node.next:
        # Without branches, `next` is the successor for true.
        if value:
            return Done(Patch(), node.next, branch="true", result=value)
        return Done(Patch(), (), branch="false", ended=f"{node.id}: {node.condition} is false", result=value)
    if value is False:
        return Done(
            Patch(),
            (),
            branch="false",
            ended=f"{node.id}: {node.condition} is false, and it has no branch for false",
        )
    keys = ", ".join(repr(branch.key) for branch in node.branches) or "none"
    raise NodeError(
        f"{node.id}: {node.condition} is {jsonio.short_text(value, _SHOWN)}, and no branch matches it (the branches "
        f"are {keys}); add a branch for it or a default",
        error_type="NoBranchError",
        retryable=False,
    )


OUTCOME_ALIASES = {
    "timeout": "timed_out",
    "timed_out": "timeout",
    "approve": "approved",
    "reject": "rejected",
}


def _match(
    definition: WorkflowDefinition, node: ConditionNode, value: Any, state: Mapping[str, Any]
) -> Branch | None:
    by_key = {branch.key: branch for branch in node.branches}
    if isinstance(value, bool):
        for branch in node.branches:
            if branch.boolean is value:
                return branch
        text = "true" if value else "false"
        for branch in node.branches:
            if branch.key.lower() == text:
                return branch
    elif value is not None:
        text = value if isinstance(value, str) else jsonio.dumps_text(value)
        if text in by_key:
            return by_key[text]
        for branch in node.branches:
            if branch.key.strip().lower() == str(text).strip().lower():
                return branch
    outcome = _answer_outcome(definition, node.condition, state)
    if outcome is not None:
        for word in (outcome, *(alias for alias, meant in OUTCOME_ALIASES.items() if meant == outcome)):
            if word in by_key:
                return by_key[word]
    if not isinstance(value, str):
        truth = bool(value)
        for branch in node.branches:
            if branch.boolean is truth or branch.key.lower() == ("true" if truth else "false"):
                return branch
    elif value.strip().lower() in ("true", "false", "yes", "no"):
        truth = value.strip().lower() in ("true", "yes")
        for branch in node.branches:
            if branch.boolean is truth:
                return branch
    elif value == "" or {b.key.lower() for b in node.branches} <= {"true", "false", "default"}:
        # The condition is a boolean one: a text is true unless it is empty.
        wanted = "true" if value else "false"
        for branch in node.branches:
            if branch.key.lower() == wanted:
                return branch
    return by_key.get("default")


def _answer_outcome(definition: WorkflowDefinition, condition: str, state: Mapping[str, Any]) -> str | None:
    """Return the outcome of the answer that a condition names by its key or its node, or None."""
    name = condition.strip()
    human = state.get("human")
    if not isinstance(human, dict):
        return None
    for other in definition.nodes.values():
        if isinstance(other, HITLNode) and name in (other.id, other.output_key):
            record = human.get(other.id)
            if isinstance(record, dict):
                outcome = record.get("outcome")
                return outcome if isinstance(outcome, str) else None
    return None


# --- people ------------------------------------------------------------------------------------


def human_done(definition: WorkflowDefinition, node: HITLNode, decision: Decision) -> Done:
    """Return the result: the plain answer under the output key, the record under `human.<node id>`, the successors."""
    values = {} if decision.back_to is not None else {node.output_key: decision.value}
    patch = Patch(values, merge={"human": {node.id: decision.record}})
    way = next_nodes(node, decision, definition)
    return Done(patch, way.successors, branch=decision.outcome, rejected=way.rejected, result=decision.value)


# --- waits -------------------------------------------------------------------------------------


def wait_done(node: WaitNode, wait: Wait, end: WaitEnd, now: datetime) -> Done:
    """Return the result of a wait. Raise NodeError if a timeout counts as a failure."""
    seconds = (now - wait.since).total_seconds()
    if end.outcome == "timed_out" and node.on_timeout == "fail":
        raise NodeError(
            f"{node.id}: timed out after {duration_text(round(seconds))} of waiting for {wait.text}"
            f" (its timeout is {duration_text(node.timeout_seconds or 0)})",
            error_type="WaitTimeoutError",
            bases=("TimeoutError",),
        )
    result = {
        "outcome": end.outcome,
        "since": _iso(wait.since),
        "at": _iso(now),
        "seconds": round(seconds, 3),
        **end.found,
    }
    successors = node.next
    if node.outcomes:
        target = node.outcomes.get(end.outcome, node.outcomes.get("default"))
        if target is None:
            raise NodeError(
                f"{node.id}: the outcome is {end.outcome!r}, and next has no entry for it; add one, or a default",
                error_type="NoBranchError",
                retryable=False,
            )
        successors = (target,)
    return Done(Patch({node.output_key: result}), successors, branch=end.outcome, result=result)


def _iso(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
