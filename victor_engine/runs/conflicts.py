"""The texts of conflicts between two commands: who changed the run, when, and how."""

from __future__ import annotations

from victor_engine.api import ASKED_WORKFLOW
from victor_engine.clock import from_us
from victor_engine.errors import ConflictError, UsageError
from victor_engine.events import EventKind
from victor_engine.runs.transitions import RunRef
from victor_engine.store.db import Tx, actor_from_json
from victor_engine.store.queries.events import last_change_of_run, last_of_run
from victor_engine.store.repositories.run_rows import StoredRun, status_of
from victor_engine.store.stored_ending import ending_from


def last_change(tx: Tx, run_key: int) -> str:
    """Return the last change of a run, such as `alice: run discarded at 2026-01-05 12:03:04 UTC`."""
    row = last_change_of_run(tx, run_key)
    if row is None:
        return "no recorded change"
    at = from_us(row[2])
    return f"{actor_from_json(row[0]).user}: {row[1].replace('.', ' ')} at {at:%Y-%m-%d %H:%M:%S} UTC"


def why_no_dead_letter(tx: Tx, run_key: int) -> str:
    """Return why a run is not in the list of dead letters, as the predicate of a sentence about the run."""
    status = status_of(tx, run_key)
    if status != "failed":
        return f"is {status}, so it is not a dead letter ({last_change(tx, run_key)})"
    if last_of_run(tx, run_key, EventKind.RUN_DISCARDED) is not None:
        return f"has already been discarded ({last_change(tx, run_key)})"
    return "failed before this version kept dead letters, so there is nothing to discard"


def check_revision(tx: Tx, ref: RunRef, now: int, seen: int | None) -> None:
    """Raise ConflictError, with the last change, if the revision of a run is not the one that the operator saw."""
    if seen is not None and seen != now:
        raise ConflictError(
            f"run {ref.id} has changed since you read it ({last_change(tx, ref.key)}); read it again, then retry",
            revision=now,
        )


def refuse_ending(stored: StoredRun) -> None:
    """Raise ConflictError if handlers of the end of a run are to be executed."""
    ending = ending_from(stored.ending)
    if ending.status:
        raise ConflictError(
            f"run {stored.id} executes {ending.handlers[0]} before it is {ending.status}; wait for its end, or cancel it "
            "to skip the rest"
        )


def refuse_question(run_id: str, workflow: str) -> None:
    """Raise UsageError if a run is a question from a shell, which only its asker can ask again."""
    if workflow == ASKED_WORKFLOW:
        raise UsageError(f"run {run_id} is a question from a shell; to ask it again, use: victor ask")
