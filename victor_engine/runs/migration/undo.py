"""The undo of a migration of a run."""

from __future__ import annotations

import msgspec

from victor_engine.api import Actor
from victor_engine.errors import ConflictError
from victor_engine.events import EventKind
from victor_engine.people.requests import withdraw_requests
from victor_engine.runs.migration.apply import Snapshot, end_attempt, keep_attempts, record_event
from victor_engine.runs.migration.plan import check_idle
from victor_engine.runs.migration.stored_run import LiveAttempt, MigratableRun, read_run
from victor_engine.runs.redrive import difference
from victor_engine.store.db import Tx, actor_json
from victor_engine.store.repositories import attempts, run_migrations, runs


def undo(tx: Tx, key: int, actor: Actor, note: str = "", batch: str | None = None) -> None:
    """Restore a run to its position and version before its last migration.

    Raise ConflictError if it was never migrated, if it has continued since, or if a request was answered; with
    `batch`, also if its last migration is not of that command.
    """
    runs.lock(tx, key)
    run = read_run(tx.connection, key)
    move = run_migrations.last(tx, key)
    if move is None:
        raise ConflictError(f"run {run.ref.id} was not migrated, so there is nothing to undo")
    from_version, to_version = move.from_version, move.to_version
    if batch is not None and move.batch != batch:
        raise ConflictError(
            f"run {run.ref.id} was migrated again, from {from_version} to {to_version}; undo that migration first"
        )
    before = msgspec.json.decode(move.snapshot, type=Snapshot)
    kept = dict(before.kept)
    since = _since(run, before, kept, from_version, to_version)
    for each in since:
        end_attempt(tx, run.ref, each.id)
    withdraw_requests(tx, key, f"the migration was undone, back to {from_version}", cancelled_only=True)
    keep_attempts(tx, key, before.definition_id, kept)
    edit = difference(run.state, before.state)
    if not edit.empty:
        attempts.add_edit(tx, key, before.definition_id, f"back to {from_version}", edit)
    status = "queued" if run.status in ("waiting", "running") and not kept else run.status
    runs.move(
        tx,
        key,
        definition_id=before.definition_id,
        position=before.position,
        status=status,
        overrides=before.overrides,
    )
    run_migrations.undo(tx, key, move.id, actor_json(actor))
    data = {"version": from_version, "was": to_version, "row": move.id}
    record_event(tx, EventKind.RUN_UNMIGRATED, run.ref, actor, data, note)


def _since(
    run: MigratableRun, before: Snapshot, kept: dict[int, str], from_version: str, to_version: str
) -> list[LiveAttempt]:
    """Return the waiting attempts that began after the migration. Raise ConflictError if it cannot be undone."""
    waits_only = run.status == "queued" and not run.live
    if not waits_only:
        check_idle(run)
    if run.position != before.after:
        raise ConflictError(
            f"run {run.ref.id} has continued on {to_version}, so its migration from {from_version} cannot be undone; "
            f"redrive it on {from_version}, or migrate it back if a migration exists"
        )
    since = [each for each in run.live if each.id not in kept]
    if any(each.question is not None and each.question.status != "open" for each in since):
        raise ConflictError(
            f"a request of run {run.ref.id} was answered on {to_version}, so its migration cannot be undone"
        )
    return since
