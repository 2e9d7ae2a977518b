"""The check that an update has found its row."""

from __future__ import annotations

import sqlite3

from victor_engine.errors import NotFoundError


def expect_one(cursor: sqlite3.Cursor, kind: str, key: int | str) -> None:
    """Raise NotFoundError if a statement that changes one row has changed none.

    Args:
        cursor: The cursor of the statement.
        kind: What the row is, for the message.
        key: The key of the row, for the message.
    """
    if cursor.rowcount != 1:
        raise NotFoundError(f"the store has no {kind} {key}; it was deleted meanwhile")
