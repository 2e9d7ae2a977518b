"""Threads of graphs: their runs, and how a run starts, continues and stops.

A thread is a row of `meta`, `thread:<graph>:<id>`, that holds the id of its last run.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from victor_engine import jsonio
from victor_engine.api import ErrorInfo
from victor_engine.clock import from_us
from victor_engine.definition.model import WorkflowDefinition
from victor_engine.domain.statuses import ACTIVE_RUN_STATUSES, RunStatus
from victor_engine.errors import ConflictError, NotFoundError
from victor_engine.graph.builder import shown
from victor_engine.graph.errors import ThreadBusyError
from victor_engine.identity import local_actor
from victor_engine.runs.commands import Cancel, Retry
from victor_engine.runs.supervisor import RunSupervisor
from victor_engine.runs.transitions import RunRef
from victor_engine.store.db import Tx
from victor_engine.store.repositories import threads
from victor_engine.store.runs import NewRun, insert_run
from victor_engine.store.state import given_state, run_state
from victor_engine.store.stored_position import progress
from victor_engine.versioning import catalog


@dataclass(frozen=True, slots=True)
class Thread:
    """The last run of a thread."""

    key: int
    run_id: str
    workflow: str
    definition_id: int
    status: str
    started: bool
    next: tuple[str, ...]
    given: str
    nodes_done: int
    created_at: datetime
    error: ErrorInfo | None

    @property
    def ref(self) -> RunRef:
        return RunRef(self.key, self.run_id, self.workflow, self.definition_id, None)


def find(source: sqlite3.Connection | Tx, graph: str, thread_id: str) -> Thread | None:
    """Return a thread with its last run; None if it does not exist."""
    run = threads.last_run(source, graph, thread_id)
    if run is None:
        return None
    done = progress(source, run.key, run.position)
    return Thread(
        key=run.key,
        run_id=run.id,
        workflow=run.workflow,
        definition_id=run.definition_id,
        status=(RunStatus.RUNNING if run.status in ACTIVE_RUN_STATUSES else run.status).value,
        started=run.started_at is not None,
        next=done.frontier,
        given=given_state(source, run.key),
        nodes_done=done.nodes_done,
        created_at=from_us(run.created_at),
        error=None if run.error is None else msgspec.json.decode(run.error, type=ErrorInfo),
    )


def state_of(connection: sqlite3.Connection, key: int) -> dict[str, Any]:
    """Return the committed state of a run."""
    return run_state(connection, key)


def begin(
    tx: Tx,
    definition: WorkflowDefinition,
    content: Mapping[str, Any],
    checksum: str,
    thread_id: str,
    given: Mapping[str, Any] | None,
) -> Thread:
    """Return the run that the thread continues, or a new run that starts with `given`.

    Raise NotFoundError if `given` is None and the thread does not exist, and ThreadBusyError if an interrupted
    run started with another state.
    """
    graph = definition.name
    known = find(tx, graph, thread_id)
    if known is None and given is None:
        raise NotFoundError(
            f"graph {graph!r} has no thread {thread_id!r} to continue; give an initial state to start it"
        )
    if known is not None:
        same = given is None or jsonio.canonical(given) == jsonio.canonical(jsonio.loads(known.given))
        over = known.status in (RunStatus.SUCCEEDED, RunStatus.REJECTED)
        if given is None or (same and not over):
            return known
        if known.status == RunStatus.RUNNING:
            raise ThreadBusyError(
                f"thread {thread_id!r} of graph {graph!r} was interrupted at {', '.join(known.next)} and started "
                "with another state; continue it with invoke(None, …), or use another id"
            )
    assert given is not None
    registered = catalog.register_definition(tx, definition, content, shown(graph, content), None, checksum)
    new = NewRun(
        workflow=graph,
        definition_id=registered.definition_id,
        start_node=definition.start,
        state=dict(given),
        trigger="api",
        actor=local_actor("api"),
        note=f"thread {thread_id}",
    )
    _, run_id = insert_run(tx, new)
    threads.put(tx, graph, thread_id, run_id)
    created = find(tx, graph, thread_id)
    assert created is not None
    return created


async def resume(runtime: RunSupervisor, thread: Thread) -> None:
    """Let the runtime start the run of a thread, or continue it where it stopped."""
    if thread.status in (RunStatus.FAILED, RunStatus.CANCELLED):
        await runtime.command(Retry(thread.ref.id), local_actor("api"))
    elif thread.started:
        await runtime.recover(thread.key)
    else:
        runtime.enqueue(thread.key)


async def stop(runtime: RunSupervisor, thread: Thread, task: asyncio.Task[None]) -> None:
    """Stop the run of a thread. Its committed nodes are kept, and the thread can continue from them."""
    cancelling = asyncio.ensure_future(
        runtime.command(Cancel(thread.ref.id, "the caller stopped waiting"), local_actor("api"))
    )
    try:
        await asyncio.shield(cancelling)
    except ConflictError:
        # The run has finished before it could be cancelled.
        await asyncio.wait({task})
