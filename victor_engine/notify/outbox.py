"""Announcements in the store: planned with the cursor in one transition, kept until they have arrived."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from victor_engine.api import ProblemInfo
from victor_engine.clock import to_us
from victor_engine.config.model import NotifyRule
from victor_engine.config.yaml_locations import place_from_text
from victor_engine.events import EventKind
from victor_engine.notify.messages import Message
from victor_engine.store.db import Tx
from victor_engine.store.queries.runs import id_of as run_id
from victor_engine.store.repositories import meta
from victor_engine.store.repositories import outbox as stored
from victor_engine.store.repositories.outbox import Announcement

PENDING = 1_000
"""Announcements that wait at most; more are dropped, visibly."""

RETRIES = (5.0, 30.0, 120.0, 600.0, 1_800.0, 3_600.0)
"""Seconds until an address is tried again, after each failure; then it is given up."""

RETRIED_FOR = timedelta(hours=24)
"""After that nothing is tried again: news of yesterday help nobody."""

SHOWN = timedelta(hours=24)
"""How long an announcement that was given up stays a problem, unless one to the same address arrives."""
KEPT = timedelta(days=30)


def target_of(url: str) -> str:
    """What stands for an address in the store: addresses hold tokens."""
    return hashlib.sha256(url.encode()).hexdigest()[:16]


def label(url: str) -> str:
    """An address as people may see it: the name of its secret, or its scheme."""
    return url if url.startswith("$secret.") else url.partition("://")[0] + "://…"


def read_cursor(connection: sqlite3.Connection) -> int | None:
    """The last event that was looked at; None where nothing has ever been announced."""
    value = meta.get(connection, meta.NOTIFY_CURSOR)
    return None if value is None else int(value)


def write_cursor(tx: Tx, seq: int | None) -> None:
    """From now on events after `seq` are looked at; None forgets where the announcing was."""
    if seq is None:
        meta.delete(tx, meta.NOTIFY_CURSOR)
    else:
        meta.put(tx, meta.NOTIFY_CURSOR, seq)


def plan(tx: Tx, messages: Sequence[Message]) -> int:
    """Put messages down, one row for each address; returns how many. One event is planned once."""
    waiting = stored.waiting(tx)
    planned = dropped = 0
    for message in messages:
        event = message.event
        for url in message.rule.urls:
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
        text = f"{PENDING} announcements wait already; {dropped} more are not sent"
        tx.event(EventKind.NOTIFY_FAILED, data={"message": text, "dropped": dropped})
    return planned


def due(connection: sqlite3.Connection, now: datetime, limit: int) -> list[Announcement]:
    """What is to be sent now, the longest overdue first."""
    return stored.due(connection, to_us(now), limit)


def sent(tx: Tx, item: Announcement, where: str) -> None:
    """It has arrived; so the address works, and what was given up before is a problem no more."""
    stored.sent(tx, item)
    _event(tx, EventKind.NOTIFY_SENT, item, {"to": where, "title": item.title})


def dropped(tx: Tx, item: Announcement) -> None:
    """Nobody needs to hear it any more."""
    stored.delete(tx, [item.id])


def failed(tx: Tx, item: Announcement, where: str, error: str, *, permanent: bool = False) -> None:
    """It did not arrive: tried again later, or given up. The first failure and the last are told."""
    old = item.created_at < tx.now_us - int(RETRIED_FOR.total_seconds() * 1_000_000)
    last = permanent or old or item.attempts >= len(RETRIES)
    delay = None if last else RETRIES[item.attempts]
    again = tx.now_us + int(delay * 1_000_000) if delay is not None else None
    stored.failed(tx, item, f"{where}: {error}", again)
    if item.attempts and again is not None:
        return
    data: dict[str, Any] = {"to": where, "title": item.title, "message": error, "attempts": item.attempts + 1}
    if again is None:
        data["gave_up"] = True
    else:
        data["retry_at"] = again
    _event(tx, EventKind.NOTIFY_FAILED, item, data)


def strays(connection: sqlite3.Connection, rules: Sequence[NotifyRule]) -> list[int]:
    """Announcements to addresses that no rule has any more."""
    known = {(rule.name, target_of(url)) for rule in rules for url in rule.urls}
    return [id_ for id_, *whither in stored.addresses(connection) if tuple(whither) not in known]


def forget(tx: Tx, ids: Sequence[int]) -> None:
    """Announcements that nobody waits for; what was told of them stays."""
    stored.delete(tx, ids)


def forget_old(tx: Tx) -> None:
    """Rows that were given up long ago; their events stay."""
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
    """One for each rule that does not get through at present, with the place of the rule if it is known."""
    places = {rule.name: rule.place for rule in rules}
    found = []
    for name, error, retried, lost in stored.troubled(connection, to_us(now - SHOWN)):
        parts = [f"{lost} given up"] if lost else []
        parts += [f"{retried} tried again"] if retried else []
        path, line, column = place_from_text(places.get(name, ""))
        found.append(
            ProblemInfo(
                severity="error",
                message=f"notify: {name} does not get through ({', '.join(parts)}): {error}",
                path=path,
                line=line,
                column=column,
                remedy="Try it with: victor notify test",
            )
        )
    return found
