"""Runs that nodes start: begun in the transition that records them, awaited, and cancelled with their parent.

A child and the attempt that has started it are one transition, so there is exactly one child for an
attempt, whenever its engine dies. The parent learns of the child's end from the store, and a
parent that waits holds no place, so that parents cannot keep their children from being taken up.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from victor_engine.api import FINAL_RUN_STATUSES, ErrorInfo
from victor_engine.clock import from_us
from victor_engine.definition.model import ConditionNode, SubWorkflowNode, WorkflowDefinition
from victor_engine.definition.reader import duration_text
from victor_engine.definition.templates import resolve_inputs, resolve_mapping
from victor_engine.errors import NodeError, VictorError
from victor_engine.graph_walk.effects import Child, ChildEnd, Done, Step
from victor_engine.reserved import SECRETS, is_reserved
from victor_engine.runs import transitions
from victor_engine.runs.transitions import RunRef
from victor_engine.secretrefs import separated
from victor_engine.store.db import Store, Tx, actor_from_json
from victor_engine.store.patch import Patch
from victor_engine.store.queries.conversions import error_info
from victor_engine.store.queries.definitions import version_of
from victor_engine.store.repositories import runs
from victor_engine.store.runs import NewRun, Start, insert_run
from victor_engine.store.state import run_state

MAX_DEPTH = 16
"""How deep runs may start runs: a workflow that starts itself comes to an end here."""

Resolve = Callable[[Tx, str, str | None], Start]


# --- what a node says --------------------------------------------------------------------------


def child_inputs(
    node: SubWorkflowNode, state: Mapping[str, Any], warn: Callable[..., None]
) -> dict[str, Any]:
    """The state that a child begins with: what the node's inputs name, and nothing else.

    References to secrets are in it as `SecretText`.
    """
    inputs = resolve_inputs(node.inputs, state, node.id) if node.inputs else {}
    if node.input_mapping:
        mapped, missing = resolve_mapping(node.input_mapping, state)
        inputs.update(mapped)
        for name in missing:
            warn(node.id, f"input_mapping reads {name!r}, which is not in the state", key=name)
    return inputs


def child_started(node: SubWorkflowNode, child: Child) -> Done:
    """The result of a node that does not wait for its child."""
    result = {"run": child.run_id, "workflow": node.workflow, "version": child.version}
    return Done(Patch({node.output_key: result}), _successors(node, "succeeded"), result=result)


def child_done(definition: WorkflowDefinition, node: SubWorkflowNode, child: Child, end: ChildEnd) -> Done:
    """What a child's end means to the node that has started it. NodeError if the child has not succeeded
    (a rejection is an outcome, not an error)."""
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
        )
    result = {key: value for key, value in end.state.items() if key != SECRETS}
    settings: dict[str, Any] = {}
    if node.merge:
        # Reserved names of a child's state speak of the child's own nodes.
        settings = {key: value for key, value in result.items() if not is_reserved(key)}
    settings[node.output_key] = result
    patch = Patch(settings)
    if end.status == "rejected" and not _takes_up_rejection(definition, node):
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


def _takes_up_rejection(definition: WorkflowDefinition, node: SubWorkflowNode) -> bool:
    if node.outcomes:
        return "rejected" in node.outcomes or "default" in node.outcomes
    conditions = [isinstance(definition.nodes[target], ConditionNode) for target in node.next]
    return bool(conditions) and all(conditions)


# --- transitions -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Started:
    """A child that has just been committed, and what its parent's attempt waits for."""

    attempt: int
    child: Child
    priority: int


def start_child(
    tx: Tx,
    run: RunRef,
    step: Step,
    number: int,
    node: SubWorkflowNode,
    inputs: dict[str, Any],
    resolve: Resolve,
    *,
    rests: bool,
) -> Started:
    """Create the child and the attempt that waits for it. NodeError if there is no such workflow or
    version, or if runs that start runs have come too deep."""
    depth = runs.depth(tx, run.key, MAX_DEPTH)
    if depth >= MAX_DEPTH:
        raise NodeError(
            f"{node.id}: run {run.id} is {depth} runs deep, so it starts no other; does {node.workflow} start "
            "itself?",
            error_type="RunDepthError",
            retryable=False,
        )
    try:
        start = resolve(tx, node.workflow, node.version)
    except VictorError as error:
        raise NodeError(
            f"{node.id}: {error.message}", error_type=type(error).__name__, retryable=False
        ) from error
    version = version_of(tx.connection, start.definition_id)
    actor, priority = runs.begun_by(tx, run.key)
    state, secrets = separated(inputs)
    key, run_id = insert_run(
        tx,
        NewRun(
            workflow=node.workflow,
            definition_id=start.definition_id,
            start_node=start.node,
            choice=start.choice,
            state=state,
            secrets=secrets,
            trigger="parent",
            actor=actor_from_json(actor),
            parent_key=run.key,
            priority=priority,
        ),
    )
    deadline = None
    if node.timeout_seconds is not None:
        deadline = tx.now_us + int(node.timeout_seconds * 1_000_000)
    name = f"{node.workflow} {version}"
    wait: dict[str, Any] = {"text": name, "since": tx.now_us}
    if deadline is not None:
        wait["deadline"] = deadline
    attempt = transitions.begin_wait(
        tx, run, step, number, f"workflow {name}", wait, rests=rests and node.wait, child_key=key
    )
    child = Child(key, run_id, version, None if deadline is None else from_us(deadline))
    return Started(attempt, child, priority)


def known_child(connection: sqlite3.Connection, key: int, deadline: datetime | None) -> Child:
    """A child that was started before a restart."""
    run_id, version = runs.id_and_version(connection, key)
    return Child(key, run_id, version, deadline)


def child_end(connection: sqlite3.Connection, key: int) -> ChildEnd | None:
    """How a child has ended; None if it has not."""
    status, error = runs.status_and_error(connection, key)
    if status not in FINAL_RUN_STATUSES:
        return None
    return ChildEnd(status, run_state(connection, key), error_info(error))


# --- waiting for them --------------------------------------------------------------------------


class Children:
    """Tells parents of the ends of their children."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiters: dict[int, asyncio.Future[None]] = {}

    async def end_of(self, key: int) -> ChildEnd:
        """How a child has ended, as soon as it has."""
        while True:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters[key] = future
            try:
                # Read after the waiter stands, so that an end that comes between is not missed.
                end = await self._store.read(lambda connection: child_end(connection, key))
                if end is not None:
                    return end
                await future
            finally:
                self._waiters.pop(key, None)

    def ended(self, key: int) -> None:
        """A run has ended, and that is committed."""
        future = self._waiters.get(key)
        if future is not None and not future.done():
            future.set_result(None)


__all__ = [
    "MAX_DEPTH",
    "Children",
    "child_done",
    "child_end",
    "child_inputs",
    "child_started",
    "known_child",
    "start_child",
]
