"""Announcements in the store: planned with the cursor in one transition, kept until they have arrived."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from victor_engine.api import ProblemInfo
from victor_engine.clock import to_us
from victor_engine.config.model import NotifyRule
from victor_engine.config.places import place_from_text
from victor_engine.events import EventKind
from victor_engine.notify.messages import Message
from victor_engine.store.db import Tx

CURSOR = "notify.cursor"
PENDING = 1_000
"""Announcements that wait at most; more are dropped, visibly."""

RETRIES = (5.0, 30.0, 120.0, 600.0, 1_800.0, 3_600.0)
"""Seconds until an address is tried again, after each failure; then it is given up."""

RETRIED_FOR = timedelta(hours=24)
"""After that nothing is tried again: news of yesterday help nobody."""

SHOWN = timedelta(hours=24)
"""How long an announcement that was given up stays a problem, unless one to the same address arrives."""
KEPT = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Announcement:
    """One message to one address. `attempts` have been made already."""

    id: int
    event_seq: int
    occasion: str
    rule: str
    target: str
    request_id: str | None
    run_key: int | None
    workflow: str | None
    node_id: str | None
    title: str
    body: str
    created_at: int
    attempts: int


_COLUMNS = (
    "id, event_seq, occasion, rule, target, request_id, run_key, workflow, node_id, title, body, created_at,"
    " attempts"
)


def target_of(url: str) -> str:
    """What stands for an address in the store: addresses hold tokens."""
    return hashlib.sha256(url.encode()).hexdigest()[:16]


def label(url: str) -> str:
    """An address as people may see it: the name of its secret, or its scheme."""
    return url if url.startswith("$secret.") else url.partition("://")[0] + "://…"


def read_cursor(connection: sqlite3.Connection) -> int | None:
    """The last event that was looked at; None where nothing has ever been announced."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (CURSOR,)).fetchone()
    return None if row is None else int(row[0])


def write_cursor(tx: Tx, seq: int | None) -> None:
    """From now on events after `seq` are looked at; None forgets where the announcing was."""
    if seq is None:
        tx.execute("DELETE FROM meta WHERE key = ?", (CURSOR,))
    else:
        tx.execute(
            "INSERT INTO meta (key, value) VALUES (?,?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (CURSOR, seq),
        )


def plan(tx: Tx, messages: Sequence[Message]) -> int:
    """Put messages down, one row for each address; returns how many. One event is planned once."""
    (waiting,) = tx.execute("SELECT COUNT(*) FROM announcements WHERE due IS NOT NULL").fetchone()
    planned = dropped = 0
    for message in messages:
        event = message.event
        for url in message.rule.urls:
            if waiting + planned >= PENDING:
                dropped += 1
                continue
            planned += tx.execute(
                "INSERT OR IGNORE INTO announcements (event_seq, occasion, rule, target, request_id, run_key,"
                " workflow, node_id, title, body, created_at, due) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
                (
                    event.seq, message.occasion, message.rule.name, target_of(url), message.request_id,
                    event.run_key, event.workflow, event.node_id, message.title, message.body, tx.now_us, tx.now_us,
                ),
            ).rowcount  # fmt: skip
    if dropped:
        text = f"{PENDING} announcements wait already; {dropped} more are not sent"
        tx.event(EventKind.NOTIFY_FAILED, data={"message": text, "dropped": dropped})
    return planned


def due(connection: sqlite3.Connection, now: datetime, limit: int) -> list[Announcement]:
    """What is to be sent now, the longest overdue first."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM announcements WHERE due <= ? ORDER BY due, id LIMIT ?", (to_us(now), limit)
    )
    return [Announcement(*row) for row in rows]


def next_due(connection: sqlite3.Connection) -> int | None:
    """When the next one is to be sent, in microseconds."""
    found: int | None = connection.execute(
        "SELECT MIN(due) FROM announcements WHERE due IS NOT NULL"
    ).fetchone()[0]
    return found


def sent(tx: Tx, item: Announcement, where: str) -> None:
    """It has arrived; so the address works, and what was given up before is a problem no more."""
    tx.execute(
        "DELETE FROM announcements WHERE id = ? OR (rule = ? AND target = ? AND due IS NULL)",
        (item.id, item.rule, item.target),
    )
    _event(tx, EventKind.NOTIFY_SENT, item, {"to": where, "title": item.title})


def dropped(tx: Tx, item: Announcement) -> None:
    """Nobody needs to hear it any more."""
    tx.execute("DELETE FROM announcements WHERE id = ?", (item.id,))


def failed(tx: Tx, item: Announcement, where: str, error: str, *, permanent: bool = False) -> None:
    """It did not arrive: tried again later, or given up. The first failure and the last are told."""
    old = item.created_at < tx.now_us - int(RETRIED_FOR.total_seconds() * 1_000_000)
    last = permanent or old or item.attempts >= len(RETRIES)
    delay = None if last else RETRIES[item.attempts]
    again = tx.now_us + int(delay * 1_000_000) if delay is not None else None
    tx.execute(
        "UPDATE announcements SET attempts = attempts + 1, due = ?, failed_at = ?, error = ? WHERE id = ?",
        (again, tx.now_us, f"{where}: {error}", item.id),
    )
    if again is not None:
        # One message at a time tries whether an address works again; the others wait with it.
        tx.execute(
            "UPDATE announcements SET due = ? WHERE rule = ? AND target = ? AND due < ?",
            (again, item.rule, item.target, again),
        )
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
    rows = connection.execute("SELECT id, rule, target FROM announcements")
    return [id_ for id_, *whither in rows if tuple(whither) not in known]


def forget(tx: Tx, ids: Sequence[int]) -> None:
    """Announcements that nobody waits for; what was told of them stays."""
    tx.connection.executemany("DELETE FROM announcements WHERE id = ?", [(id_,) for id_ in ids])


def forget_old(tx: Tx) -> None:
    """Rows that were given up long ago; their events stay."""
    before = tx.now_us - int(KEPT.total_seconds() * 1_000_000)
    tx.execute("DELETE FROM announcements WHERE due IS NULL AND failed_at < ?", (before,))


def _event(tx: Tx, kind: EventKind, item: Announcement, data: dict[str, Any]) -> None:
    alive = tx.execute("SELECT 1 FROM runs WHERE key = ?", (item.run_key,)).fetchone()
    tx.event(
        kind,
        run_key=item.run_key if alive is not None else None,
        request_id=item.request_id,
        workflow=item.workflow,
        node_id=item.node_id,
        data={"rule": item.rule, "occasion": item.occasion, **data},
    )


def waiting(connection: sqlite3.Connection) -> dict[str, tuple[int, int]]:
    """By rule: how many announcements are still to be sent, and how many were given up."""
    rows = connection.execute(
        "SELECT rule, SUM(due IS NOT NULL), SUM(due IS NULL) FROM announcements GROUP BY 1"
    )
    return {rule: (open_, lost) for rule, open_, lost in rows}


def notify_problems(
    connection: sqlite3.Connection, now: datetime, rules: Sequence[NotifyRule] = ()
) -> list[ProblemInfo]:
    """One for each rule that does not get through at present, with the place of the rule if it is known."""
    rows = connection.execute(
        "SELECT rule, error, MAX(failed_at), SUM(due IS NOT NULL), SUM(due IS NULL) FROM announcements"
        " WHERE failed_at IS NOT NULL AND (due IS NOT NULL OR failed_at > ?) GROUP BY rule ORDER BY rule",
        (to_us(now - SHOWN),),
    )
    places = {rule.name: rule.place for rule in rules}
    found = []
    for name, error, _, retried, lost in rows:
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
