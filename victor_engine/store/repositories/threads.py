"""The threads of graphs: rows of `meta`, `thread:<graph>:<id>`, that hold the id of the thread's last run."""

from __future__ import annotations

from typing import NamedTuple

from victor_engine.domain.statuses import RunStatus
from victor_engine.store.queries.ids import Source
from victor_engine.store.repositories import meta
from victor_engine.store.transaction import Tx


class ThreadRun(NamedTuple):
    """The last run of a thread. Instants are in microseconds; position and error are JSON."""

    key: int
    id: str
    workflow: str
    definition_id: int
    status: RunStatus
    started_at: int | None
    position: str
    created_at: int
    error: str | None


def _name(graph: str, thread_id: str) -> str:
    return f"thread:{graph}:{thread_id}"


def last_run(source: Source, graph: str, thread_id: str) -> ThreadRun | None:
    """Return the last run of a thread; None if the thread has not begun."""
    row = source.execute(
        "SELECT key, id, workflow, definition_id, status, started_at, position, created_at, error FROM runs"
        " WHERE id = (SELECT value FROM meta WHERE key = ?)",
        (_name(graph, thread_id),),
    ).fetchone()
    return None if row is None else ThreadRun(*(*row[:4], RunStatus(row[4]), *row[5:]))


def put(tx: Tx, graph: str, thread_id: str, run_id: str) -> None:
    """Store which run a thread stands at."""
    meta.put(tx, _name(graph, thread_id), run_id)
