"""The outbox: messages in the store, written together with the cursor and kept until they are sent."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from victor_engine.api import ProblemInfo
from victor_engine.clock import to_us
from victor_engine.config.model import COMMAND, NotifyRule
from victor_engine.config.yaml_locations import place_from_text
from victor_engine.events import EventKind
from victor_engine.notify.messages import Message
from victor_engine.store.db import Tx
from victor_engine.store.queries.runs import id_of as run_id
from victor_engine.store.repositories import audit, meta
from victor_engine.store.repositories import outbox as stored
from victor_engine.store.repositories.outbox import Announcement

PENDING = 1_000
"""Maximum waiting messages. Further messages are dropped, with an event."""

RETRIES = (5.0, 30.0, 120.0, 600.0, 1_800.0, 3_600.0)
"""Seconds before each retry of an address. After the last one, the message is abandoned."""

RETRIED_FOR = timedelta(hours=24)
"""The age after which a message is not retried, because it is outdated."""

SHOWN = timedelta(hours=24)
"""How long an abandoned message is reported as a problem, unless a later one to the same address is sent."""
KEPT = timedelta(days=30)


def target_of(url: str) -> str:
    """Return the digest that represents an address in the store, because addresses contain tokens."""
    return hashlib.sha256(url.encode()).hexdigest()[:16]


def label(url: str) -> str:
    """Return an address without secrets for output: the name of its secret, or its scheme."""
    if url == COMMAND or url.startswith("$secret."):
        return url
    return url.partition("://")[0] + "://…"


def read_cursor(connection: sqlite3.Connection) -> int | None:
    """Return the `seq` of the last processed event; None if no rule ever applied."""
    value = meta.get(connection, meta.NOTIFY_CURSOR)
    return None if value is None else int(value)


def write_cursor(tx: Tx, seq: int | None) -> None:
    """Set the `seq` of the last processed event; None deletes the cursor."""
    if seq is None:
        meta.delete(tx, meta.NOTIFY_CURSOR)
    else:
        meta.put(tx, meta.NOTIFY_CURSOR, seq)


HEAD_EVERY = timedelta(hours=1)
"""Minimum time between two announcements of the head of the audit chain."""


def head_is_due(source: Tx | sqlite3.Connection, now: datetime) -> bool:
    """Return whether the audit chain has grown since its head was announced, and the last one is old enough."""
    known = meta.get(source, meta.NOTIFY_AUDIT)
    seq, at = map(int, known.split()) if known else (0, 0)
    return audit.chain(source).seq > seq and to_us(now - HEAD_EVERY) >= at


def announce_head(tx: Tx) -> None:
    """Write the event of which the messages with the head of the audit chain are composed."""
    if head_is_due(tx, tx.now):
        head = audit.chain(tx)
        tx.event(EventKind.AUDIT_HEAD, data={"seq": head.seq, "digest": head.digest})
        meta.put(tx, meta.NOTIFY_AUDIT, f"{head.seq} {tx.now_us}")


def plan(tx: Tx, messages: Sequence[Message]) -> int:
    """Store messages, one row for each address, and return the number of rows. An event is stored only once."""
    waiting = stored.waiting(tx)
    planned = dropped = 0
    for message in messages:
        event = message.event
        for url in message.rule.targets:
            if waiting + planned >= PENDING:
                dropped += 1
                continue
            planned += stored.add(
                tx,
                event_seq=event.seq,
                occasion=message.occasion,
                rule=message.rule.name,
                target=target_of(url),
                request_id=message.request_id,
                run_key=event.run_key,
                workflow=event.workflow,
                node_id=event.node_id,
                title=message.title,
                body=message.body,
            )
    if dropped:
        text = f"{PENDING} notifications are waiting already; {dropped} more were dropped"
        tx.event(EventKind.NOTIFY_FAILED, data={"message": text, "dropped": dropped})
    return planned


def due(connection: sqlite3.Connection, now: datetime, limit: int) -> list[Announcement]:
    """Return the messages to send now, the longest overdue first."""
    return stored.due(connection, to_us(now), limit)


def sent(tx: Tx, item: Announcement, where: str) -> None:
    """Record that a message was sent. Earlier abandoned messages to its address are not problems any more."""
    stored.sent(tx, item)
    _event(tx, EventKind.NOTIFY_SENT, item, {"to": where, "title": item.title})


def dropped(tx: Tx, item: Announcement) -> None:
    """Delete an obsolete message."""
    stored.delete(tx, [item.id])


def failed(tx: Tx, item: Announcement, where: str, error: str, *, permanent: bool = False) -> None:
    """Record a failure: retry later, or abandon the message. The first and the last failure are events."""
    old = item.created_at < tx.now_us - int(RETRIED_FOR.total_seconds() * 1_000_000)
    last = permanent or old or item.attempts >= len(RETRIES)
    delay = None if last else RETRIES[item.attempts]
    retry_at = tx.now_us + int(delay * 1_000_000) if delay is not None else None
    stored.failed(tx, item, f"{where}: {error}", retry_at)
    if item.attempts and retry_at is not None:
        return
    data: dict[str, Any] = {"to": where, "title": item.title, "message": error, "attempts": item.attempts + 1}
    if retry_at is None:
        data["gave_up"] = True
    else:
        data["retry_at"] = retry_at
    _event(tx, EventKind.NOTIFY_FAILED, item, data)


def removed_targets(connection: sqlite3.Connection, rules: Sequence[NotifyRule]) -> list[int]:
    """Return the messages to addresses that no rule has any more."""
    known = {(rule.name, target_of(url)) for rule in rules for url in rule.targets}
    return [id_ for id_, *address in stored.addresses(connection) if tuple(address) not in known]


def forget(tx: Tx, ids: Sequence[int]) -> None:
    """Delete messages and keep their events."""
    stored.delete(tx, ids)


def forget_old(tx: Tx) -> None:
    """Delete messages that were abandoned long ago, and keep their events."""
    stored.delete_old(tx, tx.now_us - int(KEPT.total_seconds() * 1_000_000))


def _event(tx: Tx, kind: EventKind, item: Announcement, data: dict[str, Any]) -> None:
    alive = item.run_key is not None and run_id(tx, item.run_key) is not None
    tx.event(
        kind,
        run_key=item.run_key if alive else None,
        request_id=item.request_id,
        workflow=item.workflow,
        node_id=item.node_id,
        data={"rule": item.rule, "occasion": item.occasion, **data},
    )


def notify_problems(
    connection: sqlite3.Connection, now: datetime, rules: Sequence[NotifyRule] = ()
) -> list[ProblemInfo]:
    """Return an error for each rule whose messages currently fail, with the location of the rule if it is known."""
    places = {rule.name: rule.place for rule in rules}
    found = []
    for name, error, retried, lost in stored.troubled(connection, to_us(now - SHOWN)):
        parts = [f"{lost} abandoned"] if lost else []
        parts += [f"{retried} waiting for a retry"] if retried else []
        path, line, column = place_from_text(places.get(name, ""))
        found.append(
            ProblemInfo(
                severity="error",
                message=f"notify: {name} fails ({', '.join(parts)}): {error}",
                path=path,
                line=line,
                column=column,
                remedy="Test it with: victor notify test",
            )
        )
    return found
