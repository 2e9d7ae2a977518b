"""The whole history of requests, for an export, and the chain of decisions with the rows that it is about."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any, NamedTuple

from victor_engine.events import ENGINE_DECISIONS, NO_DECISIONS, EventKind


class AskedRequest(NamedTuple):
    """A request as it was put. Instants are in microseconds; `spec` is the question as JSON."""

    key: int
    id: str
    run_id: str
    workflow: str
    version: str
    node_id: str
    iteration: int
    status: str
    outcome: str | None
    created_at: int
    deadline: int | None
    spec: str
    digest: str


def asked_requests(
    connection: sqlite3.Connection,
    *,
    request_id: str | None = None,
    run_id: str | None = None,
    workflow: str | None = None,
    since: int | None = None,
    until: int | None = None,
    after: int = 0,
) -> Iterator[AskedRequest]:
    """Yield the requests that were opened from `since` to before `until`, oldest first, with a key above `after`."""
    where, values = ["1 = 1"], []
    for clause, value in (
        ("q.id = ?", request_id),
        ("r.id = ?", run_id),
        ("q.workflow = ?", workflow),
        ("q.created_at >= ?", since),
        ("q.created_at < ?", until),
        ("q.key > ?", after),
    ):
        if value is not None:
            where.append(clause)
            values.append(value)
    for row in connection.execute(
        "SELECT q.key, q.id, r.id, q.workflow, d.version, q.node_id, q.iteration, q.status, q.outcome,"
        " q.created_at, q.deadline, q.spec, q.digest FROM requests q JOIN runs r ON r.key = q.run_key"
        f" JOIN definitions d ON d.id = r.definition_id WHERE {' AND '.join(where)} ORDER BY q.key",
        values,
    ):
        yield AskedRequest(*row)


def all_votes(connection: sqlite3.Connection, request_key: int) -> list[tuple[str, str, str]]:
    """Return outcome, value (JSON) and comment of each vote on a request, also of those taken back, in order."""
    rows: list[tuple[str, str, str]] = connection.execute(
        "SELECT outcome, value, comment FROM votes WHERE request_key = ? ORDER BY id", (request_key,)
    ).fetchall()
    return rows


def request_events(connection: sqlite3.Connection, request_id: str) -> list[Any]:
    """Return number, instant, kind, actor (JSON) and data (JSON) of each event of a request, in order."""
    rows: list[Any] = connection.execute(
        "SELECT seq, at, kind, actor, data FROM events WHERE request_id = ? AND kind LIKE 'request.%' ORDER BY seq",
        (request_id,),
    ).fetchall()
    return rows


class ChainRow(NamedTuple):
    """A stored record of the chain; `at` is in microseconds."""

    seq: int
    at: int
    event_seq: int
    record: str
    digest: str


def chain_rows(connection: sqlite3.Connection, after: int = 0, limit: int = -1) -> Iterator[ChainRow]:
    """Yield the records of the chain after a sequence number, in order."""
    for row in connection.execute(
        "SELECT seq, at, event_seq, record, digest FROM audit WHERE seq > ? ORDER BY seq LIMIT ?",
        (after, limit),
    ):
        yield ChainRow(*row)


class DecisionEvent(NamedTuple):
    """A stored event that is a decision. Instants are in microseconds, actor and data are JSON."""

    seq: int
    at: int
    kind: str
    actor: str | None
    run_key: int | None
    run_id: str | None
    schedule_id: str | None
    request_id: str | None
    workflow: str | None
    node_id: str | None
    data: str | None


def decision_condition() -> tuple[str, list[str]]:
    """Return the condition on a row `e` of `events` that `events.is_decision` states, with its values."""
    no, engine = sorted(map(str, NO_DECISIONS)), sorted(map(str, ENGINE_DECISIONS))
    return (
        f"((e.actor IS NOT NULL AND e.kind NOT IN ({','.join('?' * len(no))}))"
        f" OR (e.actor IS NULL AND e.name IN ({','.join('?' * len(engine))})))",
        [*no, *engine],
    )


def pruned_facts(connection: sqlite3.Connection) -> Iterator[str]:
    """Yield the records of the chain about history that was pruned."""
    for (record,) in connection.execute(
        "SELECT record FROM audit WHERE instr(record, ?) > 0 ORDER BY seq",
        (f'"event":"{EventKind.HISTORY_PRUNED}"',),
    ):
        yield record


def decision_events(connection: sqlite3.Connection, after: int) -> Iterator[DecisionEvent]:
    """Yield the events after a sequence number that `events.is_decision` accepts, in order."""
    condition, values = decision_condition()
    for row in connection.execute(
        "SELECT e.seq, e.at, e.kind, e.actor, e.run_key, r.id, e.schedule_id, e.request_id, e.workflow, e.node_id,"
        f" e.data FROM events e LEFT JOIN runs r ON r.key = e.run_key WHERE e.seq > ? AND {condition} ORDER BY e.seq",
        (after, *values),
    ):
        yield DecisionEvent(*row)


def request_outcomes(
    connection: sqlite3.Connection,
) -> Iterator[tuple[str, int, str, str | None, str | None]]:
    """Yield request, number, kind, actor and data of the events that vote on, decide or undo, by request in order."""
    yield from connection.execute(
        "SELECT request_id, seq, kind, actor, data FROM events WHERE request_id IS NOT NULL AND name IN"
        " ('request.voted', 'request.answered', 'request.undone', 'request.expired', 'request.withdrawn')"
        " ORDER BY request_id, seq"
    )


def request_votes(connection: sqlite3.Connection) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield request, actor, outcome, value (JSON) and comment of each vote, by request in order."""
    yield from connection.execute(
        "SELECT q.id, v.actor, v.outcome, v.value, v.comment FROM votes v JOIN requests q ON q.key = v.request_key"
        " ORDER BY q.id, v.id"
    )


class DecidedRequest(NamedTuple):
    """The decision of a request as its row has it. `spec` is the question, `answer` the answer, as JSON."""

    id: str
    status: str
    outcome: str | None
    answer: str | None
    comment: str
    answered_by: str | None
    digest: str
    spec: str


def decided_requests(connection: sqlite3.Connection) -> Iterator[DecidedRequest]:
    """Yield every request with its decision, by id."""
    for row in connection.execute(
        "SELECT id, status, outcome, answer, comment, answered_by, digest, spec FROM requests ORDER BY id"
    ):
        yield DecidedRequest(*row)


def shown_digest(connection: sqlite3.Connection, request_id: str) -> str | None:
    """Return the stored digest of the question of a request; None if the request does not exist."""
    row = connection.execute("SELECT digest FROM requests WHERE id = ?", (request_id,)).fetchone()
    return None if row is None else row[0]
