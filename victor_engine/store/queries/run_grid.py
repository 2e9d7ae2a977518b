"""The grid of the newest runs of a workflow: a cell for each node of each run."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from datetime import datetime

from victor_engine.api import GridCell, GridRun, RunGrid, RunInfo, RunQuery
from victor_engine.domain.statuses import NodeStatus
from victor_engine.store.queries.definitions import stored_graph
from victor_engine.store.queries.node_states import skipped_by_condition
from victor_engine.store.queries.runs import runs
from victor_engine.store.queries.typical_durations import Paces
from victor_engine.store.state import EDIT, ITEM

MAX_RUNS = 100
COUNTED = 1000
"""The newest attempts of a run that are read. A run of a long loop or a large map has more."""


def run_grid(
    connection: sqlite3.Connection, workflow: str, limit: int, now: datetime, paces: Paces | None = None
) -> RunGrid:
    """Return the grid of the newest runs of a workflow."""
    wanted = max(1, min(limit, MAX_RUNS))
    found = [
        _grid_run(connection, run)
        for run in runs(connection, RunQuery(workflow=workflow, limit=wanted), now, paces)
    ]
    return RunGrid(workflow, _nodes(connection, found), tuple(found))


def _grid_run(connection: sqlite3.Connection, run: RunInfo) -> GridRun:
    rows = connection.execute(
        "SELECT node_id, node_type, status, branch, started_at, finished_at FROM attempts"
        " WHERE run_key = (SELECT key FROM runs WHERE id = ?) AND node_type NOT IN (?, ?) ORDER BY id DESC LIMIT ?",
        (run.id, EDIT, ITEM, COUNTED + 1),
    ).fetchall()
    return GridRun(run, _cells(rows[:COUNTED]), len(rows) > COUNTED)


def _cells(rows: Iterable[tuple[str, str, str, str | None, int, int | None]]) -> dict[str, GridCell]:
    """Return the cells of attempts, newest first."""
    last: dict[str, tuple[NodeStatus, float | None]] = {}
    counts: dict[str, int] = {}
    for node, kind, status, branch, start, end in rows:
        counts[node] = counts.get(node, 0) + 1
        if node not in last:
            skipped = skipped_by_condition(kind, branch)
            shown = NodeStatus.SKIPPED if skipped else NodeStatus(status)
            last[node] = shown, None if end is None else (end - start) / 1e6
    return {
        node: GridCell(status, counts[node], seconds) for node, (status, seconds) in reversed(last.items())
    }


def _nodes(connection: sqlite3.Connection, found: list[GridRun]) -> tuple[str, ...]:
    """Return the nodes of the graph of the newest run, then those that only other runs have.

    The items of a map are not nodes of their own: the map has the result of all of them.
    """
    if not found:
        return ()
    (definition,) = connection.execute(
        "SELECT definition_id FROM runs WHERE id = ?", (found[0].run.id,)
    ).fetchone()
    graph = stored_graph(connection, definition)
    reached = (node for each in found for node in each.cells)
    return tuple(dict.fromkeys([*(node.id for node in graph.nodes), *reached]))
