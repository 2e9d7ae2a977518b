"""The lines that attempts have logged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from victor_engine.store.locks import Root
from victor_engine.store.repositories.checks import expect_one
from victor_engine.store.transaction import Tx

_INSERT = "INSERT INTO logs (run_key, attempt_id, at, stream, text) VALUES (?,?,?,?,?)"
_DELETE = "DELETE FROM logs WHERE id = ?"

LogRow = tuple[int, int, int, str, str]
"""Run, attempt, instant in microseconds, stream, text."""


def add(tx: Tx, rows: Sequence[LogRow]) -> None:
    """Add lines at the end, in order."""
    for run_key in sorted({row[0] for row in rows}):
        tx.lock(Root.RUN, run_key)
    for row in rows:
        tx.later(_INSERT, row)


def add_one(tx: Tx, row: LogRow) -> int:
    """Add a line at the end and return its id."""
    tx.lock(Root.RUN, row[0])
    tx.flush()
    (line,) = tx.execute(f"{_INSERT} RETURNING id", row).fetchone()
    return int(line)


def since(tx: Tx, run_key: int, attempt: int, start: int) -> list[int]:
    """Return the ids of the lines of an attempt from id `start` on, in order."""
    tx.lock(Root.RUN, run_key)
    tx.flush()
    rows = tx.execute(
        "SELECT id FROM logs WHERE run_key = ? AND id >= ? AND attempt_id = ? ORDER BY id",
        (run_key, start, attempt),
    )
    return [row[0] for row in rows]


def delete(tx: Tx, run_key: int, lines: Iterable[int]) -> None:
    """Delete lines of a run."""
    tx.lock(Root.RUN, run_key)
    for line in lines:
        tx.later(_DELETE, (line,))


def replace(tx: Tx, run_key: int, line: int, at: int, stream: str, text: str) -> None:
    """Replace a line by another one."""
    tx.lock(Root.RUN, run_key)
    cursor = tx.execute("UPDATE logs SET at = ?, stream = ?, text = ? WHERE id = ?", (at, stream, text, line))
    expect_one(cursor, "log line", line)
