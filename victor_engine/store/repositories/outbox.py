"""The table `announcements`: messages that wait to be sent, and those that were given up.

It belongs to no root: each row is written once, and after that by the sender alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from victor_engine.store.queries.ids import Source
from victor_engine.store.repositories.checks import expect_one
from victor_engine.store.transaction import Tx

_COLUMNS = (
    "id, event_seq, occasion, rule, target, request_id, run_key, workflow, node_id, title, body, created_at,"
    " attempts"
)


class Announcement(NamedTuple):
    """One message to one address. `attempts` have been made already; times are in microseconds."""

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


class Troubled(NamedTuple):
    """A rule that does not get through: its newest error, how many are tried again, how many were given up."""

    rule: str
    error: str
    retried: int
    lost: int


# --- reading -----------------------------------------------------------------------------------


def waiting(source: Source) -> int:
    """Return how many announcements are still to be sent."""
    (count,) = source.execute("SELECT COUNT(*) FROM announcements WHERE due IS NOT NULL").fetchone()
    return int(count)


def due(source: Source, now: int, limit: int) -> list[Announcement]:
    """Return the announcements that are due at `now`, the longest overdue first."""
    rows = source.execute(
        f"SELECT {_COLUMNS} FROM announcements WHERE due <= ? ORDER BY due, id LIMIT ?", (now, limit)
    )
    return [Announcement(*row) for row in rows]


def next_due(source: Source) -> int | None:
    """Return when the next announcement is to be sent; None if none waits."""
    (instant,) = source.execute("SELECT MIN(due) FROM announcements WHERE due IS NOT NULL").fetchone()
    return None if instant is None else int(instant)


def addresses(source: Source) -> list[tuple[int, str, str]]:
    """Return id, rule and target of each announcement."""
    rows: list[tuple[int, str, str]] = source.execute("SELECT id, rule, target FROM announcements").fetchall()
    return rows


def counts(source: Source) -> dict[str, tuple[int, int]]:
    """Return by rule how many announcements are still to be sent, and how many were given up."""
    rows = source.execute("SELECT rule, COUNT(due), COUNT(*) - COUNT(due) FROM announcements GROUP BY rule")
    return {rule: (waiting, lost) for rule, waiting, lost in rows}


def troubled(source: Source, since: int) -> list[Troubled]:
    """Return the rules that do not get through: something is tried again, or was given up after `since`."""
    rows = source.execute(
        "SELECT a.rule, (SELECT b.error FROM announcements b WHERE b.rule = a.rule AND b.failed_at IS NOT NULL"
        " AND (b.due IS NOT NULL OR b.failed_at > ?) ORDER BY b.failed_at DESC, b.id LIMIT 1),"
        " COUNT(a.due), COUNT(*) - COUNT(a.due) FROM announcements a"
        " WHERE a.failed_at IS NOT NULL AND (a.due IS NOT NULL OR a.failed_at > ?) GROUP BY a.rule ORDER BY a.rule",
        (since, since),
    )
    return [Troubled(*row) for row in rows]


# --- changing ----------------------------------------------------------------------------------


def add(
    tx: Tx,
    *,
    event_seq: int,
    occasion: str,
    rule: str,
    target: str,
    request_id: str | None,
    run_key: int | None,
    workflow: str | None,
    node_id: str | None,
    title: str,
    body: str,
) -> bool:
    """Store an announcement that is due now; return False if the event is announced to the address already."""
    cursor = tx.execute(
        "INSERT INTO announcements (event_seq, occasion, rule, target, request_id, run_key, workflow, node_id,"
        " title, body, created_at, due) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)"
        " ON CONFLICT (event_seq, rule, target) DO NOTHING",
        (
            event_seq, occasion, rule, target, request_id, run_key, workflow, node_id, title, body,
            tx.now_us, tx.now_us,
        ),
    )  # fmt: skip
    return cursor.rowcount > 0


def sent(tx: Tx, item: Announcement) -> None:
    """Delete an announcement that has arrived, with those to its address that were given up."""
    tx.execute(
        "DELETE FROM announcements WHERE id = ? OR (rule = ? AND target = ? AND due IS NULL)",
        (item.id, item.rule, item.target),
    )


def delete(tx: Tx, ids: Sequence[int]) -> None:
    """Delete announcements that are no longer needed. Some may be deleted already."""
    tx.connection.executemany("DELETE FROM announcements WHERE id = ?", [(id_,) for id_ in ids])


def delete_old(tx: Tx, before: int) -> None:
    """Delete announcements that were given up before an instant."""
    tx.execute("DELETE FROM announcements WHERE due IS NULL AND failed_at < ?", (before,))


def failed(tx: Tx, item: Announcement, error: str, again: int | None) -> None:
    """Store that an announcement has not arrived, and when it is tried again; None gives it up.

    What else waits for the address waits as long: one message at a time tries whether it works again.
    """
    cursor = tx.execute(
        "UPDATE announcements SET attempts = attempts + 1, due = ?, failed_at = ?, error = ? WHERE id = ?",
        (again, tx.now_us, error, item.id),
    )
    expect_one(cursor, "announcement", item.id)
    if again is not None:
        tx.execute(
            "UPDATE announcements SET due = ? WHERE rule = ? AND target = ? AND due < ?",
            (again, item.rule, item.target, again),
        )
