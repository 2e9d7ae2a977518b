"""The rows of circuit breakers. They belong to no aggregate root: each row is changed by one statement that reads it."""

from __future__ import annotations

from msgspec import Struct

from victor_engine.store.repositories.checks import expect_one
from victor_engine.store.transaction import Tx


class BreakerRow(Struct, frozen=True):
    """A breaker that is open. Instants are microseconds; `error` is JSON."""

    failures: int
    opened_at: int
    retry_at: int
    probe_key: int | None
    error: str


class Failures(Struct, frozen=True):
    """A breaker after one more failure."""

    failures: int
    opened_at: int | None
    probe_key: int | None


def find_open(tx: Tx, workflow: str, node_id: str) -> BreakerRow | None:
    """Return the breaker of a node if it is open."""
    row = tx.execute(
        "SELECT failures, opened_at, retry_at, probe_key, error FROM breakers"
        " WHERE workflow = ? AND node_id = ? AND opened_at IS NOT NULL",
        (workflow, node_id),
    ).fetchone()
    return None if row is None else BreakerRow(*row)


def take_probe(tx: Tx, workflow: str, node_id: str, run_key: int, before: int | None) -> bool:
    """Let a run try the node of an open breaker; False if another run than `before` tries it now."""
    cursor = tx.execute(
        "UPDATE breakers SET probe_key = ? WHERE workflow = ? AND node_id = ?"
        " AND probe_key IS NOT DISTINCT FROM ?",
        (run_key, workflow, node_id, before),
    )
    return cursor.rowcount > 0


def close(tx: Tx, workflow: str, node_id: str) -> int | None:
    """Delete the breaker of a node; return since when it was open, None if it was not."""
    row = tx.execute(
        "DELETE FROM breakers WHERE workflow = ? AND node_id = ? RETURNING opened_at", (workflow, node_id)
    ).fetchone()
    return None if row is None else row[0]


def count_failure(tx: Tx, workflow: str, node_id: str, error: str) -> Failures:
    """Count a failure of a node, with its error (JSON)."""
    row = tx.execute(
        "INSERT INTO breakers (workflow, node_id, failures, error) VALUES (?, ?, 1, ?)"
        " ON CONFLICT (workflow, node_id) DO UPDATE SET failures = breakers.failures + 1, error = excluded.error"
        " RETURNING failures, opened_at, probe_key",
        (workflow, node_id, error),
    ).fetchone()
    return Failures(*row)


def open_until(tx: Tx, workflow: str, node_id: str, opened_at: int, retry_at: int) -> None:
    """Open the breaker of a node until `retry_at`."""
    cursor = tx.execute(
        "UPDATE breakers SET opened_at = ?, retry_at = ?, probe_key = NULL WHERE workflow = ? AND node_id = ?",
        (opened_at, retry_at, workflow, node_id),
    )
    expect_one(cursor, "breaker of", node_id)
