"""What is typical of a workflow: how long its runs and nodes take, and how many nodes a run does.

Learned from recent successful runs, of the same version where there are enough of them. The look
back is bounded, so the answer costs the same whether a store holds a thousand runs or a million.
"""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median

from victor_engine.store.state import ITEM

LOOK_BACK = 200
"""Successful runs of a workflow that are looked at."""
SAMPLE = 50
"""The number of runs from which typical values are computed, the newest of the same version first."""
ENOUGH = 5
"""The least number of durations from which a typical one is stated.

With fewer successful runs of a version, those of all versions of its workflow are used.
"""
NODE_RUNS = 9
"""The number of runs from whose attempts the durations of nodes are computed."""
NODE_LIMIT = 300
"""Runs that did more nodes than this do not tell what a node takes: reading them would cost too much."""
FRESH = timedelta(seconds=10)
"""How long what was learned from a full sample is good for, while new runs succeed."""
_KEPT = 1000
"""The number of cached versions."""

STUCK_TIMES = 4.0
"""A node that takes this many times what is slow for it makes its run stuck."""
STUCK_LEAST = 30.0
"""Seconds below which nothing counts as stuck: what takes a moment may take a few now and then."""


@dataclass(frozen=True, slots=True)
class NodePace:
    """Seconds that successful attempts of a node took: their number, median and 95th percentile."""

    attempts: int
    typical: float
    slow: float


@dataclass(frozen=True, slots=True)
class Pace:
    """The typical values of a version. Seconds of a whole run; None if too few runs are known.

    `runs` is the number of runs that were looked at, `timed` the number of those with a duration.
    """

    runs: int = 0
    timed: int = 0
    typical: float | None = None
    slow: float | None = None
    nodes_expected: int | None = None
    nodes: Mapping[str, NodePace] = field(default_factory=dict)

    def usual(self, others: int) -> tuple[float | None, float | None]:
        """Return the typical and the slow seconds of a run; None unless `others` are enough to state them."""
        return (self.typical, self.slow) if others >= ENOUGH else (None, None)

    def usual_of(self, node_id: str | None) -> float | None:
        """Return the typical seconds of an attempt of a node; None if too few are known."""
        node = None if node_id is None else self.nodes.get(node_id)
        return node.typical if node is not None and node.attempts >= ENOUGH else None

    def patience(self, node_id: str) -> float | None:
        """Seconds after which an attempt of a node counts as stuck; None where nothing is known."""
        node = self.nodes.get(node_id)
        slow = node.slow if node is not None else self.slow
        return None if slow is None else max(STUCK_LEAST, STUCK_TIMES * slow)


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` of the ascending values lie, between neighbours in proportion."""
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


class Paces:
    """Remembers what is typical, so that a screen that is drawn again does not work it out again.

    Forgets as soon as another run has succeeded; from a full sample, which one more run hardly
    changes, only after a while. May be used by several threads: the worst is work done twice.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[int, tuple[int, datetime, Pace]] = OrderedDict()

    def of(self, connection: sqlite3.Connection, workflow: str, definition_id: int, now: datetime) -> Pace:
        """Return the typical values of a definition of `workflow`."""
        row = connection.execute(
            "SELECT MAX(key) FROM runs WHERE workflow = ? AND status = 'succeeded'", (workflow,)
        ).fetchone()
        newest: int = row[0] or 0
        known = self._known.get(definition_id)
        if known is not None:
            last, at, pace = known
            if last == newest or _keeps(pace, at, now):
                return pace
        pace = learn(connection, workflow, definition_id) if newest else Pace()
        self._known[definition_id] = (newest, now, pace)
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)
        return pace

    def remembered(self, definition_id: int, now: datetime) -> Pace | None:
        """What `of` would give without looking at the store; None if it would look."""
        known = self._known.get(definition_id)
        return known[2] if known is not None and _keeps(known[2], known[1], now) else None


def _keeps(pace: Pace, learned_at: datetime, now: datetime) -> bool:
    return pace.runs >= SAMPLE and timedelta(0) <= now - learned_at < FRESH


def learn(connection: sqlite3.Connection, workflow: str, definition_id: int) -> Pace:
    """Compute the typical values of a definition from the newest successful runs."""
    rows = connection.execute(
        "SELECT key, definition_id, started_at + idle, finished_at, nodes_done FROM runs"
        " WHERE workflow = ? AND status = 'succeeded' ORDER BY key DESC LIMIT ?",
        (workflow, LOOK_BACK),
    ).fetchall()
    own = [row for row in rows if row[1] == definition_id]
    chosen = (own if len(own) >= ENOUGH else rows)[:SAMPLE]
    took = sorted((row[3] - row[2]) / 1e6 for row in chosen if row[2] is not None and row[3] is not None)
    counts = [row[4] for row in chosen if row[4]]
    small = [row[0] for row in chosen if row[4] <= NODE_LIMIT][:NODE_RUNS]
    return Pace(
        runs=len(chosen),
        timed=len(took),
        typical=median(took) if took else None,
        slow=percentile(took, 0.95) if took else None,
        nodes_expected=round(median(counts)) if counts else None,
        nodes=_nodes(connection, small),
    )


def _nodes(connection: sqlite3.Connection, keys: Sequence[int]) -> dict[str, NodePace]:
    """Return the seconds of the successful attempts in these runs, by node."""
    found: dict[str, list[float]] = {}
    for key in keys:
        for node, start, end in connection.execute(
            "SELECT node_id, started_at, finished_at FROM attempts WHERE run_key = ?"
            " AND status = 'succeeded' AND finished_at IS NOT NULL AND node_type <> ?",
            (key, ITEM),
        ):
            found.setdefault(node, []).append((end - start) / 1e6)
    return {
        node: NodePace(len(seconds), median(seconds), percentile(sorted(seconds), 0.95))
        for node, seconds in found.items()
    }
