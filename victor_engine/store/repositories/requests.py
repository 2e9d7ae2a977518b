"""The tables `requests`, `request_people` and `request_messages`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from victor_engine import jsonio
from victor_engine.api import Actor
from victor_engine.domain.statuses import RequestStatus
from victor_engine.store.locks import Root
from victor_engine.store.queries.ids import Source
from victor_engine.store.repositories.checks import expect_one, expect_unchanged
from victor_engine.store.transaction import Tx

_GET = (
    "SELECT q.key, q.id, q.revision, q.run_key, r.id, q.workflow, q.node_id, q.attempt_id, q.status, q.spec,"
    " q.deadline, q.claimed_by, q.outcome, q.answer, q.comment, q.answered_by, q.answered_at, q.settles_at,"
    " q.held_since, q.held_left, q.back_to FROM requests q JOIN runs r ON r.key = q.run_key WHERE q.id = ?"
)
_NEXT = (
    "SELECT MIN(due) FROM (SELECT MIN(deadline) AS due FROM requests WHERE status = 'open'"
    " AND deadline IS NOT NULL UNION ALL SELECT MIN(settles_at) FROM requests WHERE settles_at IS NOT NULL"
    " UNION ALL SELECT MIN(due) FROM reminders) AS times"
)
_DUE = (
    "SELECT id FROM (SELECT id, deadline AS due FROM requests WHERE status = 'open' AND deadline <= ?"
    " UNION ALL SELECT id, settles_at FROM requests WHERE settles_at IS NOT NULL AND settles_at <= ?"
    " UNION ALL SELECT q.id, m.due FROM reminders m JOIN requests q ON q.key = m.request_key WHERE m.due <= ?)"
    " AS times GROUP BY id ORDER BY MIN(due)"
)


class Handle(NamedTuple):
    """The columns of a request that statements compare."""

    key: int
    id: str
    revision: int
    status: RequestStatus


# --- reading -----------------------------------------------------------------------------------


def find(source: Source, request_id: str) -> Any:
    """Return a request by its whole id, in the order of `people.stored_request.Row`; None if there is none.

    Instants are in microseconds; actors, the answer and the question (`spec`) are JSON.
    """
    return source.execute(_GET, (request_id,)).fetchone()


def lock(tx: Tx, request_id: str) -> Any:
    """Lock the run of a request and the request, then return it as `find` does."""
    row = tx.execute("SELECT run_key FROM requests WHERE id = ?", (request_id,)).fetchone()
    if row is None:
        return None
    tx.lock(Root.RUN, row[0])
    tx.lock(Root.REQUEST, request_id)
    return find(tx, request_id)


def of_step(
    source: Source, run_key: int, node_id: str, iteration: int, attempt_id: int
) -> tuple[str, int, int] | None:
    """Return id, key and revision of the request of a step that is not withdrawn; None if there is none."""
    row: tuple[str, int, int] | None = source.execute(
        "SELECT id, key, revision FROM requests WHERE run_key = ? AND node_id = ? AND iteration = ?"
        " AND attempt_id = ? AND status <> 'withdrawn'",
        (run_key, node_id, iteration, attempt_id),
    ).fetchone()
    return row


class StoredRequest(NamedTuple):
    """A request that is not withdrawn, with the number of its votes. `spec` is the question as JSON."""

    attempt_id: int
    key: int
    revision: int
    status: str
    node_id: str
    digest: str
    spec: str
    deadline: int | None
    votes: int


def of_run(source: Source, run_key: int) -> list[StoredRequest]:
    """Return the requests of a run that are not withdrawn, in order."""
    rows = source.execute(
        "SELECT q.attempt_id, q.key, q.revision, q.status, q.node_id, q.digest, q.spec, q.deadline,"
        " (SELECT COUNT(*) FROM votes v WHERE v.request_key = q.key)"
        " FROM requests q WHERE q.run_key = ? AND q.status <> 'withdrawn' ORDER BY q.key",
        (run_key,),
    )
    return [StoredRequest(*row) for row in rows]


def undecided(source: Source, run_key: int, *, cancelled_only: bool) -> list[str]:
    """Return the ids of the requests of a run that are open, or whose answer can still be taken back.

    With `cancelled_only`, only those of cancelled attempts.
    """
    query = "SELECT id FROM requests r WHERE run_key = ? AND (status = 'open' OR settles_at IS NOT NULL)"
    if cancelled_only:
        query += " AND EXISTS (SELECT 1 FROM attempts a WHERE a.id = r.attempt_id AND a.status = 'cancelled')"
    return [request_id for (request_id,) in source.execute(query, (run_key,)).fetchall()]


def due(source: Source, now: int) -> list[str]:
    """Return the ids of the requests with a timer that is due by `now`, the longest overdue first."""
    return [request_id for (request_id,) in source.execute(_DUE, (now, now, now))]


def next_due(source: Source) -> int | None:
    """Return the earliest instant at which a timer of a request is due; None if there is none."""
    (instant,) = source.execute(_NEXT).fetchone()
    return None if instant is None else int(instant)


def times_pushed_back(source: Source, run_key: int, node_id: str, until_key: int) -> int:
    """Return how often a node's requests have sent the run back, up to the request with a key."""
    (times,) = source.execute(
        "SELECT COUNT(*) FROM requests WHERE run_key = ? AND node_id = ? AND back_to IS NOT NULL AND key <= ?",
        (run_key, node_id, until_key),
    ).fetchone()
    return int(times)


