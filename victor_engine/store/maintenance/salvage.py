"""The rows of a damaged store that can still be read, and a new store with them.

A scan of a table ends at a damaged page. The rows after the page are found from the other side, and by steps over it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from victor_engine.errors import StoreError
from victor_engine.store import pragmas
from victor_engine.store.queries.table_scans import Table, scan_rows, tables
from victor_engine.store.repositories import whole_store


class TableRows(msgspec.Struct, frozen=True):
    """The rows of one table that can be read. `complete` is false if some cannot."""

    table: str
    rows: int
    complete: bool


class Readable:
    """The readable rows of one table. `complete` is known after the iteration."""

    def __init__(self, connection: sqlite3.Connection, table: Table) -> None:
        self._connection = connection
        self._table = table
        self.complete = True
        self.rows = 0

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        for row in self._found():
            self.rows += 1
            yield row

    def _found(self) -> Iterator[tuple[Any, ...]]:
        if self._table.row_id is None:
            yield from self._by_both_ends()
            return
        low: int | None = None
        while True:
            try:
                for row_id, *row in scan_rows(self._connection, self._table, above=low):
                    low = row_id
                    yield tuple(row)
                return
            except sqlite3.DatabaseError:
                self.complete = False
            start = self._after_damage(low)
            back: list[tuple[Any, ...]] = []
            with suppress(sqlite3.DatabaseError):
                for _, *row in scan_rows(
                    self._connection, self._table, above=low, below=start, backwards=True
                ):
                    back.append(tuple(row))
            yield from reversed(back)
            if start is None:
                return
            low = start - 1

    def _after_damage(self, low: int | None) -> int | None:
        """Return a row id above the damaged page from which rows can be read; None if there is none."""
        begin, step = low if low is not None else -1, 1
        while begin + step < 2**62:
            try:
                found = next(scan_rows(self._connection, self._table, above=begin + step), None)
            except sqlite3.DatabaseError:
                step *= 2
                continue
            return None if found is None else int(found[0])
        return None

    def _by_both_ends(self) -> Iterator[tuple[Any, ...]]:
        seen: set[tuple[Any, ...]] = set()
        for backwards in (False, True):
            try:
                for row in scan_rows(self._connection, self._table, backwards=backwards):
                    if row not in seen:
                        seen.add(row)
                        yield row
                return
            except sqlite3.DatabaseError:
                self.complete = False


def readable(connection: sqlite3.Connection) -> list[TableRows]:
    """Count the readable rows of each table. The list is empty if the schema of the store cannot be read."""
    counted = []
    for table in _tables(connection):
        found = Readable(connection, table)
        for _ in found:
            pass
        counted.append(TableRows(table.name, found.rows, found.complete))
    return counted


def _tables(connection: sqlite3.Connection) -> list[Table]:
    try:
        return tables(connection)
    except sqlite3.DatabaseError:
        return []


def save(connection: sqlite3.Connection, target: Path) -> list[TableRows]:
    """Write a new store with the readable rows to the empty file `target`.

    Rows that refer to a lost row are left out, and counts are computed anew. Raise StoreError if nothing can be read.
    """
    found = _tables(connection)
    if not found:
        raise StoreError("no table of the store can be read; restore a backup: victor db restore FILE")
    saved = []
    into = sqlite3.connect(target, isolation_level=None)
    try:
        whole_store.create(into, connection)
        for table in found:
            rows = Readable(connection, table)
            whole_store.insert(into, table, rows)
            saved.append(TableRows(table.name, rows.rows, rows.complete))
        whole_store.complete(into, connection)
        pragmas.keep_in_one_file(into)
    finally:
        into.close()
    return saved


__all__ = ["Readable", "TableRows", "readable", "save"]
