"""The ways through migrations from one version to another, the best first."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from itertools import count

from victor_engine.versioning.migration import WorkflowMigration
from victor_engine.versioning.semver import WorkflowVersion

Path = list[WorkflowMigration]
Cost = tuple[int, int]
"""How many migrations, and how many of them are breaking: compared in this order."""

_LOOKED_AT = 20_000
"""Beginnings of ways that are looked at; only alternatives in a dense graph come that far."""


def ways(
    migrations: Iterable[WorkflowMigration], start: WorkflowVersion, goal: WorkflowVersion
) -> Iterator[Path]:
    """Every way that visits no version twice: the shortest first, of equally long ones the least breaking."""
    leading_from: dict[WorkflowVersion, Path] = {}
    leading_to: dict[WorkflowVersion, Path] = {}
    for migration in sorted(migrations, key=lambda each: (each.from_version, each.to_version)):
        leading_from.setdefault(migration.from_version, []).append(migration)
        leading_to.setdefault(migration.to_version, []).append(migration)
    left = _costs_to(goal, leading_to)
    if start not in left or start == goal:
        return
    ties = count()
    # What is left to the goal is known exactly, so the first that comes out of the heap is the best.
    heap: list[tuple[Cost, int, Cost, WorkflowVersion, Path]] = [(left[start], next(ties), (0, 0), start, [])]
    for _ in range(_LOOKED_AT):
        if not heap:
            return
        _, _, so_far, version, path = heapq.heappop(heap)
        if version == goal:
            yield path
            continue
        seen = {start, *(migration.to_version for migration in path)}
        for migration in leading_from.get(version, ()):
            after = migration.to_version
            if after in left and after not in seen:
                cost = _plus(so_far, migration)
                total = cost[0] + left[after][0], cost[1] + left[after][1]
                heapq.heappush(heap, (total, next(ties), cost, after, [*path, migration]))


def _plus(cost: Cost, migration: WorkflowMigration) -> Cost:
    return cost[0] + 1, cost[1] + migration.breaking


def _costs_to(goal: WorkflowVersion, leading_to: dict[WorkflowVersion, Path]) -> dict[WorkflowVersion, Cost]:
    """What it costs at least to get to the goal, for each version from which that is possible."""
    known: dict[WorkflowVersion, Cost] = {}
    ties = count()
    heap: list[tuple[Cost, int, WorkflowVersion]] = [((0, 0), next(ties), goal)]
    while heap:
        cost, _, version = heapq.heappop(heap)
        if version in known:
            continue
        known[version] = cost
        for migration in leading_to.get(version, ()):
            if migration.from_version not in known:
                heapq.heappush(heap, (_plus(cost, migration), next(ties), migration.from_version))
    return known


def reachable(migrations: Iterable[WorkflowMigration], start: WorkflowVersion) -> set[WorkflowVersion]:
    """Every version to which some way leads, `start` included."""
    leading: dict[WorkflowVersion, list[WorkflowVersion]] = {}
    for migration in migrations:
        leading.setdefault(migration.from_version, []).append(migration.to_version)
    found = {start}
    todo = [start]
    while todo:
        for version in leading.get(todo.pop(), ()):
            if version not in found:
                found.add(version)
                todo.append(version)
    return found
