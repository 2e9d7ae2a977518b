"""The rows of whole tables, in the order in which they are stored, also from a damaged store."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from victor_engine.store import pragmas


@dataclass(frozen=True, slots=True)
class Table:
    """A table with its stored columns. `row_id` is the name of its row id, None if it is stored by its key."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    row_id: str | None


def tables(connection: sqlite3.Connection) -> list[Table]:
    """Return the tables of the store. Raise sqlite3.DatabaseError if the schema cannot be read."""
    found = connection.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
    ).fetchall()
    return [_table(connection, name, "WITHOUT ROWID" in sql) for name, sql in found]


def _table(connection: sqlite3.Connection, name: str, by_key: bool) -> Table:
    columns = pragmas.columns(connection, name)
    key = tuple(column for column, rank in sorted(columns, key=lambda each: each[1]) if rank)
    return Table(name, tuple(column for column, _ in columns), key, None if by_key else "_rowid_")


def scan_rows(
    connection: sqlite3.Connection,
    table: Table,
    *,
    above: int | None = None,
    below: int | None = None,
    backwards: bool = False,
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a table without its indexes, each after its row id if it has one.

    `above` and `below` are exclusive row ids.
    """
    columns = ", ".join(f'"{column}"' for column in table.columns)
    way = "DESC" if backwards else "ASC"
    if table.row_id is None:
        order = ", ".join(f'"{column}" {way}' for column in table.key)
        yield from connection.execute(f'SELECT {columns} FROM "{table.name}" ORDER BY {order}')
        return
    where, values = ["1 = 1"], []
    for clause, value in (("_rowid_ > ?", above), ("_rowid_ < ?", below)):
        if value is not None:
            where.append(clause)
            values.append(value)
    yield from connection.execute(
        f'SELECT _rowid_, {columns} FROM "{table.name}" NOT INDEXED WHERE {" AND ".join(where)} ORDER BY _rowid_ {way}',
        values,
    )
