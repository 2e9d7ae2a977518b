"""Redrive: a run that has come to its end, or idle, goes on from a node of the operator's choice.

It stays the same run: its attempts are kept, iterations are counted on, and what the operator
changed of its state is recorded as an attempt of type `edit` with its patch, so that every later
state is still the sum of what the attempts changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from victor_engine import jsonio
from victor_engine.api import Actor
from victor_engine.definition.graph import reaches
from victor_engine.definition.model import ParallelNode, WorkflowDefinition
from victor_engine.domain.transitions import RunCommand, next_status
from victor_engine.errors import ConflictError, UsageError
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
from victor_engine.store.repositories import attempts, runs
from victor_engine.store.repositories.attempts import Visit
from victor_engine.store.repositories.deadletters import PART_OF_A_RUN, remove_dead_letter
from victor_engine.store.repositories.runs import StoredRun
from victor_engine.store.state import run_state
from victor_engine.store.stored_position import position_of
from victor_engine.versioning.catalog import Load, load_registry, migration_path

_NAMED = 20
"""How many nodes or keys an error or an event names."""


@dataclass(frozen=True, slots=True)
class Target:
    """The definition that a run goes on with, and the version that it had.

    `load` loads the functions of custom steps of migrations; without it they are refused.
    """

    definition_id: int
    definition: WorkflowDefinition
    version: str
    old_version: str
    load: Load | None = None

    @property
    def changes_version(self) -> bool:
        return self.version != self.old_version


@dataclass(frozen=True, slots=True)
class Stood:
    """Where a run stands: all that decides from which nodes it can go on.

    `visits` are the nodes that it came to, and `parent` the run that it is a part of.
    """

    position: Position
    failed_at: str | None
    visits: Mapping[str, Visit]
    parent: str | None


def redrive(tx: Tx, stored: StoredRun, actor: Actor, wanted: Redrive, target: Target) -> None:
    """Commit a redrive in a transition. Raise ConflictError or UsageError if it is refused."""
    ref = stored.ref
    check_revision(tx, ref, stored.revision, wanted.revision)
    stood = Stood(
        Position.from_data(position_of(tx, ref.key)),
        jsonio.loads(stored.error).get("node_id") if stored.error is not None else None,
        attempts.visits(tx, ref.key),
        runs.parent_id(tx, ref.key, PART_OF_A_RUN),
    )
    frontier = decide_frontier(stored, stood, wanted, target)
    now = run_state(tx.connection, ref.key)
    state, how, reserved = _target_state(tx, ref, wanted, target, now, frontier[0])
    edit = difference(now, state)
    transitions.end_live_attempts(tx, ref, "cancelled")
    withdraw_requests(tx, ref.key, "the run was redriven")
    remove_dead_letter(tx, ref.key)
    if not edit.empty:
        attempts.add_edit(tx, ref.key, target.definition_id, how or f"edited by {actor.user}", edit)
    anew = not edit.empty or target.changes_version
    position = decide_position(stood, frontier, attempts.last(tx, ref.key), anew=anew)
    runs.requeue(tx, ref.key, jsonio.dumps_text(position.to_data()), target.definition_id)
    tx.event(
        EventKind.RUN_REDRIVEN,
        actor=actor,
        run_key=ref.key,
        run_id=ref.id,
        schedule_id=ref.schedule_id,
        workflow=ref.workflow,
        node_id=frontier[0],
        data=_event_data(wanted, target, stood.position, frontier, edit, how),
    )
    if reserved:
        transitions.warn_reserved(tx, ref, None, reserved)


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> Patch:
    """The patch that makes one state of another."""
    missing = object()
    return Patch(
        {key: value for key, value in after.items() if before.get(key, missing) != value},
        tuple(key for key in before if key not in after),
    )


def _target_state(
    tx: Tx, ref: RunRef, wanted: Redrive, target: Target, now: dict[str, Any], node: str
) -> tuple[Mapping[str, Any], str, tuple[str, ...]]:
    """Return the state to go on with, where it comes from if nobody has typed it, and the reserved names that
    an edit or a migration tried to write."""
    if wanted.state is not None:
        edited, reserved = with_reserved_of(now, wanted.state)
        return edited, "", reserved
    state, words = now, []
    tried: list[str] = []
    if wanted.rewind:
        state = _state_before(tx, ref, node)
        words.append(f"as before {node}")
    if target.changes_version:
        registry = load_registry(tx, ref.workflow)
        versions = target.old_version, target.version
        if registry.get_migration_paths(ref.workflow, *versions, limit=1):
            path = migration_path(registry, ref.workflow, *versions, target.load)
            for migration in path:
                state = migration.apply_to_state(state, tried)
            words.append(f"migrated: {', '.join(migration.migration_id for migration in path)}")
    return state, "; ".join(words), tuple(dict.fromkeys(tried))


def _state_before(tx: Tx, ref: RunRef, node: str) -> dict[str, Any]:
    """The state that the node's last visit found."""
    first = attempts.first_of_last_visit(tx, ref.key, node)
    if first is None:
        raise UsageError(f"run {ref.id} has never come to {node}, so there is no state from before it")
    return run_state(tx.connection, ref.key, first - 1)


