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

MAP = "map"
MAX_RUNS = 100
COUNTED = 1000
"""The newest attempts of a run that are read, and of the items of its maps. A long loop or a large map has more."""
URGENCY = (
    NodeStatus.FAILED,
    NodeStatus.INTERRUPTED,
    NodeStatus.RETRYING,
    NodeStatus.WAITING,
    NodeStatus.RUNNING,
    NodeStatus.CANCELLED,
    NodeStatus.SUCCEEDED,
)
"""The statuses of items, the most urgent first: the node of the items shows the first that some of them have."""


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
    cells = _cells(rows[:COUNTED])
    items = _item_rows(connection, run) if any(row[1] == MAP for row in rows) else []
    return GridRun(run, {**cells, **_item_cells(items[:COUNTED])}, max(len(rows), len(items)) > COUNTED)


def _item_rows(
    connection: sqlite3.Connection, run: RunInfo
) -> list[tuple[str, str, int, str, int, int | None]]:
    """Return the newest attempts of the items of the maps of a run, newest first."""
    return connection.execute(
        "SELECT node_id, parent, iteration, status, started_at, finished_at FROM attempts"
        " WHERE run_key = (SELECT key FROM runs WHERE id = ?) AND node_type = ? ORDER BY id DESC LIMIT ?",
        (run.id, ITEM, COUNTED + 1),
    ).fetchall()


def _item_cells(rows: Iterable[tuple[str, str, int, str, int, int | None]]) -> dict[str, GridCell]:
    """Return the cells of the nodes that maps execute for their items, from attempts, newest first.

    A cell has the most urgent status of the items of the newest visit, and the number of items that have it.
    """
    visits: dict[str, tuple[str, int]] = {}
    seen: set[str] = set()
    found: dict[str, dict[NodeStatus, GridCell]] = {}
    for item, parent, iteration, status, start, end in rows:
        node = item.partition(".")[0]
        if item in seen or visits.setdefault(node, (parent, iteration)) != (parent, iteration):
            continue
        seen.add(item)
        cells, shown = found.setdefault(node, {}), NodeStatus(status)
        newest = cells.get(shown, GridCell(shown, 0, None if end is None else (end - start) / 1e6))
        cells[shown] = GridCell(shown, newest.attempts + 1, newest.seconds)
    return {node: cells[min(cells, key=URGENCY.index)] for node, cells in found.items()}


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

    The items of a map are not nodes of their own: the node that the map executes has one cell for all of them.
    """
    if not found:
        return ()
    (definition,) = connection.execute(
        "SELECT definition_id FROM runs WHERE id = ?", (found[0].run.id,)
    ).fetchone()
    graph = stored_graph(connection, definition)
    reached = (node for each in found for node in each.cells)
    return tuple(dict.fromkeys([*(node.id for node in graph.nodes), *reached]))
