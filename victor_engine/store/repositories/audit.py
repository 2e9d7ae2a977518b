"""The tables `audit` and `audit_chain`: the chain of the decisions of people, which is only extended and pruned."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from victor_engine.api import ENGINE_ACTOR, EventInfo
from victor_engine.clock import to_us
from victor_engine.events import is_decision
from victor_engine.store.audit_chain import BEGUN, NOTHING, canonical, next_digest, record_of
from victor_engine.store.locks import Root
from victor_engine.store.transaction import Tx

Source = Tx | sqlite3.Connection

_CHAIN = 0
_ADD = "INSERT INTO audit (seq, at, event_seq, record, digest) VALUES (?,?,?,?,?)"
_PUT_HEAD = (
    "INSERT INTO audit_chain (key, seq, digest) VALUES (?,?,?)"
    " ON CONFLICT (key) DO UPDATE SET seq = excluded.seq, digest = excluded.digest"
)

EARLIER = (
    "SELECT json_array(seq, at, kind, actor, run_key, schedule_id, request_id, workflow, node_id, data)"
    " FROM events WHERE seq <= ? ORDER BY seq",
    "SELECT json_array(id, request_key, revision, at, actor, uid, outcome, value, comment, stage)"
    " FROM votes WHERE id <= ? ORDER BY id",
    "SELECT json_array(id, request_key, at, actor, kind, text) FROM request_messages WHERE id <= ? ORDER BY id",
    "SELECT json_array(key, id, digest) FROM requests WHERE key <= ? ORDER BY key",
)
"""The rows that the first record of an older store contains the digest of, in this order, each with a line break."""

_LAST = (
    "SELECT COALESCE(MAX(seq), 0) FROM events",
    "SELECT COALESCE(MAX(id), 0) FROM votes",
    "SELECT COALESCE(MAX(id), 0) FROM request_messages",
    "SELECT COALESCE(MAX(key), 0) FROM requests",
)


class Chain(NamedTuple):
    """The head of the chain, and its checkpoint: the last record that was pruned, with its event."""

    seq: int
    digest: str
    pruned_seq: int
    pruned_event: int
    pruned_digest: str


def chain(source: Source) -> Chain:
    """Return the head and the checkpoint of the chain. An empty chain has the head 0."""
    row = source.execute(
        "SELECT seq, digest, pruned_seq, pruned_event, pruned_digest FROM audit_chain WHERE key = ?",
        (_CHAIN,),
    ).fetchone()
    if row is None:
        return Chain(0, NOTHING, 0, 0, NOTHING)
    seq, digest, pruned_seq, pruned_event, pruned_digest = row
    return Chain(seq, digest, pruned_seq, pruned_event, pruned_digest or NOTHING)


def append(tx: Tx, events: Iterable[EventInfo]) -> None:
    """Append a record for each event that is a decision, in the transaction of the decision."""
    decisions = [event for event in events if is_decision(event.kind, event.actor == ENGINE_ACTOR)]
    if not decisions:
        return
    tx.lock(Root.AUDIT, _CHAIN)
    head = chain(tx)
    seq, digest = head.seq, head.digest
    for event in decisions:
        seq += 1
        text = canonical(record_of(seq, event, _shown(tx, event.request_id)))
        digest = next_digest(digest, text)
        tx.execute(_ADD, (seq, to_us(event.at), event.seq, text, digest))
    tx.execute(_PUT_HEAD, (_CHAIN, seq, digest))


def _shown(tx: Tx, request_id: str | None) -> str | None:
    if request_id is None:
        return None
    row = tx.execute("SELECT digest FROM requests WHERE id = ?", (request_id,)).fetchone()
    return None if row is None else row[0]


def begin(connection: sqlite3.Connection, now: datetime) -> None:
    """Write the first record of a store that is older than the chain: the digest of everything before it."""
    last = [connection.execute(query).fetchone()[0] for query in _LAST]
    event = EventInfo(
        seq=last[0],
        at=now,
        kind=BEGUN,
        actor=ENGINE_ACTOR,
        data={"before": earlier_digest(connection, last), "last": last},
    )
    text = canonical(record_of(1, event, None))
    digest = next_digest(NOTHING, text)
    connection.execute(_ADD, (1, to_us(now), event.seq, text, digest))
    connection.execute(_PUT_HEAD, (_CHAIN, 1, digest))


def earlier_digest(connection: sqlite3.Connection, last: Iterable[int]) -> str:
    """Return the digest of the rows of `EARLIER`, up to the last key of each table."""
    found = hashlib.sha256()
    for query, key in zip(EARLIER, last, strict=True):
        for (row,) in connection.execute(query, (key,)):
            found.update(row.encode() + b"\n")
    return found.hexdigest()


def prune(tx: Tx, before: int, limit: int | None = None) -> tuple[int, str, int]:
    """Delete the records from before an instant in microseconds, at most `limit`, and keep the checkpoint.

    Return the sequence number and the digest of the last record that was deleted, and the number of deleted records.
    """
    tx.lock(Root.AUDIT, _CHAIN)
    head = chain(tx)
    # Instants can go back, and the chain has no gaps: keep everything from the first record that is kept.
    (first,) = tx.execute("SELECT MIN(seq) FROM audit WHERE at >= ?", (before,)).fetchone()
    until = head.seq if first is None else first - 1
    if limit is not None:
        until = min(until, head.pruned_seq + limit)
    row = tx.execute("SELECT event_seq, digest FROM audit WHERE seq = ?", (until,)).fetchone()
    if row is None:
        return head.pruned_seq, head.pruned_digest, 0
    event, digest = row
    deleted = tx.execute("DELETE FROM audit WHERE seq <= ?", (until,)).rowcount
    tx.execute(
        "UPDATE audit_chain SET pruned_seq = ?, pruned_event = ?, pruned_digest = ? WHERE key = ? RETURNING key",
        (until, event, digest, _CHAIN),
    )
    return until, digest, deleted


__all__ = ["EARLIER", "Chain", "append", "begin", "chain", "earlier_digest", "prune"]
