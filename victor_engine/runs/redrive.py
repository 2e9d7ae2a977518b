"""Redrive: a finished or paused run continues from a node that the operator chooses.

It stays the same run. Its attempts are kept, and iterations continue to count. A change of its state by
the operator is stored as an attempt of type `edit` with its patch, so that each later state is still the
sum of the patches.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from victor_engine import jsonio
from victor_engine.api import Actor
from victor_engine.definition.graph import reaches
from victor_engine.definition.model import WorkflowDefinition
from victor_engine.domain.statuses import RunStatus
from victor_engine.domain.transitions import RunCommand, next_status
from victor_engine.errors import ConflictError, UsageError, VictorError
from victor_engine.events import EventKind
from victor_engine.graph_walk.effects import Position
from victor_engine.people.requests import withdraw_requests
from victor_engine.reserved import with_reserved_of
from victor_engine.runs import transitions
from victor_engine.runs.commands import Redrive
from victor_engine.runs.conflicts import check_revision
from victor_engine.runs.transitions import RunRef
from victor_engine.store.db import Tx
from victor_engine.store.patch import Patch
from victor_engine.store.repositories import attempt_rows, attempts, run_rows, runs
from victor_engine.store.repositories.attempt_rows import Visit
from victor_engine.store.repositories.deadletters import PART_OF_A_RUN, remove_dead_letter
from victor_engine.store.repositories.run_rows import StoredRun
from victor_engine.store.state import run_state
from victor_engine.store.stored_position import position_of
from victor_engine.versioning.catalog import load_definition, resolve
from victor_engine.versioning.migration import WorkflowMigration
from victor_engine.versioning.migration_steps import MigrationError
from victor_engine.versioning.position import RunPosition, check, move
from victor_engine.versioning.stored_migrations import Load, load_registry, migration_path

CheckStart = Callable[[sqlite3.Connection, int], object]
"""Raises DefinitionError for a definition on which no run can start here."""

_NAMED = 20
"""The maximum number of nodes or keys in an error or an event."""


@dataclass(frozen=True, slots=True)
class Target:
    """The definition with which a run continues, and the version that it had.

    `path` has the migrations that lead from the old version to this one; it is empty if there are none.
    """

    definition_id: int
    definition: WorkflowDefinition
    version: str
    old_version: str
    path: Sequence[WorkflowMigration] = ()

    @property
    def changes_version(self) -> bool:
        return self.version != self.old_version


@dataclass(frozen=True, slots=True)
class RedriveSource:
    """The position and history of a run, from which the possible nodes of a redrive follow.

    `visits` are the nodes that it has reached, and `parent` is the run of which it is a child.
    """

    position: Position
    failed_at: str | None
    visits: Mapping[str, Visit]
    parent: str | None


def source_of(source: Tx | sqlite3.Connection, stored: StoredRun) -> RedriveSource:
    """Return the position and history of a run."""
    return RedriveSource(
        Position.from_data(position_of(source, stored.key)),
        jsonio.loads(stored.error).get("node_id") if stored.error is not None else None,
        attempt_rows.visits(source, stored.key),
        run_rows.parent_id(source, stored.key, PART_OF_A_RUN),
    )


def why_not(
    connection: sqlite3.Connection, stored: StoredRun, command: Redrive, check: CheckStart | None
) -> str:
    """Return why a redrive would be refused, by the rules by which it is committed; empty if it would not.

    `check` raises DefinitionError for a definition on which no run can start here. Functions of migrations are not
    called.
    """
    try:
        new_id = stored.definition_id
        if command.version is not None:
            new_id = resolve(connection, stored.workflow, command.version).id
            if check is not None:
                check(connection, new_id)
        _, old_version = load_definition(connection, stored.definition_id)
        definition, version = load_definition(connection, new_id)
        path = path_of(connection, stored.workflow, old_version, version, lambda _: dict)
        target = Target(new_id, definition, version, old_version, path)
        decide_frontier(stored, source_of(connection, stored), command, target)
    except VictorError as error:
        return error.message
    return ""


def path_of(
    tx: Tx | sqlite3.Connection, workflow: str, old_version: str, version: str, load: Load | None
) -> Sequence[WorkflowMigration]:
    """Return the migrations between two versions, empty if no chain of them leads there.

    `load` loads the functions of custom migration steps. Without it, such steps are refused.
    """
    if old_version == version:
        return ()
    registry = load_registry(tx, workflow)
    if not registry.get_migration_paths(workflow, old_version, version, limit=1):
        return ()
    return migration_path(registry, workflow, old_version, version, load)


def redrive(tx: Tx, stored: StoredRun, actor: Actor, command: Redrive, target: Target) -> None:
    """Commit a redrive in a transition. Raise ConflictError or UsageError if it is refused."""
    ref = stored.ref
    check_revision(tx, ref, stored.revision, command.revision)
    source = source_of(tx, stored)
    frontier = decide_frontier(stored, source, command, target)
    now = run_state(tx.connection, ref.key)
    state, how, reserved = _target_state(tx, ref, command, target, now, frontier[0])
    edit = difference(now, state)
    transitions.end_live_attempts(tx, ref, "cancelled")
    withdraw_requests(tx, ref.key, "the run was redriven")
    remove_dead_letter(tx, ref.key)
    if not edit.empty:
        attempts.add_edit(tx, ref.key, target.definition_id, how or f"edited by {actor.user}", edit)
    reset = not edit.empty or target.changes_version
    position = decide_position(
        source,
        frontier,
        attempt_rows.last(tx, ref.key),
        reset=reset,
        restart_children=command.restart_children,
    )
    runs.requeue(tx, ref.key, jsonio.dumps_text(position.to_data()), target.definition_id)
    tx.event(
        EventKind.RUN_REDRIVEN,
        actor=actor,
        run_key=ref.key,
        run_id=ref.id,
        schedule_id=ref.schedule_id,
        workflow=ref.workflow,
        node_id=frontier[0],
        data=_event_data(command, target, source.position, frontier, edit, how)
        | ({"after": stored.status} if stored.status == RunStatus.SUCCEEDED else {}),
    )
    if reserved:
        transitions.warn_reserved(tx, ref, None, reserved)


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> Patch:
    """Return the patch that changes `before` into `after`."""
    missing = object()
    return Patch(
        {key: value for key, value in after.items() if before.get(key, missing) != value},
        tuple(key for key in before if key not in after),
    )


def _target_state(
    tx: Tx, ref: RunRef, command: Redrive, target: Target, now: dict[str, Any], node: str
) -> tuple[Mapping[str, Any], str, tuple[str, ...]]:
    """Return the state to continue with, its origin unless an operator gave it, and the reserved names that
    an edit or a migration tried to write."""
    if command.state is not None:
        edited, reserved = with_reserved_of(now, command.state)
        return edited, "", reserved
    state, words = now, []
    tried: list[str] = []
    if command.rewind:
        state = _state_before(tx, ref, node)
        words.append(f"as before {node}")
    if target.path:
        for migration in target.path:
            state = migration.apply_to_state(state, tried)
        words.append(f"migrated: {', '.join(migration.migration_id for migration in target.path)}")
    return state, "; ".join(words), tuple(dict.fromkeys(tried))


def _state_before(tx: Tx, ref: RunRef, node: str) -> dict[str, Any]:
    """Return the state before the last visit of the node."""
    first = attempt_rows.first_of_last_visit(tx, ref.key, node)
    if first is None:
        raise UsageError(f"run {ref.id} has never reached {node}, so it has no state from before that node")
    return run_state(tx.connection, ref.key, first - 1)


# --- position ------------------------------------------------------------------------------------


def decide_frontier(stored: StoredRun, source: RedriveSource, command: Redrive, target: Target) -> list[str]:
    """Return the nodes that a redriven run executes, the chosen one first. Raise an error if it cannot continue there.

    Without a choice these are the nodes at which the run stopped. With a choice, other pending nodes stay pending
    only if they are on a separate branch: neither before nor after the chosen node.
    """
    if command.rewind and command.state is not None:
        raise UsageError("give either a state or `rewind` (the state from before the node), not both")
    next_status(stored.id, stored.status, RunCommand.REDRIVE)
    if source.parent is not None:
        # The parent no longer waits for this child.
        raise ConflictError(
            f"run {stored.id} is a child of run {source.parent}; retry that run, which continues this one where it "
            "stopped"
        )
    nodes, old = target.definition.nodes, source.position
    if command.from_node is None:
        frontier = list(old.frontier) or ([source.failed_at] if source.failed_at is not None else [])
        if not frontier:
            raise ConflictError(
                f"run {stored.id} has no pending node to continue from; name one of its nodes"
            )
        return _moved(frontier, source, target) if target.changes_version else frontier
    chosen = _outermost(source, command.from_node, target)
    after = reaches(target.definition, chosen)
    apart = [
        node
        for node in old.frontier
        if node in nodes
        and node != chosen
        and node not in after
        and chosen not in reaches(target.definition, node)
    ]
    return [chosen, *apart]


def _moved(frontier: list[str], source: RedriveSource, target: Target) -> list[str]:
    """Return the nodes of another version that correspond to the pending ones, by the rules of a migration.

    Raise UsageError if the version does not have a node, MigrationError if a run cannot continue there.
    """
    stands = RunPosition(tuple(frontier), source.position.counts, {node: node for node in frontier})
    for migration in target.path:
        for number, step in enumerate(migration.steps, 1):
            try:
                stands, _ = move(step, stands, None)
            except MigrationError as error:
                raise migration.failure(number, error) from error
    gone = [node for node in stands.frontier if node not in target.definition.nodes]
    if gone:
        raise _no_such_node(target, gone[0])
    check(stands, target.definition)
    return list(stands.frontier)


def _outermost(source: RedriveSource, node: str, target: Target) -> str:
    """Return the chosen node. For a member of a parallel, team or map, return the node that contains it."""
    nodes = target.definition.nodes
    chosen = node
    seen: set[str] = set()
    while chosen not in seen:
        seen.add(chosen)
        visit = source.visits.get(chosen)
        if visit is not None and (visit.parent or not target.changes_version):
            chosen = visit.parent or chosen
            continue
        holders = (n.id for n in nodes.values() if (chosen, "", "member") in n.targets())
        chosen = next(holders, chosen)
    if chosen not in nodes:
        raise _no_such_node(target, chosen)
    return chosen


def _no_such_node(target: Target, node: str) -> UsageError:
    names = list(target.definition.nodes)
    listed = ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")
    return UsageError(
        f"{target.definition.name} {target.version} has no node {node!r}; choose one of: {listed}",
        nodes=names,
    )


def decide_position(
    source: RedriveSource,
    frontier: list[str],
    last_attempt: int,
    *,
    reset: bool,
    restart_children: bool = False,
) -> Position:
    """Return the position of a redriven run. `reset`: its state or version changes."""
    old = source.position
    counts = dict(old.counts)
    if reset or frontier[0] not in old.frontier:
        # The inputs differ, so it counts as a new visit: no result of a branch is reused, and no
        # idempotency key is used for other inputs.
        for node, visit in source.visits.items():
            base = node if node in counts else node.split(".", 1)[0]
            counts[base] = max(counts.get(base, 0), visit.iteration)
    fresh = last_attempt if restart_children else old.fresh
    return Position(
        frontier, counts, last_attempt, floor=sum(counts.values()), ordinal=old.ordinal, fresh=fresh
    )


# --- records -----------------------------------------------------------------------------------


def _event_data(
    command: Redrive, target: Target, old: Position, frontier: list[str], edit: Patch, how: str
) -> dict[str, Any]:
    data: dict[str, Any] = {"from": frontier[0]}
    if command.from_node not in (None, frontier[0]):
        data["asked_for"] = command.from_node
    left_out = [node for node in old.frontier if node not in frontier]
    if left_out:
        data["left_out"] = left_out[:_NAMED]
    if not edit.empty:
        data["edited"] = sorted(edit.keys())[:_NAMED]
    if target.changes_version:
        data |= {"version": target.version, "was": target.old_version}
    if how:
        data["state"] = how
    if command.restart_children:
        data["restart_children"] = True
    if command.note:
        data["note"] = command.note
    return data
