"""The settings of SQLite. All PRAGMA statements are in this module."""

from __future__ import annotations

import sqlite3
from pathlib import Path

WRITER_CACHE_KB = 65_536
"""The page cache of the writer in KB. A large batch of schedules changes pages all over the file."""

LOG_BYTES = 64 * 1024 * 1024
"""The size in bytes to which the write-ahead log is cut when it begins anew."""


def set_up_writer(connection: sqlite3.Connection) -> None:
    """Set up a connection that writes: a write-ahead log, and durable when a commit returns."""
    _set_up(connection)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA wal_autocheckpoint = 4000")
    # The log grows while a long query or a backup reads. Later it is cut to this size, not kept for ever.
    connection.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
    connection.execute(f"PRAGMA cache_size = -{WRITER_CACHE_KB}")
    # Otherwise the pages of a savepoint are written to a temporary file.
    connection.execute("PRAGMA temp_store = MEMORY")


def set_up_reader(connection: sqlite3.Connection) -> None:
    """Set up a connection that reads a database while an engine writes it."""
    _set_up(connection)
    refuse_writes(connection)


def _set_up(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA busy_timeout = 10000")


def refuse_writes(connection: sqlite3.Connection) -> None:
    """Refuse each statement of a connection that would change the database."""
    connection.execute("PRAGMA query_only = ON")


def schema_version(connection: sqlite3.Connection) -> int:
    """Return the number of the last schema step that was applied; 0 for an empty database."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def schema_version_statement(number: int) -> str:
    """Return the statement that sets the number of the schema step. It takes no parameter."""
    return f"PRAGMA user_version = {number};"


def keep_in_one_file(connection: sqlite3.Connection) -> None:
    """Store a database in one file, without a write-ahead log."""
    connection.execute("PRAGMA journal_mode = DELETE")


def damage(connection: sqlite3.Connection) -> str | None:
    """Return the first damage that a quick check finds; None if it finds none."""
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    return None if found == "ok" else str(found)


def all_damage(connection: sqlite3.Connection) -> list[str]:
    """Return the damage that a full check finds in pages, indexes and references, at most 100 lines of each kind."""
    found = [str(text) for (text,) in connection.execute("PRAGMA integrity_check(100)")]
    damaged = [] if found == ["ok"] else found
    for number, (table, row, parent, _) in enumerate(connection.execute("PRAGMA foreign_key_check")):
        if number == 100:
            break
        damaged.append(f"row {row} of {table} refers to a row of {parent} that does not exist")
    return damaged


def columns(connection: sqlite3.Connection, table: str) -> list[tuple[str, int]]:
    """Return the stored columns of a table, each with its rank in the primary key; 0 for none."""
    return [(row[1], row[5]) for row in connection.execute(f'PRAGMA table_info("{table}")')]


def broken_references(connection: sqlite3.Connection) -> list[tuple[str, int | None]]:
    """Return table and row id of each row that refers to a row that does not exist."""
    return [(table, row) for table, row, *_ in connection.execute("PRAGMA foreign_key_check")]


def references(connection: sqlite3.Connection, table: str) -> list[tuple[str, str, str]]:
    """Return parent table, column and parent column of each reference of a table."""
    return [(row[2], row[3], row[4]) for row in connection.execute(f'PRAGMA foreign_key_list("{table}")')]


def load_fast(connection: sqlite3.Connection) -> None:
    """Set up a connection that fills a new file, which is deleted after an error."""
    for setting in ("journal_mode = OFF", "synchronous = OFF", "foreign_keys = OFF"):
        connection.execute(f"PRAGMA {setting}")


def vacuum_into(connection: sqlite3.Connection, target: Path) -> None:
    """Write the database without free pages to the empty file `target`, as one file without a log."""
    connection.execute("VACUUM INTO ?", (str(target),))


def usage(connection: sqlite3.Connection) -> tuple[int, int, int]:
    """Return the page size in bytes, the number of pages, and the number of free pages."""
    names = ("page_size", "page_count", "freelist_count")
    size, count, free = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names)
    return size, count, free


def optimize(connection: sqlite3.Connection) -> None:
    """Refresh the statistics of the query planner if they are out of date."""
    connection.execute("PRAGMA optimize")
