"""Applies a planned migration of a run in one transition under compare-and-set."""

from __future__ import annotations

from typing import Any

import msgspec

from victor_engine import jsonio
from victor_engine.api import Actor
from victor_engine.errors import ConflictError
from victor_engine.events import EventKind
from victor_engine.people.requests import withdraw_requests
from victor_engine.runs import transitions
from victor_engine.runs.migration.plan import Plan
from victor_engine.runs.migration.stored_run import MigratableRun, read_run
from victor_engine.runs.redrive import difference
from victor_engine.runs.transitions import RunRef
from victor_engine.store.db import Tx, actor_json
from victor_engine.store.repositories import attempt_rows, attempts, requests, run_migrations, runs
from victor_engine.store.repositories.run_migrations import Move


class MovedMeanwhileError(ConflictError):
    """The run has changed since the plan was made. Make a new plan."""

    code = "moved_meanwhile"


class Snapshot(msgspec.Struct, frozen=True):
    """The state of a run before a migration, kept in the history for an undo."""

    definition_id: int
    position: str  # JSON, as stored
    after: str  # the position after the migration; while the run is there, it can be undone
    state: dict[str, Any]
    kept: list[tuple[int, str]]  # attempts that continue, with the node to which they belonged
    overrides: str | None = None  # JSON, as stored


def apply(tx: Tx, planned: Plan, actor: Actor, note: str, batch: str) -> int:
    """Migrate the run as planned. Return the id of the row in the history.

    `batch` is the id that all migrations of one command have in common.

    Raise MovedMeanwhileError, with nothing changed, if the run has changed since the plan was made.
    """
    run, route = planned.run, planned.route
    stored = runs.lock(tx, run.ref.key)
    if read_run(tx.connection, run.ref.key).mark != run.mark:
        raise MovedMeanwhileError(f"run {run.ref.id} has continued since the plan was made; plan again")
    edit = difference(run.state, planned.state)
    # A parallel has no process of its own: it begins again when the run continues.
    transitions.end_live_attempts(tx, run.ref, "interrupted")
    _end_dropped(tx, planned)
    keep_attempts(tx, run.ref.key, route.target_id, planned.pending.kept)
    if not edit.empty:
        attempts.add_edit(tx, run.ref.key, route.target_id, f"migrated: {', '.join(route.ids)}", edit)
    position = jsonio.dumps_text(_position(tx, planned))
    overrides = stored.overrides
    runs.move(
        tx,
        run.ref.key,
        definition_id=route.target_id,
        position=position,
        status=_status_after(planned),
        overrides=_renamed(overrides, planned),
    )
    snapshot = Snapshot(
        definition_id=run.ref.definition_id,
        position=run.position,
        after=position,
        state=run.state,
        kept=[(each.id, each.node_id) for each in run.live if each.id in planned.pending.kept],
        overrides=overrides,
    )
    return _record(tx, planned, snapshot, actor, note, batch)


def _record(tx: Tx, planned: Plan, snapshot: Snapshot, actor: Actor, note: str, batch: str) -> int:
    """Write the row of the history and the event that refers to it."""
    run, route = planned.run, planned.route
    row = run_migrations.add(
        tx,
        Move(
            run_key=run.ref.key,
            workflow=run.ref.workflow,
            from_version=route.from_version,
            to_version=route.to_version,
            path=jsonio.dumps_text(route.ids),
            checksums=jsonio.dumps_text([migration.checksum for migration in route.path]),
            digest_before=jsonio.digest(run.state),
            digest_after=jsonio.digest(planned.state),
            moved=_moved(planned),
            snapshot=msgspec.json.encode(snapshot).decode(),
            actor=actor_json(actor),
            note=note,
            batch=batch,
        ),
    )
    data = {"version": route.to_version, "was": route.from_version, "path": list(route.ids), "row": row}
    record_event(tx, EventKind.RUN_MIGRATED, run.ref, actor, data, note)
    if planned.reserved:
        transitions.warn_reserved(tx, run.ref, None, planned.reserved)
    return row


def _moved(planned: Plan) -> str:
    """Return the change of the position as text."""
    positions = "; ".join(step.position for step in planned.move.steps if step.position)
    if positions:
        return positions
    was, now = planned.move.stands_on, planned.stands.frontier
    return f"stands on {', '.join(now)}" if was == now else f"{', '.join(was)} -> {', '.join(now)}"


def _end_dropped(tx: Tx, planned: Plan) -> None:
    if not planned.pending.dropped:
        return
    ref = planned.run.ref
    for attempt in planned.pending.dropped:
        end_attempt(tx, ref, attempt)
    withdraw_requests(tx, ref.key, f"the run moved to {planned.route.to_version}", cancelled_only=True)


def keep_attempts(tx: Tx, run_key: int, definition_id: int, kept: dict[int, str]) -> None:
    """Assign waiting attempts and their requests to the nodes of another definition."""
    for attempt, node in kept.items():
        attempts.rename(tx, run_key, attempt, node, definition_id)
        requests.rename_node(tx, run_key, attempt, node)


def end_attempt(tx: Tx, ref: RunRef, attempt: int) -> None:
    """End a waiting attempt without a result."""
    node = attempt_rows.node_of(tx, attempt)
    attempts.end(tx, ref.key, attempt, "cancelled")
    tx.event(
        EventKind.NODE_CANCELLED,
        run_key=ref.key,
        run_id=ref.id,
        schedule_id=ref.schedule_id,
        workflow=ref.workflow,
        node_id=node,
    )


def _position(tx: Tx, planned: Plan) -> dict[str, Any]:
    """Return the position after the migration. A node that is new in it counts as a new visit."""
    old = jsonio.loads(planned.run.position)
    counts = dict(planned.stands.counts)
    floor = old.get("floor", 0)
    for node in planned.stands.frontier:
        if node in planned.stands.origin:
            continue
        tried = attempt_rows.last_iteration(tx, planned.run.ref.key, node)
        if tried > counts.get(node, 0):
            floor += tried - counts.get(node, 0)
            counts[node] = tried
    data = {**old, "frontier": list(planned.stands.frontier), "counts": counts}
    if floor:
        data["floor"] = floor
    return data


def _status_after(planned: Plan) -> str:
    run: MigratableRun = planned.run
    if run.status not in ("waiting", "running"):
        return run.status
    waits = any(each.status == "waiting" and each.id in planned.pending.kept for each in run.live)
    return "waiting" if waits else "queued"


def _renamed(overrides: str | None, planned: Plan) -> str | None:
    """Return the overrides of nodes under their new names."""
    if overrides is None:
        return None
    names = {was: node for node, was in planned.stands.origin.items()}
    found = {}
    for node, override in jsonio.loads(overrides).items():
        name = names.get(node, node)
        found[name] = {**override, "node_id": name}
    return jsonio.dumps_text(found)


def record_event(tx: Tx, kind: EventKind, ref: RunRef, actor: Actor, data: dict[str, Any], note: str) -> None:
    """Write an event of a migrated run, with the note of the operator if there is one."""
    tx.event(
        kind,
        actor=actor,
        run_key=ref.key,
        run_id=ref.id,
        schedule_id=ref.schedule_id,
        workflow=ref.workflow,
        data={**data, "note": note} if note else data,
    )
