"""Dead letters: runs that failed for good, under their cause, until they are handled."""

from __future__ import annotations

import hashlib
import re
import sqlite3

from victor_engine.api import ErrorInfo
from victor_engine.store.db import Tx
from victor_engine.store.locks import Root

PATTERN_LENGTH = 300
"""Characters of a message that tell causes apart; what follows is mostly the particulars."""

PART_OF_A_RUN = "parent"
"""Trigger of a run that is a node of another one."""

_VARYING = re.compile(
    r"""
    (?P<url>   \b[a-z][a-z0-9+.-]*://[^\s'"<>)\]}]+ )
  | (?P<uuid>  \b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b )
  | (?P<run>   (?<=\brun[ ])[0-9a-z]{13}\b )
  | (?P<time>  \b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)? )
  | (?P<path>  (?<![\w.~/])(?:~|\.{1,2})?(?:/[\w.@%+=:,~-]+)+/? )
  | (?P<hex>   \b0x[0-9a-f]+\b
             | \b(?=[0-9a-f]*\d)(?=\d*[a-f])[0-9a-f]{7,}\b )
  | (?P<id>    \b(?=[a-z]*\d)[0-9a-z]{16,}\b
             | \b(?=[\w-]*\d)(?=[\w-]*[-_])[a-z][\w-]* )
  | (?P<n>     (?:(?<![\w)])-)?\d+(?:[.,]\d+)* )
    """,
    re.IGNORECASE | re.VERBOSE,
)


def pattern_of(message: str) -> str:
    """Return a message with placeholders for the parts that differ from run to run, such as `<n>`, `<run>`, `<time>`."""
    words = " ".join(message[: 4 * PATTERN_LENGTH].split())
    return _VARYING.sub(lambda found: f"<{found.lastgroup}>", words)[:PATTERN_LENGTH]


def fingerprint(workflow: str, error: ErrorInfo) -> str:
    """Return twelve hex digits that are equal for runs that failed for the same cause.

    They depend on workflow, node, error type, exit code, HTTP status, and the pattern of the message.
    """
    parts = (
        workflow,
        error.node_id,
        error.type,
        error.exit_code,
        error.http_status,
        pattern_of(error.message),
    )
    return hashlib.sha256("\0".join(str(part) for part in parts).encode()).hexdigest()[:12]


def add_dead_letter(tx: Tx, run_key: int, workflow: str, error: ErrorInfo | None) -> None:
    """List a failed run as a dead letter under its cause.

    A child run is not listed: the operator handles its parent.
    """
    tx.lock(Root.RUN, run_key)
    (trigger,) = tx.execute("SELECT trigger FROM runs WHERE key = ?", (run_key,)).fetchone()
    if trigger == PART_OF_A_RUN:
        return
    error = error or ErrorInfo(type="Error", message="")
    mark = fingerprint(workflow, error)
    row = tx.execute("SELECT id FROM dead_causes WHERE fingerprint = ?", (mark,)).fetchone()
    cause: int | None = row[0] if row is not None else None
    if cause is None:
        (cause,) = tx.execute(
            "INSERT INTO dead_causes (fingerprint, workflow, node_id, error_type, pattern) VALUES (?,?,?,?,?)"
            " RETURNING id",
            (mark, workflow, error.node_id, error.type, pattern_of(error.message)),
        ).fetchone()
    tx.execute(
        "INSERT INTO dead_letters (run_key, cause_id, failed_at) VALUES (?,?,?)", (run_key, cause, tx.now_us)
    )


def remove_dead_letter(tx: Tx, run_key: int) -> bool:
    """Take a run off the list; False if it was not on it."""
    tx.lock(Root.RUN, run_key)
    return tx.execute("DELETE FROM dead_letters WHERE run_key = ?", (run_key,)).rowcount > 0


def is_dead_letter(source: Tx | sqlite3.Connection, run_key: int) -> bool:
    """Return whether a run is a dead letter."""
    return source.execute("SELECT 1 FROM dead_letters WHERE run_key = ?", (run_key,)).fetchone() is not None
