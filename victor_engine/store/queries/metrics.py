"""What the metrics of an engine count: the new fires, ended runs and closed requests, and the workflows in force."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from victor_engine.store.queries.events import last_event

_ENDED = ("run.finished", "request.answered", "request.settled", "request.expired", "request.withdrawn")


class Cursor(NamedTuple):
    """The last fire and the last event that were counted."""

    fire: int
    event: int


class CountedFire(NamedTuple):
    """A fire with its outcome. `late` is the time in seconds from its nominal instant to its decision."""

    workflow: str
    outcome: str
    late: float


class EndedRun(NamedTuple):
    """An end of a run. `seconds` is its duration since its start; None if it never started."""

    workflow: str
    status: str
    seconds: float | None


class ClosedRequest(NamedTuple):
    """A request that was closed. `seconds` is the time until its answer; None without an answer."""

    status: str
    seconds: float | None


def newest(connection: sqlite3.Connection) -> Cursor:
    """Return the cursor behind everything that is stored."""
    (fire,) = connection.execute("SELECT COALESCE(MAX(id), 0) FROM fires").fetchone()
    return Cursor(fire, last_event(connection))


def fires_after(connection: sqlite3.Connection, after: int, limit: int) -> list[tuple[int, CountedFire]]:
    """Return at most `limit` fires after an id, with their ids."""
    rows = connection.execute(
        "SELECT id, workflow, outcome, decided_at - nominal FROM fires WHERE id > ? ORDER BY id LIMIT ?",
        (after, limit),
    )
    return [(key, CountedFire(workflow, outcome, late / 1_000_000)) for key, workflow, outcome, late in rows]


def ends_after(
    connection: sqlite3.Connection, after: int, limit: int
) -> tuple[list[EndedRun | ClosedRequest], int]:
    """Return ended runs and closed requests among the events after a number, and how far the events are read.

    At most `limit` events are read. The status of a run is that of the event, because the run can have been retried since.
    Answers that can still be undone are left out; rows that were deleted since, too.
    """
    until = min(after + limit, last_event(connection))
    found: list[EndedRun | ClosedRequest] = []
    for kind, workflow, status, run_us, outcome, answer_us, settling in connection.execute(
        "SELECT e.kind, r.workflow, json_extract(e.data, '$.status'),"
        " CASE WHEN r.started_at <= e.at THEN e.at - r.started_at END, q.status, q.answered_at - q.created_at,"
        " json_extract(e.data, '$.settles_at') IS NOT NULL FROM events e"
        " LEFT JOIN runs r ON r.key = e.run_key LEFT JOIN requests q ON q.id = e.request_id"
        f" WHERE e.seq > ? AND e.seq <= ? AND e.kind IN ({', '.join('?' * len(_ENDED))}) ORDER BY e.seq",
        (after, until, *_ENDED),
    ):
        if kind == "run.finished":
            if workflow is not None:
                found.append(EndedRun(workflow, status, _seconds(run_us)))
        elif outcome is not None and not (kind == "request.answered" and settling):
            found.append(ClosedRequest(outcome, _seconds(answer_us) if outcome == "answered" else None))
    return found, until


def workflows_in_force(connection: sqlite3.Connection, limit: int) -> list[str]:
    """Return at most `limit` names of workflows with a version in force, in their order."""
    rows = connection.execute(
        "SELECT workflow FROM definitions WHERE in_force_since IS NOT NULL ORDER BY workflow LIMIT ?",
        (limit,),
    )
    return [name for (name,) in rows]


def schedules_with_problems(connection: sqlite3.Connection) -> int:
    """Return the number of schedules that cannot fire, without the paused ones."""
    (count,) = connection.execute(
        "SELECT COUNT(*) FROM schedules WHERE problem IS NOT NULL AND paused IS NULL AND removed_at IS NULL"
    ).fetchone()
    return int(count)


def _seconds(us: int | None) -> float | None:
    return None if us is None else max(0, us) / 1_000_000
