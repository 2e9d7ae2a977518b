"""The size of a store by table."""

from __future__ import annotations

import sqlite3
from datetime import datetime

import msgspec

from victor_engine.clock import from_us
from victor_engine.store import pragmas
from victor_engine.store.queries import whole_store


class TableSize(msgspec.Struct, frozen=True):
    """The rows of a table, and its bytes with its indexes; None if this SQLite cannot measure them."""

    table: str
    rows: int
    bytes: int | None


class StoreSize(msgspec.Struct, frozen=True):
    """The size of a store in bytes. `free` is the part that `victor db vacuum` gives back.

    `oldest` and `newest` are the instants of the first and the last run.
    """

    bytes: int
    free: int
    tables: tuple[TableSize, ...]
    oldest: datetime | None
    newest: datetime | None


def of_tables(connection: sqlite3.Connection) -> StoreSize:
    """Return the size of a store, the largest table first."""
    page, count, free = pragmas.usage(connection)
    bytes_of = whole_store.table_bytes(connection)
    found = [
        TableSize(name, rows, None if bytes_of is None else bytes_of.get(name, 0))
        for name, rows in whole_store.row_counts(connection)
    ]
    found.sort(key=lambda table: (-(table.bytes or 0), -table.rows, table.table))
    oldest, newest = whole_store.run_times(connection)
    return StoreSize(
        page * count,
        page * free,
        tuple(found),
        None if oldest is None else from_us(oldest),
        None if newest is None else from_us(newest),
    )
