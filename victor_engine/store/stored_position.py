"""The position of a run: the last whole position, and the changes of the steps since.

A step of the walk writes its change of the position into its attempt (`attempts.onward`), numbered by
`attempts.ordinal`, so that the cost of a step does not depend on the number of earlier steps. `runs.position` is
written whole when a run is created, retried, redriven or migrated. Its `at` is the ordinal of the last step that it
includes.

A position is `{"frontier": [node, …], "counts": {node: times}, "at"?, "mark"?, "floor"?, "fresh"?}`, see
`graph_walk.effects.Position`. `attempts.onward` is the frontier after the step, a JSON list of nodes. Where more
than the step's own node was counted, `attempts.counted` is `{node: times}`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from victor_engine import jsonio
from victor_engine.store.transaction import Tx


@dataclass(frozen=True, slots=True)
class Progress:
    """The next nodes of a run, in order, and the number of node executions of its walk."""

    frontier: tuple[str, ...]
    nodes_done: int


def onward_json(frontier: Sequence[str], inside: Mapping[str, int]) -> tuple[str, str | None]:
    """Return `attempts.onward` and `attempts.counted`; `inside` are the nodes that were counted within the step."""
    return jsonio.dumps_text(frontier), jsonio.dumps_text(inside) if inside else None


def position_of(source: sqlite3.Connection | Tx, run_key: int) -> dict[str, Any]:
    """Return the position of a run as data, with the changes of its steps."""
    (stored,) = source.execute("SELECT position FROM runs WHERE key = ?", (run_key,)).fetchone()
    position: dict[str, Any] = jsonio.loads(stored)
    counts: dict[str, int] = position.setdefault("counts", {})
    steps = source.execute(
        "SELECT node_id, iteration, ordinal, onward, counted FROM attempts"
        " WHERE run_key = ? AND ordinal > ? ORDER BY id",
        (run_key, position.get("at", 0)),
    ).fetchall()
    for node_id, iteration, ordinal, _, counted in steps:
        counts[node_id] = iteration
        if counted is not None:
            counts.update(jsonio.loads(counted))
        position["at"] = ordinal
    if steps:
        position["frontier"] = jsonio.loads(steps[-1][3])
    return position


def progress(connection: sqlite3.Connection | Tx, run_key: int, stored: str) -> Progress:
    """Return the progress of a run without reading all of its steps. `stored` is its `runs.position`."""
    position = jsonio.loads(stored)
    at = position.get("at", 0)
    last = connection.execute(
        "SELECT ordinal, onward FROM attempts WHERE run_key = ? AND ordinal IS NOT NULL ORDER BY id DESC LIMIT 1",
        (run_key,),
    ).fetchone()
    if last is None or last[0] <= at:
        return Progress(tuple(position["frontier"]), at)
    return Progress(tuple(jsonio.loads(last[1])), last[0])
