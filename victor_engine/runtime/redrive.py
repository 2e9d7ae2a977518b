"""Redrive: a run that has come to its end, or rests, goes on from a node of the operator's choice.

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
from victor_engine.hitl.requests import withdraw_requests
from victor_engine.reserved import with_reserved_of
from victor_engine.runtime import journal
from victor_engine.runtime.conflicts import check_revision
from victor_engine.runtime.effects import Position
from victor_engine.runtime.journal import RunRef
from victor_engine.store.db import Tx
from victor_engine.store.patch import Patch
from victor_engine.store.progress import position_of
from victor_engine.store.repositories import attempts, runs
from victor_engine.store.repositories.deadletters import PART_OF_A_RUN, remove_dead_letter
from victor_engine.store.state import run_state
from victor_engine.versioning.catalog import Load, load_registry, migration_path

_NAMED = 20
"""How many nodes or keys an error or an event names."""


@dataclass(frozen=True, slots=True)
class Redrive:
    """What an operator wants. `state` is the whole new state; None leaves it as it is, or with `rewind`
    as it was before the chosen node began, and takes it through the migrations that lead to the version.

    `definition` and `version` are what the run goes on with, `old_version` what it had. `load` loads the
    functions of custom steps of migrations; without it they are refused.
    """

    definition_id: int
    definition: WorkflowDefinition
    version: str
    old_version: str
    from_node: str | None = None
    state: Mapping[str, Any] | None = None
    rewind: bool = False
    revision: int | None = None
    note: str = ""
    load: Load | None = None

    @property
    def changes_version(self) -> bool:
        return self.version != self.old_version


def redrive(tx: Tx, ref: RunRef, actor: Actor, wanted: Redrive) -> int:
    """The transition; returns the run's priority. ConflictError or UsageError say why not."""
    stored = runs.lock(tx, ref.key)
    check_revision(tx, ref, stored.revision, wanted.revision)
    next_status(ref.id, stored.status, RunCommand.REDRIVE)
    _refuse_part(tx, ref)
    old = Position.from_data(position_of(tx, ref.key))
    failed_at = jsonio.loads(stored.error).get("node_id") if stored.error is not None else None
    frontier = _frontier(tx, ref, wanted, old, failed_at)
    now = run_state(tx.connection, ref.key)
    target, how, reserved = _target_state(tx, ref, wanted, now, frontier[0])
    edit = difference(now, target)
    counts = dict(old.counts)
    if not edit.empty or wanted.changes_version or frontier[0] not in old.frontier:
        # What was tried before is not what is tried now: it counts as a visit of its own, so that no
        # result of a branch is taken over and no idempotency key is used for other inputs.
        counts = _visited(tx, ref.key, counts)
    journal.end_live_attempts(tx, ref, "cancelled")
    withdraw_requests(tx, ref.key, "the run was redriven")
    remove_dead_letter(tx, ref.key)
    if not edit.empty:
        attempts.add_edit(tx, ref.key, wanted.definition_id, how or f"edited by {actor.user}", edit)
    position = Position(
        frontier, counts, attempts.last(tx, ref.key), floor=sum(counts.values()), ordinal=old.ordinal
    )
    runs.requeue(tx, ref.key, jsonio.dumps_text(position.to_data()), wanted.definition_id)
    tx.event(
        EventKind.RUN_REDRIVEN,
        actor=actor,
        run_key=ref.key,
        run_id=ref.id,
        schedule_id=ref.schedule_id,
        workflow=ref.workflow,
        node_id=frontier[0],
        data=_particulars(wanted, old, frontier, edit, how),
    )
    if reserved:
        journal.warn_reserved(tx, ref, None, reserved)
    return stored.priority


def _refuse_part(tx: Tx, ref: RunRef) -> None:
    """A run that is a node of another one has nobody any more who waits for it."""
    parent = runs.parent_id(tx, ref.key, PART_OF_A_RUN)
    if parent is not None:
        raise ConflictError(
            f"run {ref.id} is part of run {parent}; redrive that one from the node it stands for"
        )


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> Patch:
    """The patch that makes one state of another."""
    missing = object()
    return Patch(
        {key: value for key, value in after.items() if before.get(key, missing) != value},
        tuple(key for key in before if key not in after),
    )


