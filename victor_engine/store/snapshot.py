"""A reader of a database that changes no files: no write-ahead log, no shared memory, no new mtime.

An ordinary read-only connection to a database in WAL mode creates `-wal` and `-shm`, and rebuilds `-shm` after a crash.
Each snapshot has one of three cases:

* Without a log, or with an empty one, the file is complete and is opened as `immutable`. If it changes, or if a log
  appears, an engine has started, and the snapshot is read again.
* With a log, `readonly_shm` makes SQLite use the shared memory of the engine or, if no engine has it open, an index in
  private memory.
* With a log but without shared memory (a copied directory), only an engine can recover the database.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from victor_engine.errors import StoreError
from victor_engine.store import pragmas, schema

T = TypeVar("T")

_TRIES = 5
"""The number of tries for a snapshot during which an engine starts, stops or recovers."""

Stamp = tuple[int, int, int, int] | None


def _stamp(path: Path) -> Stamp:
    """Return values that differ if a file has changed; None if it does not exist."""
    try:
        info = os.stat(path)
    except FileNotFoundError:
        return None
    return (info.st_ino, info.st_dev, info.st_size, info.st_mtime_ns)


class _Changed(Exception):
    """The files changed during a snapshot that requires them unchanged."""


class SnapshotReader:
    """Reads consistent snapshots of the database at `path`. Safe to use from several threads.

    With `any_schema` it also reads a store of an earlier release, as it is.
    """

    def __init__(self, path: Path, *, any_schema: bool = False) -> None:
        self.path = path
        self._any_schema = any_schema
        self._wal = path.with_name(path.name + "-wal")
        self._shm = path.with_name(path.name + "-shm")
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._opened_as: tuple[bool, Stamp] | None = None
        if not path.exists():
            raise StoreError(
                f"{path}: the database does not exist yet; open the console or start an engine "
                "(victor scheduler start) to create it"
            )

    def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run `query` on one snapshot. Raises StoreError; errors of the query pass through."""
        with self._lock:
            for _ in range(_TRIES):
                try:
                    return self._attempt(query)
                except _Changed:
                    self._forget()
                except sqlite3.Error as error:
                    self._forget()
                    failure: sqlite3.Error = error
                    if not isinstance(error, sqlite3.OperationalError):
                        break
            else:
                failure = sqlite3.OperationalError("it changes faster than it can be read")
            raise StoreError(f"{self.path}: cannot read: {failure}") from failure

    def _attempt(self, query: Callable[[sqlite3.Connection], T]) -> T:
        still, stamp = self._state()
        connection = self._open(still, stamp)
        try:
            connection.execute("BEGIN")
            try:
                result = query(connection)
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")  # a COMMIT fails after damage was read
        except Exception:
            if still and self._state() != (still, stamp):
                raise _Changed from None
            raise
        if still and self._state() != (still, stamp):
            raise _Changed
        return result

    def _state(self) -> tuple[bool, Stamp]:
        """Whether the file alone is the whole truth, and its stamp."""
        log = _stamp(self._wal)
        return (log is None or log[2] == 0, _stamp(self.path))

    def _open(self, still: bool, stamp: Stamp) -> sqlite3.Connection:
        # A live database changes its stamp with every checkpoint; its connection stays good while
        # it is the same file.
        identity = (still, stamp if still or stamp is None else (*stamp[:2], 0, 0))
        if self._connection is not None and self._opened_as == identity:
            return self._connection
        self._forget()
        if not still and not self._shm.exists():
            raise StoreError(
                f"{self.path}: has a write-ahead log that no engine has recovered, as in a copied directory; "
                "start an engine on it once (victor scheduler start)"
            )
        how = "immutable=1" if still else "readonly_shm=1"
        uri = f"file:{quote(str(self.path.absolute()))}?mode=ro&{how}"
        connection = sqlite3.connect(
            uri, uri=True, isolation_level=None, check_same_thread=False, cached_statements=256, timeout=5.0
        )
        try:
            pragmas.refuse_writes(connection)
            if not self._any_schema:
                schema.check(connection, str(self.path))
        except BaseException:
            connection.close()
            raise
        self._connection, self._opened_as = connection, identity
        return connection

    def _forget(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def close(self) -> None:
        with self._lock:
            self._forget()