# --- where it goes on --------------------------------------------------------------------------


def decide_frontier(stored: StoredRun, stood: Stood, wanted: Redrive, target: Target) -> list[str]:
    """Return the nodes that a redriven run does, the chosen one first. Raise an error if it cannot go on there.

    Without a choice it is where the run stopped. With one, other pending nodes stay pending only if
    they are on a branch of their own: neither on the way to the chosen node nor after it.
    """
    if wanted.rewind and wanted.state is not None:
        raise UsageError("give a state, or take the one from before the node (rewind), not both")
    next_status(stored.id, stored.status, RunCommand.REDRIVE)
    if stood.parent is not None:
        # Nothing waits any more for a run that is a node of another one.
        raise ConflictError(
            f"run {stored.id} is part of run {stood.parent}; redrive that one from the node it stands for"
        )
    nodes, old = target.definition.nodes, stood.position
    if wanted.from_node is None:
        frontier = list(old.frontier) or ([stood.failed_at] if stood.failed_at is not None else [])
        if not frontier:
            raise ConflictError(f"run {stored.id} has no node left to go on from; name one of its nodes")
        gone = [node for node in frontier if node not in nodes]
        if gone:
            raise _no_such_node(target, gone[0])
        return frontier
    chosen = _outermost(stood, wanted.from_node, target)
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


def _outermost(stood: Stood, node: str, target: Target) -> str:
    """Return the chosen node; of a member of a parallel or team, the node that starts its members."""
    nodes = target.definition.nodes
    chosen = node
    seen: set[str] = set()
    while chosen not in seen:
        seen.add(chosen)
        visit = stood.visits.get(chosen)
        if visit is not None:
            chosen = visit.parent or chosen
            continue
        holders = (n.id for n in nodes.values() if isinstance(n, ParallelNode) and chosen in n.parallel_nodes)
        chosen = next(holders, chosen)
    if chosen not in nodes:
        raise _no_such_node(target, chosen)
    return chosen


def _no_such_node(target: Target, node: str) -> UsageError:
    names = list(target.definition.nodes)
    listed = ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")
    return UsageError(
        f"{target.definition.name} {target.version} has no node {node!r}; go on from one of: {listed}",
        nodes=names,
    )


def decide_position(stood: Stood, frontier: list[str], last_attempt: int, *, anew: bool) -> Position:
    """Return the position of a redriven run. `anew`: its state or its version is another one than before."""
    old = stood.position
    counts = dict(old.counts)
    if anew or frontier[0] not in old.frontier:
        # Another thing is tried than before: it counts as a visit of its own, so that no result of a
        # branch is taken over and no idempotency key is used for other inputs.
        for node, visit in stood.visits.items():
            base = node if node in counts else node.split(".", 1)[0]
            counts[base] = max(counts.get(base, 0), visit.iteration)
    return Position(frontier, counts, last_attempt, floor=sum(counts.values()), ordinal=old.ordinal)


# --- records -----------------------------------------------------------------------------------


def _event_data(
    wanted: Redrive, target: Target, old: Position, frontier: list[str], edit: Patch, how: str
) -> dict[str, Any]:
    data: dict[str, Any] = {"from": frontier[0]}
    if wanted.from_node not in (None, frontier[0]):
        data["asked_for"] = wanted.from_node
    left_out = [node for node in old.frontier if node not in frontier]
    if left_out:
        data["left_out"] = left_out[:_NAMED]
    if not edit.empty:
        data["edited"] = sorted(edit.keys())[:_NAMED]
    if target.changes_version:
        data |= {"version": target.version, "was": target.old_version}
    if how:
        data["state"] = how
    if wanted.note:
        data["note"] = wanted.note
    return data
