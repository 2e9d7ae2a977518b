"""What whoever came second is told: who changed the run, when, and how."""

from __future__ import annotations

from victor_engine.clock import from_us
from victor_engine.errors import ConflictError
from victor_engine.events import EventKind
from victor_engine.runs.transitions import RunRef
from victor_engine.store.db import Tx, actor_from_json
from victor_engine.store.queries.events import last_change_of_run, last_of_run
from victor_engine.store.repositories.runs import status_of


def last_change(tx: Tx, run_key: int) -> str:
    """Who changed a run last, in plain words: `alice: run.discarded at 12:03:04 UTC`."""
    row = last_change_of_run(tx, run_key)
    if row is None:
        return "nobody"
    at = from_us(row[2])
    return f"{actor_from_json(row[0]).user}: {row[1].replace('.', ' ')} at {at:%Y-%m-%d %H:%M:%S} UTC"


def why_no_dead_letter(tx: Tx, run_key: int) -> str:
    """Why a run is not on the list of dead letters, as the rest of a sentence about it."""
    status = status_of(tx, run_key)
    if status != "failed":
        return f"is {status}, so it is no dead letter ({last_change(tx, run_key)})"
    if last_of_run(tx, run_key, EventKind.RUN_DISCARDED) is not None:
        return f"was discarded before ({last_change(tx, run_key)})"
    return "failed before dead letters were kept, so there is nothing to discard"


def check_revision(tx: Tx, ref: RunRef, now: int, seen: int | None) -> None:
    """ConflictError that says who changed the run, if it is not what the operator has looked at."""
    if seen is not None and seen != now:
        raise ConflictError(
            f"run {ref.id} has changed since you looked ({last_change(tx, ref.key)}); look again",
            revision=now,
        )
