"""The checks that an update has found its row, as it was read."""

from __future__ import annotations

import sqlite3

from victor_engine.errors import ConflictError, NotFoundError


def expect_one(cursor: sqlite3.Cursor, kind: str, key: int | str) -> None:
    """Raise NotFoundError if a statement that changes one row has changed none.

    Args:
        cursor: The cursor of the statement.
        kind: What the row is, for the message.
        key: The key of the row, for the message.
    """
    if cursor.rowcount != 1:
        raise NotFoundError(f"the store has no {kind} {key}; it was deleted")


def expect_unchanged(cursor: sqlite3.Cursor, kind: str, key: int | str) -> None:
    """Raise ConflictError if a statement that changes one row as it was read has changed none.

    Args:
        cursor: The cursor of the statement, whose condition names what was read.
        kind: What the row is, for the message.
        key: The key of the row, for the message.
    """
    if cursor.rowcount != 1:
        raise ConflictError(f"{kind} {key} has changed; look at it again, and repeat the command")


def expect_rows(cursor: sqlite3.Cursor, rows: int, kinds: str) -> None:
    """Raise NotFoundError if a statement that is executed with many rows has not changed one for each.

    Args:
        cursor: The cursor of the statement.
        rows: How many rows it was executed with.
        kinds: What the rows are, for the message.
    """
    if cursor.rowcount != rows and rows:
        raise NotFoundError(
            f"the store has only {cursor.rowcount} of {rows} {kinds}; the others were deleted"
        )
