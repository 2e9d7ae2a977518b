"""The graph of dependencies between schedules and workflows. It has no cycles."""

from __future__ import annotations

import sqlite3

from victor_engine.api import ScheduleSpec
from victor_engine.config.yaml_locations import did_you_mean
from victor_engine.errors import UsageError
from victor_engine.store.db import Tx
from victor_engine.store.repositories import definitions, dependencies


def set_upstream(tx: Tx, schedule_id: str, spec: ScheduleSpec | None) -> None:
    """Store the upstream workflows of a schedule. With None for `spec`, remove them."""
    upstream = spec.after.workflows if spec is not None and spec.after is not None else ()
    dependencies.replace(tx, schedule_id, upstream)


def check(source: Tx | sqlite3.Connection, schedule_id: str, spec: ScheduleSpec) -> None:
    """Raise UsageError if `spec` depends on a workflow that is not registered, or closes a cycle."""
    if spec.after is None:
        return
    for name in spec.after.workflows:
        if not definitions.is_known(source, name):
            known = definitions.names(source)
            raise UsageError(f"after: the workflow {name!r} does not exist. {did_you_mean(name, known)}")
    edges: dict[str, set[str]] = {}
    for upstream, workflow in dependencies.edges(source, schedule_id):
        edges.setdefault(upstream, set()).add(workflow)
    for name in spec.after.workflows:
        path = _path(edges, spec.workflow, name)
        if path is not None:
            raise UsageError(
                f"after: the workflows would form a cycle: {' -> '.join([*path, spec.workflow])}"
            )


def _path(edges: dict[str, set[str]], start: str, goal: str) -> list[str] | None:
    """Return the path from `start` downstream to `goal`, or None."""
    came: dict[str, str | None] = {start: None}
    queue = [start]
    for name in queue:
        if name == goal:
            path: list[str] = []
            at: str | None = name
            while at is not None:
                path.append(at)
                at = came[at]
            return path[::-1]
        for following in sorted(edges.get(name, ())):
            if following not in came:
                came[following] = name
                queue.append(following)
    return None
