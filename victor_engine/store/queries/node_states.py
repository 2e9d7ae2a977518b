"""The statuses of the nodes of a run, from its attempts."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from victor_engine.api import AttemptInfo, GraphInfo, NodeState, NodeStatus
from victor_engine.store.state import EDIT, ITEM


def skipped_by_condition(node_type: str, branch: str | None) -> bool:
    """Return whether `when` of the node was false."""
    return node_type != "condition" and (branch or "").startswith("skipped: ")


def item_counts(connection: sqlite3.Connection, run_key: int) -> dict[str, dict[str, int]]:
    """Return the number of items by status of the last visit to each map of a run, by the node of the items."""
    found: dict[str, dict[str, int]] = {}
    for node, status, count in connection.execute(
        "WITH last AS (SELECT MAX(a.id) AS id, a.node_id, a.parent, a.iteration FROM attempts a"
        " WHERE a.run_key = ? AND a.node_type = ? GROUP BY a.node_id, a.iteration)"
        " SELECT substr(l.node_id, 1, instr(l.node_id, '.') - 1), a.status, COUNT(*) FROM last l"
        " JOIN attempts a ON a.id = l.id WHERE l.iteration = (SELECT MAX(m.iteration) FROM attempts m"
        " WHERE m.run_key = a.run_key AND m.node_id = l.parent) GROUP BY 1, 2",
        (run_key, ITEM),
    ):
        found.setdefault(node, {})[status] = count
    return found


def node_states(
    graph: GraphInfo,
    tries: Sequence[AttemptInfo],
    final: bool,
    items: Mapping[str, Mapping[str, int]] | None = None,
) -> tuple[NodeState, ...]:
    """Return the status of each node: that of its last attempt, or pending, or skipped in a finished run."""
    last: dict[str, AttemptInfo] = {}
    first: dict[str, AttemptInfo] = {}
    count: dict[str, int] = {}
    for attempt in tries:
        node = attempt.node_id if attempt.node_type != ITEM else attempt.node_id.partition(".")[0]
        if attempt.node_type == EDIT:
            continue
        if node not in last or last[node].iteration != attempt.iteration:
            first[node], count[node] = attempt, 0
        last[node] = attempt
        count[node] += 1
    order = dict.fromkeys([node.id for node in graph.nodes] + list(last))
    found = []
    for node in order:
        if node not in last:
            found.append(NodeState(node_id=node, status=NodeStatus.SKIPPED if final else NodeStatus.PENDING))
            continue
        attempt = last[node]
        skipped = skipped_by_condition(attempt.node_type, attempt.took_branch)
        found.append(
            NodeState(
                node_id=node,
                status=NodeStatus.SKIPPED if skipped else NodeStatus(attempt.status),
                iteration=attempt.iteration,
                attempts=count[node],
                started_at=first[node].started_at,
                finished_at=attempt.finished_at,
                error=attempt.error,
                waits_until=attempt.waits_until,
                child_run=attempt.child_run,
                items=(items or {}).get(node, {}),
            )
        )
    return tuple(found)
