"""A new store that gets the readable rows of a damaged one. No engine uses it yet, so it needs no lock."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from itertools import islice
from typing import Any

from victor_engine.store import pragmas
from victor_engine.store.queries.table_scans import Table

_BATCH = 1000
_COUNTS = {
    "run_totals": (
        "DELETE FROM run_totals",
        "INSERT INTO run_totals (definition_id, runs) SELECT definition_id, COUNT(*) FROM runs GROUP BY definition_id",
    ),
    "dead_causes": (
        "UPDATE dead_causes SET runs = (SELECT COUNT(*) FROM dead_letters d WHERE d.cause_id = dead_causes.id)",
        "DELETE FROM dead_causes WHERE runs = 0",
    ),
}
"""The statements that compute the counts of a table anew."""


def create(into: sqlite3.Connection, source: sqlite3.Connection) -> None:
    """Create the tables of `source` in an empty database, without indexes and triggers."""
    pragmas.load_fast(into)
    into.execute("BEGIN")
    for (sql,) in _definitions(source, "table"):
        into.execute(sql)
    into.execute("COMMIT")


def _definitions(source: sqlite3.Connection, kind: str) -> list[tuple[str]]:
    return source.execute(
        "SELECT sql FROM sqlite_master WHERE type = ? AND sql IS NOT NULL AND name NOT LIKE 'sqlite_%'",
        (kind,),
    ).fetchall()


def insert(into: sqlite3.Connection, table: Table, rows: Iterable[tuple[Any, ...]]) -> None:
    """Insert rows. Of two rows with one key the first is kept."""
    names = ", ".join(f'"{column}"' for column in table.columns)
    marks = ",".join("?" * len(table.columns))
    sql = f'INSERT OR IGNORE INTO "{table.name}" ({names}) VALUES ({marks})'
    remaining = iter(rows)
    while batch := list(islice(remaining, _BATCH)):
        into.execute("BEGIN")
        into.executemany(sql, batch)
        into.execute("COMMIT")


def complete(into: sqlite3.Connection, source: sqlite3.Connection) -> None:
    """Delete the rows that refer to a lost row, compute counts anew, and create indexes and triggers."""
    into.execute("BEGIN")
    while found := pragmas.broken_references(into):
        for table, row_id in found:
            if row_id is None:
                # It has no row id, and is a detail of the lost row.
                into.execute(f'DELETE FROM "{table}" WHERE {_unreferenced(into, table)}')
            else:
                into.execute(f'DELETE FROM "{table}" WHERE _rowid_ = ?', (row_id,))
    names = {name for (name,) in into.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    for name, statements in _COUNTS.items():
        if name in names:
            for statement in statements:
                into.execute(statement)
    for kind in ("index", "trigger"):
        for (sql,) in _definitions(source, kind):
            into.execute(sql)
    into.execute(pragmas.schema_version_statement(pragmas.schema_version(source)))
    into.execute("COMMIT")


def _unreferenced(into: sqlite3.Connection, table: str) -> str:
    return " OR ".join(
        f'("{column}" IS NOT NULL AND "{column}" NOT IN (SELECT "{key}" FROM "{parent}"))'
        for parent, column, key in pragmas.references(into, table)
    )