def _target_state(
    tx: Tx, ref: RunRef, wanted: Redrive, now: dict[str, Any], node: str
) -> tuple[Mapping[str, Any], str, tuple[str, ...]]:
    """Return the state to go on with, where it comes from if nobody has typed it, and the reserved names that
    an edit or a migration tried to write."""
    if wanted.state is not None:
        target, reserved = with_reserved_of(now, wanted.state)
        return target, "", reserved
    target, words = now, []
    tried: list[str] = []
    if wanted.rewind:
        target = _state_before(tx, ref, node)
        words.append(f"as before {node}")
    if wanted.changes_version:
        registry = load_registry(tx, ref.workflow)
        versions = wanted.old_version, wanted.version
        if registry.get_migration_paths(ref.workflow, *versions, limit=1):
            path = migration_path(registry, ref.workflow, *versions, wanted.load)
            for migration in path:
                target = migration.apply_to_state(target, tried)
            words.append(f"migrated: {', '.join(migration.migration_id for migration in path)}")
    return target, "; ".join(words), tuple(dict.fromkeys(tried))


def _state_before(tx: Tx, ref: RunRef, node: str) -> dict[str, Any]:
    """The state that the node's last visit found."""
    first = attempts.first_of_last_visit(tx, ref.key, node)
    if first is None:
        raise UsageError(f"run {ref.id} has never come to {node}, so there is no state from before it")
    return run_state(tx.connection, ref.key, first - 1)


# --- where it goes on --------------------------------------------------------------------------


def _frontier(tx: Tx, ref: RunRef, wanted: Redrive, old: Position, failed_at: str | None) -> list[str]:
    """The nodes that are to do, the chosen one first.

    Without a choice it is where the run stopped. With one, other pending nodes stay pending only if
    they are on a branch of their own: neither on the way to the chosen node nor after it.
    """
    nodes = wanted.definition.nodes
    if wanted.from_node is None:
        frontier = list(old.frontier) or ([failed_at] if failed_at is not None else [])
        if not frontier:
            raise ConflictError(f"run {ref.id} has no node left to go on from; name one of its nodes")
        gone = [node for node in frontier if node not in nodes]
        if gone:
            raise _no_such_node(wanted, gone[0])
        return frontier
    chosen = _outermost(tx, ref, wanted)
    after = reaches(wanted.definition, chosen)
    apart = [
        node
        for node in old.frontier
        if node in nodes
        and node != chosen
        and node not in after
        and chosen not in reaches(wanted.definition, node)
    ]
    return [chosen, *apart]


def _outermost(tx: Tx, ref: RunRef, wanted: Redrive) -> str:
    """The chosen node; of a member of a parallel or team, the node that starts its members."""
    nodes = wanted.definition.nodes
    chosen = str(wanted.from_node)
    seen: set[str] = set()
    while chosen not in seen:
        seen.add(chosen)
        visited, parent = attempts.parent_of(tx, ref.key, chosen)
        if visited:
            chosen = parent or chosen
            continue
        holders = (n.id for n in nodes.values() if isinstance(n, ParallelNode) and chosen in n.parallel_nodes)
        chosen = next(holders, chosen)
    if chosen not in nodes:
        raise _no_such_node(wanted, chosen)
    return chosen


def _no_such_node(wanted: Redrive, node: str) -> UsageError:
    names = list(wanted.definition.nodes)
    listed = ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")
    return UsageError(
        f"{wanted.definition.name} {wanted.version} has no node {node!r}; go on from one of: {listed}",
        nodes=names,
    )


def _visited(tx: Tx, run_key: int, counts: dict[str, int]) -> dict[str, int]:
    """Counts in which every step that was begun is over."""
    for node, iteration in attempts.iterations(tx, run_key):
        base = node if node in counts else node.split(".", 1)[0]
        counts[base] = max(counts.get(base, 0), iteration)
    return counts


# --- records -----------------------------------------------------------------------------------


def _particulars(
    wanted: Redrive, old: Position, frontier: list[str], edit: Patch, how: str
) -> dict[str, Any]:
    data: dict[str, Any] = {"from": frontier[0]}
    if wanted.from_node not in (None, frontier[0]):
        data["asked_for"] = wanted.from_node
    left_out = [node for node in old.frontier if node not in frontier]
    if left_out:
        data["left_out"] = left_out[:_NAMED]
    if not edit.empty:
        data["edited"] = sorted(edit.keys())[:_NAMED]
    if wanted.changes_version:
        data |= {"version": wanted.version, "was": wanted.old_version}
    if how:
        data["state"] = how
    if wanted.note:
        data["note"] = wanted.note
    return data
