"""Child runs: started by a node in the transition of its attempt, awaited, and cancelled with their parent.

One transition creates the child and the attempt that starts it, so an attempt has exactly one child even
after a crash. Another attempt of the same step continues this child. The parent reads the end of the child from
the store. A parent that waits holds no slot, so parents cannot block their children.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from victor_engine import jsonio
from victor_engine.api import FINAL_RUN_STATUSES
from victor_engine.clock import from_us
from victor_engine.definition.model import SubWorkflowNode
from victor_engine.definition.outputs import result_of
from victor_engine.errors import NodeError, VictorError
from victor_engine.graph_walk.effects import Child, ChildEnd, Position, Step
from victor_engine.run_instant import instant_in
from victor_engine.runs import transitions
from victor_engine.runs.commands import again_from
from victor_engine.runs.transitions import RunRef
from victor_engine.secretrefs import separated
from victor_engine.store.db import Store, Tx, actor_from_json
from victor_engine.store.queries.conversions import error_info
from victor_engine.store.queries.definitions import outputs_of, version_of
from victor_engine.store.repositories import attempt_rows, run_rows, runs
from victor_engine.store.repositories.run_rows import StoredRun
from victor_engine.store.runs import NewRun, Start, insert_run
from victor_engine.store.state import given_state, run_state
from victor_engine.store.stored_position import position_of

MAX_DEPTH = 16
"""Maximum depth of child runs. It stops a workflow that starts itself."""

Resolve = Callable[[Tx, str, str | None], Start]


@dataclass(frozen=True, slots=True)
class Started:
    """A committed child run, with its priority. `queued`: it is to be claimed."""

    attempt: int
    child: Child
    priority: int
    queued: bool = True


def start_child(
    tx: Tx,
    run: RunRef,
    step: Step,
    number: int,
    node: SubWorkflowNode,
    inputs: dict[str, Any],
    resolve: Resolve,
    *,
    idle: bool,
) -> Started:
    """Create the child run and the attempt that waits for it. Raise NodeError if the workflow or the version
    does not exist, if the state does not match its inputs, or if the child would be deeper than MAX_DEPTH."""
    depth = run_rows.depth(tx, run.key, MAX_DEPTH)
    if depth >= MAX_DEPTH:
        raise NodeError(
            f"{node.id}: run {run.id} is at depth {depth} of child runs, the maximum; check whether "
            f"{node.workflow} starts itself",
            error_type="RunDepthError",
            retryable=False,
        )
    actor, priority = run_rows.begun_by(tx, run.key)
    state, secrets = separated(inputs)
    try:
        start = resolve(tx, node.workflow, node.version)
        key, run_id = insert_run(
            tx,
            NewRun(
                workflow=node.workflow,
                definition_id=start.definition_id,
                start_node=start.node,
                choice=start.choice,
                inputs=start.inputs,
                state=state,
                secrets=secrets,
                trigger="parent",
                actor=actor_from_json(actor),
                parent_key=run.key,
                priority=priority,
                instant=instant_in(jsonio.loads(given_state(tx.connection, run.key))),
            ),
        )
    except VictorError as error:
        raise NodeError(
            f"{node.id}: {error.message}", error_type=type(error).__name__, retryable=False
        ) from error
    version = version_of(tx.connection, start.definition_id)
    deadline = _deadline(tx, node)
    name = f"{node.workflow} {version}"
    wait = _wait(tx, name, deadline)
    attempt = transitions.begin_wait(
        tx, run, step, number, f"workflow {name}", wait, idle=idle and node.wait, child_key=key
    )
    child = Child(key, run_id, version, None if deadline is None else from_us(deadline))
    return Started(attempt, child, priority)


def continue_child(
    tx: Tx,
    run: RunRef,
    step: Step,
    number: int,
    node: SubWorkflowNode,
    since: int,
    resolve: Resolve,
    *,
    idle: bool,
) -> Started | None:
    """Create an attempt that continues the child of an earlier attempt of the same step.

    A child that failed or was cancelled continues at the node at which it stopped, with the same keys. An active
    child, or one with another end, keeps running or its end. Return None if no attempt after the attempt `since` had
    a child, or if the child has no node to continue from.
    """
    key = attempt_rows.child_before(tx, run.key, step.key, step.iteration, since)
    if key is None:
        return None
    child = runs.lock(tx, key)
    if child.workflow != node.workflow:
        return None
    stopped = child.status in ("failed", "cancelled")
    if stopped:
        position = Position.from_data(position_of(tx, key))
        if not position.frontier:
            return None
        position = again_from(position, attempt_rows.last(tx, key))
        runs.requeue(tx, key, jsonio.dumps_text(position.to_data()), child.definition_id)
        transitions.child_continued(tx, run, child.ref, position.frontier[0])
    run_id, version = run_rows.id_and_version(tx, key)
    _warn_of_other_version(tx, run, node, child, version, resolve)
    deadline = _deadline(tx, node)
    wait = _wait(tx, f"{node.workflow} {version}", deadline)
    attempt = transitions.begin_wait(
        tx, run, step, number, f"workflow {wait['text']}", wait, idle=idle, child_key=key
    )
    due = None if deadline is None else from_us(deadline)
    return Started(attempt, Child(key, run_id, version, due), child.priority, stopped)


def _warn_of_other_version(
    tx: Tx, run: RunRef, node: SubWorkflowNode, child: StoredRun, version: str, resolve: Resolve
) -> None:
    """Record a warning if a new child would run on another version than the child that continues."""
    try:
        newest = resolve(tx, node.workflow, node.version).definition_id
    except VictorError:
        return  # the version of the child has been removed since; the child keeps it
    if newest != child.definition_id:
        other = version_of(tx.connection, newest)
        transitions.warn(
            tx,
            run,
            node.id,
            f"run {child.id} continues on {node.workflow} {version}, and a new child would run on {other}. To start "
            f"another child, cancel this run and retry it with --restart-children",
            {"child_run": child.id, "version": version, "newest": other},
        )


def _deadline(tx: Tx, node: SubWorkflowNode) -> int | None:
    return None if node.timeout_seconds is None else tx.now_us + int(node.timeout_seconds * 1_000_000)


def _wait(tx: Tx, name: str, deadline: int | None) -> dict[str, Any]:
    wait: dict[str, Any] = {"text": name, "since": tx.now_us}
    return wait if deadline is None else {**wait, "deadline": deadline}


def child_that_ends(connection: sqlite3.Connection, run: RunRef, step: Step, since: int) -> int | None:
    """Return the key of the child of an earlier attempt of the step if it is being cancelled, else None."""
    key = attempt_rows.child_before(connection, run.key, step.key, step.iteration, since)
    return key if key is not None and run_rows.status_of(connection, key) == "cancelling" else None


def known_child(connection: sqlite3.Connection, key: int, deadline: datetime | None) -> Child:
    """Return a child that was started before a restart."""
    run_id, version = run_rows.id_and_version(connection, key)
    return Child(key, run_id, version, deadline)


def child_end(connection: sqlite3.Connection, key: int) -> ChildEnd | None:
    """Return the end of a child, or None if it has not ended."""
    status, error = run_rows.status_and_error(connection, key)
    if status not in FINAL_RUN_STATUSES:
        return None
    result = result_of(outputs_of(connection, key), run_state(connection, key))
    return ChildEnd(status, dict(result), error_info(error))


# --- waiting for child runs ----------------------------------------------------------------------


class ChildRuns:
    """Notifies parents of the ends of their children."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiters: dict[int, asyncio.Future[None]] = {}

    async def end_of(self, key: int) -> ChildEnd:
        """Wait until a child has ended, and return its end."""
        while True:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters[key] = future
            try:
                # Read after the waiter is registered, so that an end in between is not missed.
                end = await self._store.read(lambda connection: child_end(connection, key))
                if end is not None:
                    return end
                await future
            finally:
                self._waiters.pop(key, None)

    def notify_ended(self, key: int) -> None:
        """Notify the parents of a run whose end is committed."""
        future = self._waiters.get(key)
        if future is not None and not future.done():
            future.set_result(None)


__all__ = [
    "MAX_DEPTH",
    "ChildRuns",
    "child_end",
    "child_that_ends",
    "continue_child",
    "known_child",
    "start_child",
]
