"""What a migration would make of a run: state and position step by step, or why it cannot be moved."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from victor_engine import jsonio
from victor_engine.api import MigrationStepResult, RunMove
from victor_engine.definition.content import node_to_content
from victor_engine.definition.model import ParallelNode, WorkflowDefinition
from victor_engine.errors import ConflictError, VictorError
from victor_engine.reserved import refusal
from victor_engine.runs.migration.pending import Comparison, Pending, pending
from victor_engine.runs.migration.stored_run import Resting
from victor_engine.versioning.diff import change_lines
from victor_engine.versioning.migration import WorkflowMigration
from victor_engine.versioning.migration_steps import MigrationError
from victor_engine.versioning.position import RunPosition, check, move

MOVABLE = ("waiting", "paused", "failed")
"""Statuses in which nothing of a run is at work."""


@dataclass(frozen=True, slots=True)
class Way:
    """How runs get from one version to another. `known` gives a version on the way, if it is registered."""

    source: WorkflowDefinition
    from_version: str
    target: WorkflowDefinition
    to_version: str
    target_id: int
    path: list[WorkflowMigration]
    known: Callable[[str], WorkflowDefinition | None]
    alternatives: tuple[tuple[str, ...], ...] = ()  # other ways, as ids of migrations

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(migration.migration_id for migration in self.path)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a migration makes of one run: `move` says so in words, the rest is what is stored if it is applied."""

    run: Resting
    way: Way
    move: RunMove
    state: dict[str, Any] = field(default_factory=dict)
    stands: RunPosition = field(default_factory=lambda: RunPosition(()))
    reserved: tuple[str, ...] = ()  # names that the steps tried to write and that the engine alone writes
    pending: Pending = field(default_factory=Pending)

    @property
    def ready(self) -> bool:
        return self.move.outcome == "ready"


def plan(run: Resting, way: Way, now: datetime, *, detail: bool = True) -> Plan:
    """A dry run. Never raises for what the run or the migration is: the reason is in the move.

    `detail` tells each step with what it changes, which costs a copy of the state each.
    """
    position = jsonio.loads(run.position)
    steps: list[MigrationStepResult] = []

    def told(outcome: str, **more: Any) -> RunMove:
        return RunMove(
            run_id=run.ref.id,
            from_version=way.from_version,
            to_version=way.to_version,
            outcome=outcome,  # type: ignore[arg-type]
            run_status=run.status,
            path=way.ids,
            stands_on=tuple(position["frontier"]),
            steps=tuple(steps),
            breaking=any(migration.breaking for migration in way.path),
            alternatives=way.alternatives if detail else (),
            **more,
        )

    try:
        check_rests(run)
        state, stands, reserved = _walk(run, way, steps, detail)
        check(stands, way.target)
        _check_inside(run, way, stands)
        what_waits = pending(Comparison(run, way.source, way.target, state, now), stands, way.from_version)
    except VictorError as error:
        return Plan(run, way, told("refused", reason=error.message))
    ready = told(
        "ready",
        goes_on_at=stands.frontier,
        questions=tuple(what_waits.questions),
        timers=tuple(what_waits.timers),
    )
    return Plan(run, way, ready, state, stands, reserved, what_waits)


def check_rests(run: Resting) -> None:
    """ConflictError if something of the run is at work, or if it is over."""
    # A run that rests until its next attempt is due, or in whose parallel one branch waits and the others
    # are done, counts as running, and nothing of it is at work.
    idle = run.status == "running" and run.live and all(each.status != "running" for each in run.live)
    if run.status == "pausing":
        raise ConflictError("it is pausing; wait until it is paused, and it can be moved")
    if run.status in ("queued", "running", "cancelling") and not idle:
        raise ConflictError(f"it is {run.status}; pause it, and it can be moved once it rests")
    if run.status not in MOVABLE and not idle:
        raise ConflictError(f"it is {run.status}, so there is nothing left to move")
    if any(each.status == "running" for each in run.live):
        raise ConflictError("one of its nodes is at work; pause it, and it can be moved once it rests")


def _walk(
    run: Resting, way: Way, steps: list[MigrationStepResult], detail: bool
) -> tuple[dict[str, Any], RunPosition, tuple[str, ...]]:
    """Return state and position after the whole chain, and the reserved names that its steps tried to write."""
    state: dict[str, Any] = copy.deepcopy(run.state)
    stands = RunPosition.at(jsonio.loads(run.position))
    tried: dict[str, None] = {}
    for migration in way.path:
        there = way.known(str(migration.to_version))
        for number, step in enumerate(migration.steps, 1):
            before = copy.deepcopy(state) if detail else state
            state, names = migration.apply_one(number, state)
            tried.update(dict.fromkeys(names))
            try:
                stands, words = move(step, stands, there)
            except MigrationError as error:
                raise migration.failure(number, error) from error
            if detail:
                lines = (*change_lines(before, state), *([refusal(names)] if names else ()))
                steps.append(MigrationStepResult(migration.migration_id, step.describe(), lines, words))
    return state, stands, tuple(tried)


def _check_inside(run: Resting, way: Way, stands: RunPosition) -> None:
    """A run that is inside a parallel or team can only move if that is the same in both versions."""
    for node in run.inside:
        if stands.origin.get(node) != node:
            raise MigrationError(
                f"the run is inside {node!r}, whose members have begun; it can move once that is done"
            )
        for member in _block(way.source, node) | _block(way.target, node):
            old, new = way.source.nodes.get(member), way.target.nodes.get(member)
            if old is None or new is None or node_to_content(old) != node_to_content(new):
                raise MigrationError(
                    f"the run is inside {node!r}, whose members have begun, and {member!r} differs in "
                    f"{way.to_version}; it can move once {node!r} is done"
                )


def _block(definition: WorkflowDefinition, node_id: str) -> set[str]:
    """A node and, of a parallel one, all that its branches may do before they join."""
    node = definition.nodes[node_id]
    found = {node_id}
    if not isinstance(node, ParallelNode):
        return found
    stop = {*node.next, node_id}
    todo = list(node.parallel_nodes)
    while todo:
        member = todo.pop()
        if member in found or member in stop or member not in definition.nodes:
            continue
        found.add(member)
        todo.extend(target for target, _, _ in definition.nodes[member].targets())
    return found
