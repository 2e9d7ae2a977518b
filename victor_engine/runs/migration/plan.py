"""The dry run of a migration of one run: its state and position step by step, or the reason why it is refused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from victor_engine import jsonio
from victor_engine.api import MigrationStepResult, RunMove
from victor_engine.definition.content import node_to_content
from victor_engine.definition.model import WorkflowDefinition
from victor_engine.errors import ConflictError, VictorError
from victor_engine.reserved import refusal
from victor_engine.runs.migration.pending import Comparison, Pending, pending
from victor_engine.runs.migration.stored_run import MigratableRun
from victor_engine.versioning.diff import change_lines
from victor_engine.versioning.migration import WorkflowMigration
from victor_engine.versioning.migration_steps import MigrationError
from victor_engine.versioning.position import RunPosition, check, move

MOVABLE = ("waiting", "paused", "failed")
"""Statuses of runs without active attempts."""


@dataclass(frozen=True, slots=True)
class Route:
    """A path from one version to another. `known` returns a version on the path, if it is registered."""

    source: WorkflowDefinition
    from_version: str
    target: WorkflowDefinition
    to_version: str
    target_id: int
    path: list[WorkflowMigration]
    known: Callable[[str], WorkflowDefinition | None]
    alternatives: tuple[tuple[str, ...], ...] = ()  # other paths, as ids of migrations

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(migration.migration_id for migration in self.path)


@dataclass(frozen=True, slots=True)
class Plan:
    """The planned migration of one run: `move` describes it, the other fields are stored when it is applied."""

    run: MigratableRun
    route: Route
    move: RunMove
    state: dict[str, Any] = field(default_factory=dict)
    stands: RunPosition = field(default_factory=lambda: RunPosition(()))
    reserved: tuple[str, ...] = ()  # reserved keys that the steps tried to write
    pending: Pending = field(default_factory=Pending)

    @property
    def ready(self) -> bool:
        return self.move.outcome == "ready"


def plan(run: MigratableRun, route: Route, now: datetime, *, detail: bool = True) -> Plan:
    """Make a dry run. It does not raise errors about the run or the migration; the move contains the reason.

    `detail` describes each step with its changes, which copies the state for each step.
    """
    position = jsonio.loads(run.position)
    steps: list[MigrationStepResult] = []

    def result(outcome: str, **more: Any) -> RunMove:
        return RunMove(
            run_id=run.ref.id,
            from_version=route.from_version,
            to_version=route.to_version,
            outcome=outcome,  # type: ignore[arg-type]
            run_status=run.status,
            path=route.ids,
            stands_on=tuple(position["frontier"]),
            steps=tuple(steps),
            breaking=any(migration.breaking for migration in route.path),
            alternatives=route.alternatives if detail else (),
            **more,
        )

    try:
        check_idle(run)
        state, stands, reserved = _walk(run, route, steps, detail)
        check(stands, route.target)
        _check_inside(run, route, stands)
        waits = pending(Comparison(run, route.source, route.target, state, now), stands, route.from_version)
    except VictorError as error:
        return Plan(run, route, result("refused", reason=error.message))
    ready = result(
        "ready",
        goes_on_at=stands.frontier,
        questions=tuple(waits.questions),
        timers=tuple(waits.timers),
    )
    return Plan(run, route, ready, state, stands, reserved, waits)


def check_idle(run: MigratableRun) -> None:
    """Raise ConflictError if the run is active or over."""
    # A run between two attempts, or in whose parallel one branch waits and the others are done, is stored as
    # running although it is idle.
    idle = run.status == "running" and run.live and all(each.status != "running" for each in run.live)
    if run.handler:
        raise ConflictError(f"it executes {run.handler} of its version; wait for its end")
    if run.status == "pausing":
        raise ConflictError("it is pausing; wait until it is paused, then migrate it")
    if run.status in ("queued", "running", "cancelling") and not idle:
        raise ConflictError(f"it is {run.status}; pause it, and migrate it when it is paused")
    if run.status not in MOVABLE and not idle:
        raise ConflictError(f"it is {run.status}, so it cannot be migrated")
    if any(each.status == "running" for each in run.live):
        raise ConflictError("one of its nodes is active; pause it, and migrate it when it is paused")


def _walk(
    run: MigratableRun, route: Route, steps: list[MigrationStepResult], detail: bool
) -> tuple[dict[str, Any], RunPosition, tuple[str, ...]]:
    """Return state and position after the whole path, and the reserved keys that its steps tried to write."""
    state: dict[str, Any] = copy.deepcopy(run.state)
    stands = RunPosition.at(jsonio.loads(run.position))
    tried: dict[str, None] = {}
    here: WorkflowDefinition | None = route.source
    for migration in route.path:
        there = route.known(str(migration.to_version))
        for number, step in enumerate(migration.steps, 1):
            before = copy.deepcopy(state) if detail else state
            state, names = migration.apply_one(number, state, here, there)
            tried.update(dict.fromkeys(names))
            try:
                stands, words = move(step, stands, there)
            except MigrationError as error:
                raise migration.failure(number, error) from error
            if detail:
                lines = (*change_lines(before, state), *([refusal(names)] if names else ()))
                steps.append(MigrationStepResult(migration.migration_id, step.describe(), lines, words))
        here = there
    return state, stands, tuple(tried)


def _check_inside(run: MigratableRun, route: Route, stands: RunPosition) -> None:
    """Raise ConflictError if the run is inside a parallel, team or map that differs between the versions."""
    for node in run.inside:
        if stands.origin.get(node) != node:
            raise MigrationError(
                f"the run is inside {node!r}, whose members have begun; migrate it after {node!r} is done"
            )
        for member in _block(route.source, node) | _block(route.target, node):
            old, new = route.source.nodes.get(member), route.target.nodes.get(member)
            if old is None or new is None or node_to_content(old) != node_to_content(new):
                raise MigrationError(
                    f"the run is inside {node!r}, whose members have begun, and {member!r} differs in "
                    f"{route.to_version}; migrate it after {node!r} is done"
                )


def _block(definition: WorkflowDefinition, node_id: str) -> set[str]:
    """Return a node; for a parallel node, also the nodes of its branches up to the join."""
    node = definition.nodes[node_id]
    found = {node_id}
    stop = {*node.next, node_id}
    todo = [target for target, _, kind in node.targets() if kind == "member"]
    while todo:
        member = todo.pop()
        if member in found or member in stop or member not in definition.nodes:
            continue
        found.add(member)
        todo.extend(target for target, _, _ in definition.nodes[member].targets())
    return found
