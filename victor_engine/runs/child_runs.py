"""Runs that nodes start: begun in the transition that records them, awaited, and cancelled with their parent.

A child and the attempt that has started it are one transition, so there is exactly one child for an
attempt, whenever its engine dies. The parent learns of the child's end from the store, and a
parent that waits holds no place, so that parents cannot keep their children from being taken up.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from victor_engine.api import FINAL_RUN_STATUSES
from victor_engine.clock import from_us
from victor_engine.definition.model import SubWorkflowNode
from victor_engine.errors import NodeError, VictorError
from victor_engine.graph_walk.effects import Child, ChildEnd, Step
from victor_engine.runs import transitions
from victor_engine.runs.transitions import RunRef
from victor_engine.secretrefs import separated
from victor_engine.store.db import Store, Tx, actor_from_json
from victor_engine.store.queries.conversions import error_info
from victor_engine.store.queries.definitions import version_of
from victor_engine.store.repositories import runs
from victor_engine.store.runs import NewRun, Start, insert_run
from victor_engine.store.state import run_state

MAX_DEPTH = 16
"""How deep runs may start runs: a workflow that starts itself comes to an end here."""

Resolve = Callable[[Tx, str, str | None], Start]


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
    idle: bool,
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
        tx, run, step, number, f"workflow {name}", wait, idle=idle and node.wait, child_key=key
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


class ChildRuns:
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

    def notify_ended(self, key: int) -> None:
        """A run has ended, and that is committed."""
        future = self._waiters.get(key)
        if future is not None and not future.done():
            future.set_result(None)


__all__ = [
    "MAX_DEPTH",
    "ChildRuns",
    "child_end",
    "known_child",
    "start_child",
]