# --- changing the status -----------------------------------------------------------------------


def add(
    tx: Tx,
    request_id: str,
    *,
    run_key: int,
    attempt_id: int,
    workflow: str,
    node_id: str,
    iteration: int,
    kind: str,
    spec: str,
    digest: str,
    deadline: int | None,
    priority: int,
    assignees: Sequence[str],
    barred: Sequence[Actor] = (),
) -> int:
    """Store an open request; return its key.

    `spec` is the question as JSON. `barred` are the users who may not approve it.
    """
    tx.lock(Root.RUN, run_key)
    tx.created(Root.REQUEST, request_id)
    (key,) = tx.execute(
        "INSERT INTO requests (id, run_key, attempt_id, workflow, node_id, iteration, kind, status, spec,"
        " digest, created_at, deadline, priority) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?) RETURNING key",
        (
            request_id, run_key, attempt_id, workflow, node_id, iteration, kind, RequestStatus.OPEN.value, spec,
            digest, tx.now_us, deadline, priority,
        ),
    ).fetchone()  # fmt: skip
    _add_assignees(tx, key, assignees)
    names = {f"user:{actor.user}" for actor in barred} | {
        f"uid:{actor.person}" for actor in barred if isinstance(actor.person, int)
    }
    for name in sorted(names):
        tx.execute("INSERT INTO request_people (request_key, name, may) VALUES (?,?,0)", (key, name))
    return int(key)


def _add_assignees(tx: Tx, key: int, assignees: Sequence[str]) -> None:
    """Store the assignees of a request. The empty name means that anyone may answer."""
    for name in dict.fromkeys(assignees or ("",)):
        tx.execute("INSERT INTO request_people (request_key, name, may) VALUES (?,?,1)", (key, name))


def answer(
    tx: Tx,
    handle: Handle,
    *,
    outcome: str,
    value: Any,
    comment: str,
    actor: Actor,
    settles_at: int | None,
    back_to: str | None,
    deadline: int | None,
) -> None:
    """Answer a request as it was read. Raise ConflictError if it has changed."""
    tx.lock(Root.REQUEST, handle.id)
    cursor = tx.execute(
        "UPDATE requests SET status = ?, revision = revision + 1, outcome = ?, answer = ?, comment = ?,"
        " answered_by = ?, answered_at = ?, settles_at = ?, back_to = ?, deadline = ?, held_since = NULL,"
        " held_left = NULL WHERE key = ? AND revision = ? AND status = ?",
        (
            RequestStatus.ANSWERED.value, outcome, jsonio.dumps_text(value), comment,
            msgspec.json.encode(actor).decode(), tx.now_us, settles_at, back_to, deadline,
            handle.key, handle.revision, handle.status.value,
        ),
    )  # fmt: skip
    expect_unchanged(cursor, "request", handle.id)


def expire(tx: Tx, handle: Handle, outcome: str, value: Any) -> None:
    """End a request without an answer. Raise ConflictError if it has changed."""
    tx.lock(Root.REQUEST, handle.id)
    cursor = tx.execute(
        "UPDATE requests SET status = ?, revision = revision + 1, outcome = ?, answer = ?, answered_at = ?"
        " WHERE key = ? AND revision = ? AND status = ?",
        (
            RequestStatus.EXPIRED.value, outcome, jsonio.dumps_text(value), tx.now_us,
            handle.key, handle.revision, handle.status.value,
        ),
    )  # fmt: skip
    expect_unchanged(cursor, "request", handle.id)


def reopen(tx: Tx, handle: Handle, deadline: int | None) -> None:
    """Undo the answer of a request. Raise ConflictError if the request has changed, or if the answer is final."""
    tx.lock(Root.REQUEST, handle.id)
    cursor = tx.execute(
        "UPDATE requests SET status = ?, revision = revision + 1, outcome = NULL, answer = NULL,"
        " comment = '', answered_by = NULL, answered_at = NULL, settles_at = NULL, back_to = NULL, deadline = ?"
        " WHERE key = ? AND revision = ? AND status = ? AND settles_at IS NOT NULL",
        (RequestStatus.OPEN.value, deadline, handle.key, handle.revision, handle.status.value),
    )
    expect_unchanged(cursor, "request", handle.id)


