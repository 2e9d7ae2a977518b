"""Where a run stands: its position as it was last written whole, and what its steps have changed since.

A step of the walk writes what it changes of the position into its attempt (`attempts.onward`), numbered
by `attempts.ordinal`, so that a step costs the same however many came before it. `runs.position` is
written whole where somebody changes it: at the creation, and when a run is retried, redriven or moved to
another version. Its `at` is the ordinal of the last step that it counts in.

A position is `{"frontier": [node, …], "counts": {node: times}, "at"?, "mark"?, "floor"?}`, see
`runtime.effects.Position`. What is onward of a step is the frontier after it: the node, or a JSON list of
nodes, or, where more than the step's own node was counted, `{"frontier": [...], "counts": {node: times}}`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from victor_engine import jsonio
from victor_engine.store.transaction import Tx

_JSON = ("", "[", "{")
"""How what is stored of a step begins if it is more than the name of one node."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The nodes that a run does next, in order, and how many node executions its walk has done."""

    frontier: tuple[str, ...]
    nodes_done: int


def onward_json(frontier: Sequence[str], inside: Mapping[str, int]) -> str:
    """The stored form of what a step changes; `inside` are the nodes that were counted within it."""
    if not inside:
        alone = frontier[0] if len(frontier) == 1 else ""
        return jsonio.dumps_text(frontier) if alone[:1] in _JSON else alone
    return jsonio.dumps_text({"frontier": frontier, "counts": inside})


def position_of(source: sqlite3.Connection | Tx, run_key: int) -> dict[str, Any]:
    """The position of a run as data, with everything that its steps have changed."""
    (stored,) = source.execute("SELECT position FROM runs WHERE key = ?", (run_key,)).fetchone()
    position: dict[str, Any] = jsonio.loads(stored)
    counts: dict[str, int] = position.setdefault("counts", {})
    onward: Any = None
    for node_id, iteration, ordinal, text in source.execute(
        "SELECT node_id, iteration, ordinal, onward FROM attempts WHERE run_key = ? AND ordinal > ? ORDER BY id",
        (run_key, position.get("at", 0)),
    ):
        onward = _read(text)
        counts[node_id] = iteration
        if isinstance(onward, dict):
            counts.update(onward["counts"])
        position["at"] = ordinal
    if onward is not None:
        position["frontier"] = _frontier(onward)
    return position


def progress(connection: sqlite3.Connection | Tx, run_key: int, stored: str) -> Progress:
    """How far a run has come, without reading all of its steps. `stored` is its `runs.position`."""
    position = jsonio.loads(stored)
    at = position.get("at", 0)
    last = connection.execute(
        "SELECT ordinal, onward FROM attempts WHERE run_key = ? AND ordinal IS NOT NULL ORDER BY id DESC LIMIT 1",
        (run_key,),
    ).fetchone()
    if last is None or last[0] <= at:
        return Progress(tuple(position["frontier"]), at)
    return Progress(tuple(_frontier(_read(last[1]))), last[0])


def _read(text: str) -> Any:
    return jsonio.loads(text) if text[:1] in _JSON else [text]


def _frontier(onward: Any) -> list[str]:
    found: list[str] = onward["frontier"] if isinstance(onward, dict) else onward
    return found
