"""Comparisons of two runs, and the changes of the state by one attempt."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, cast

from victor_engine.api import (
    AttemptInfo,
    AttemptState,
    ComparedRun,
    NodeComparison,
    NodeFacts,
    RunComparison,
    RunDetail,
    ValueChange,
    run_seconds,
)
from victor_engine.store import queries
from victor_engine.store.state import EDIT
from victor_engine.versioning.diff import diff, value_changes


def attempt_state(connection: sqlite3.Connection, run_id: str, attempt_id: int) -> AttemptState:
    """Return the state before and after an attempt, with the changes."""
    found = queries.attempt_state(connection, run_id, attempt_id)
    return AttemptState(found.attempt, found.before, found.after, changes(found.before, found.after))


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[ValueChange, ...]:
    """Return the differences of two JSON objects."""
    return tuple(
        ValueChange(cast("Any", change.kind), change.path, change.old, change.new)
        for change in value_changes(before, after)
    )


def compare_runs(
    connection: sqlite3.Connection, left: str, right: str, now: datetime, paces: queries.Paces
) -> RunComparison:
    """Compare two runs. They can be of different versions or workflows; ids can be unique prefixes."""
    one = queries.run_detail(connection, left, now, paces)
    other = queries.run_detail(connection, right, now, paces)
    return RunComparison(
        left=_side(connection, one, now),
        right=_side(connection, other, now),
        nodes=compare_nodes(one, other, now),
        state=changes(one.state, other.state),
        input=changes(one.input, other.input),
        definition=_definitions(connection, one, other),
    )


def _side(connection: sqlite3.Connection, detail: RunDetail, now: datetime) -> ComparedRun:
    run = detail.run
    return ComparedRun(run, run_seconds(run, now), detail.input, *queries.log_size(connection, run.id))


def compare_nodes(one: RunDetail, other: RunDetail, now: datetime) -> tuple[NodeComparison, ...]:
    """Return each node of both runs, in the order of the graph of the left run."""
    left, right = _facts(one.attempts, now), _facts(other.attempts, now)
    names = [node.id for detail in (one, other) for node in detail.graph.nodes]
    order = dict.fromkeys([*names, *left, *right])
    return tuple(NodeComparison(name, left.get(name), right.get(name)) for name in order)


def _facts(attempts: Iterable[AttemptInfo], now: datetime) -> dict[str, NodeFacts]:
    by_node: dict[str, list[AttemptInfo]] = {}
    for attempt in attempts:
        if attempt.node_type != EDIT:
            by_node.setdefault(attempt.node_id, []).append(attempt)
    return {
        node: NodeFacts(
            status=each[-1].status,
            iterations=len({attempt.iteration for attempt in each}),
            attempts=len(each),
            seconds=sum(((a.finished_at or now) - a.started_at).total_seconds() for a in each),
        )
        for node, each in by_node.items()
    }


def _definitions(connection: sqlite3.Connection, one: RunDetail, other: RunDetail) -> tuple[str, ...]:
    left, right = one.run, other.run
    if (left.workflow, left.version) == (right.workflow, right.version):
        return ()
    before = queries.definition_info(connection, left.workflow, left.version).content
    after = queries.definition_info(connection, right.workflow, right.version).content
    return tuple(change.describe() for change in diff(before, after))