def withdraw(tx: Tx, handle: Handle) -> None:
    """Withdraw a request. Raise ConflictError if it has changed."""
    tx.lock(Root.REQUEST, handle.id)
    cursor = tx.execute(
        "UPDATE requests SET status = ?, revision = revision + 1, outcome = 'withdrawn', answered_at = ?,"
        " settles_at = NULL, back_to = NULL WHERE key = ? AND revision = ? AND status = ?",
        (RequestStatus.WITHDRAWN.value, tx.now_us, handle.key, handle.revision, handle.status.value),
    )
    expect_unchanged(cursor, "request", handle.id)


# --- changing something else -------------------------------------------------------------------


def settle(tx: Tx, handle: Handle) -> None:
    """Store that an answer is final."""
    tx.lock(Root.REQUEST, handle.id)
    cursor = tx.execute(
        "UPDATE requests SET settles_at = NULL WHERE key = ? AND revision = ? AND settles_at IS NOT NULL",
        (handle.key, handle.revision),
    )
    expect_unchanged(cursor, "request", handle.id)


def put_question(tx: Tx, handle: Handle, spec: str, assignees: Sequence[str]) -> None:
    """Store a changed question and its assignees with a new revision, and release its claim."""
    tx.lock(Root.REQUEST, handle.id)
    cursor = tx.execute(
        "UPDATE requests SET spec = ?, revision = revision + 1, claimed_by = NULL WHERE key = ? AND revision = ?",
        (spec, handle.key, handle.revision),
    )
    expect_unchanged(cursor, "request", handle.id)
    tx.execute("DELETE FROM request_people WHERE request_key = ? AND may = 1", (handle.key,))
    _add_assignees(tx, handle.key, assignees)


def put_deadline(tx: Tx, handle: Handle, deadline: int | None) -> None:
    """Store another deadline. A suspended deadline continues."""
    tx.lock(Root.REQUEST, handle.id)
    cursor = tx.execute(
        "UPDATE requests SET deadline = ?, held_since = NULL, held_left = NULL WHERE key = ?",
        (deadline, handle.key),
    )
    expect_one(cursor, "request", handle.id)


def hold_deadline(tx: Tx, handle: Handle, left: int | None) -> None:
    """Suspend the deadline; `left` is the remaining time in microseconds."""
    tx.lock(Root.REQUEST, handle.id)
    cursor = tx.execute(
        "UPDATE requests SET deadline = NULL, held_since = ?, held_left = ? WHERE key = ? AND held_since IS NULL",
        (tx.now_us, left, handle.key),
    )
    expect_unchanged(cursor, "request", handle.id)


def claim(tx: Tx, handle: Handle, actor: Actor) -> None:
    """Store the claim of a request. Raise ConflictError if it is claimed already."""
    tx.lock(Root.REQUEST, handle.id)
    cursor = tx.execute(
        "UPDATE requests SET claimed_by = ? WHERE key = ? AND claimed_by IS NULL",
        (msgspec.json.encode(actor).decode(), handle.key),
    )
    expect_unchanged(cursor, "request", handle.id)


def release(tx: Tx, handle: Handle) -> None:
    """Release the claim of a request. Raise ConflictError if it is not claimed."""
    tx.lock(Root.REQUEST, handle.id)
    cursor = tx.execute(
        "UPDATE requests SET claimed_by = NULL WHERE key = ? AND claimed_by IS NOT NULL", (handle.key,)
    )
    expect_unchanged(cursor, "request", handle.id)


def add_message(tx: Tx, handle: Handle, kind: str, text: str, actor: Actor) -> None:
    """Store a question to the requester, or a reply."""
    tx.lock(Root.REQUEST, handle.id)
    tx.execute(
        "INSERT INTO request_messages (request_key, at, actor, kind, text) VALUES (?,?,?,?,?)",
        (handle.key, tx.now_us, msgspec.json.encode(actor).decode(), kind, text),
    )


def rename_node(tx: Tx, run_key: int, attempt_id: int, node_id: str) -> None:
    """Move the requests of an attempt to a node of another definition."""
    tx.lock(Root.RUN, run_key)
    found = tx.execute(
        "SELECT id FROM requests WHERE run_key = ? AND attempt_id = ? ORDER BY key", (run_key, attempt_id)
    ).fetchall()
    for (request_id,) in found:
        tx.lock(Root.REQUEST, request_id)
        cursor = tx.execute("UPDATE requests SET node_id = ? WHERE id = ?", (node_id, request_id))
        expect_one(cursor, "request", request_id)
