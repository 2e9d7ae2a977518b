"""The search for chains of migrations from one version to another."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from itertools import count

from victor_engine.versioning.migration import WorkflowMigration
from victor_engine.versioning.semver import WorkflowVersion

Path = list[WorkflowMigration]
Cost = tuple[int, int]
"""The number of migrations, and the number of breaking ones, compared in this order."""

_MAX_EXPANSIONS = 20_000
"""The maximum number of partial paths of a search; only alternatives in a dense graph reach it."""


def find_paths(
    migrations: Iterable[WorkflowMigration], start: WorkflowVersion, goal: WorkflowVersion
) -> Iterator[Path]:
    """Yield the paths that visit each version at most once: the shortest first, then the least breaking."""
    outgoing: dict[WorkflowVersion, Path] = {}
    incoming: dict[WorkflowVersion, Path] = {}
    for migration in sorted(migrations, key=lambda each: (each.from_version, each.to_version)):
        outgoing.setdefault(migration.from_version, []).append(migration)
        incoming.setdefault(migration.to_version, []).append(migration)
    left = _costs_to(goal, incoming)
    if start not in left or start == goal:
        return
    ties = count()
    # The remaining cost is known exactly (A* with a perfect heuristic), so the first complete path is the best.
    heap: list[tuple[Cost, int, Cost, WorkflowVersion, Path]] = [(left[start], next(ties), (0, 0), start, [])]
    for _ in range(_MAX_EXPANSIONS):
        if not heap:
            return
        _, _, so_far, version, path = heapq.heappop(heap)
        if version == goal:
            yield path
            continue
        seen = {start, *(migration.to_version for migration in path)}
        for migration in outgoing.get(version, ()):
            after = migration.to_version
            if after in left and after not in seen:
                cost = _plus(so_far, migration)
                total = cost[0] + left[after][0], cost[1] + left[after][1]
                heapq.heappush(heap, (total, next(ties), cost, after, [*path, migration]))


def _plus(cost: Cost, migration: WorkflowMigration) -> Cost:
    return cost[0] + 1, cost[1] + migration.breaking


def _costs_to(goal: WorkflowVersion, incoming: dict[WorkflowVersion, Path]) -> dict[WorkflowVersion, Cost]:
    """Return the lowest cost to the goal, for each version from which the goal can be reached."""
    known: dict[WorkflowVersion, Cost] = {}
    ties = count()
    heap: list[tuple[Cost, int, WorkflowVersion]] = [((0, 0), next(ties), goal)]
    while heap:
        cost, _, version = heapq.heappop(heap)
        if version in known:
            continue
        known[version] = cost
        for migration in incoming.get(version, ()):
            if migration.from_version not in known:
                heapq.heappush(heap, (_plus(cost, migration), next(ties), migration.from_version))
    return known


def reachable(migrations: Iterable[WorkflowMigration], start: WorkflowVersion) -> set[WorkflowVersion]:
    """Return all versions that can be reached from `start`, with `start`."""
    successors: dict[WorkflowVersion, list[WorkflowVersion]] = {}
    for migration in migrations:
        successors.setdefault(migration.from_version, []).append(migration.to_version)
    found = {start}
    todo = [start]
    while todo:
        for version in successors.get(todo.pop(), ()):
            if version not in found:
                found.add(version)
                todo.append(version)
    return found
