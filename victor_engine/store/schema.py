"""The schema: one file with the whole current schema, and the numbered migrations that lead to it.

A new store is created from `schema.sql`. An older store is copied first, and the copy is verified; then each
missing migration runs in a transaction of its own.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from victor_engine.clock import SystemClock
from victor_engine.errors import StoreError
from victor_engine.store import pragmas
from victor_engine.store.repositories import audit

log = logging.getLogger(__name__)


_AFTER: dict[str, Callable[[sqlite3.Connection], None]] = {
    "0018_audit.sql": lambda connection: audit.begin(connection, SystemClock().now()),
}
"""The functions that complete a migration for which SQL does not suffice, by its file."""


@cache
def _files() -> tuple[tuple[int, Traversable], ...]:
    """Return the files of the migrations with their numbers, in order."""
    folder = resources.files("victor_engine.store") / "migrations"
    files = [entry for entry in folder.iterdir() if entry.name.endswith(".sql")]
    return tuple(
        sorted(((int(file.name.split("_", 1)[0]), file) for file in files), key=lambda found: found[0])
    )


def _migrations() -> list[tuple[int, str, str]]:
    return [(number, file.name, file.read_text("utf-8")) for number, file in _files()]


def newest_version() -> int:
    return _files()[-1][0]


def check(connection: sqlite3.Connection, path: str) -> None:
    """Raise StoreError unless the schema is exactly the one this product reads."""
    version = pragmas.schema_version(connection)
    if version > newest_version():
        raise StoreError(
            f"{path}: written by a newer victor (schema {version}, this one reads {newest_version()}); "
            "install that version or use another state directory"
        )
    if version < newest_version():
        raise StoreError(
            f"{path}: has schema {version}, this victor needs {newest_version()}; "
            "start an engine on it once (victor scheduler start) to bring it up to date"
        )


def current_schema() -> str:
    """Return the SQL of the whole current schema (`schema.sql`)."""
    return (resources.files("victor_engine.store") / "schema.sql").read_text("utf-8")


def migrate(connection: sqlite3.Connection, path: str) -> None:
    """Create the current schema in an empty database, or bring an older one up to date.

    Before the first migration the database file at `path` is copied to `<path>.before-<N>`, where N is the
    number of that migration. `path` ":memory:" is not copied. Raise StoreError if the schema is newer than this
    product, if the copy cannot be made, or if a migration fails; the database is then unchanged by that step.
    """
    version = pragmas.schema_version(connection)
    if version > newest_version():
        check(connection, path)
    if version == newest_version():
        return
    if version == 0:
        _apply(connection, path, newest_version(), "schema.sql", current_schema())
        return
    if path != ":memory:":
        copy = _copy_before_migration(connection, Path(path), version + 1)
        log.warning(
            "%s: upgrading from schema %d to %d; a copy from before the upgrade is %s",
            path,
            version,
            newest_version(),
            copy,
        )
    for number, name, sql in _migrations():
        if number > version:
            _apply(connection, path, number, name, sql, then=_AFTER.get(name))


def _apply(
    connection: sqlite3.Connection,
    path: str,
    number: int,
    name: str,
    sql: str,
    then: Callable[[sqlite3.Connection], None] | None = None,
) -> None:
    """Apply one step in a transaction. `then` changes rows in it, after the SQL."""
    try:
        connection.executescript(f"BEGIN IMMEDIATE;\n{sql}\n{pragmas.schema_version_statement(number)}")
        if then is not None:
            then(connection)
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise StoreError(f"{path}: cannot apply schema step {name}: {error}") from error


def _copy_before_migration(connection: sqlite3.Connection, path: Path, number: int) -> Path:
    """Copy the database to a new file beside it, verify the copy, and return its path.

    An earlier copy is never overwritten; the new one then gets a number of its own (`before-14.2`).
    """
    first = target = path.with_name(f"{path.name}.before-{number}")
    attempt = 1
    while target.exists():
        attempt += 1
        target = first.with_name(f"{first.name}.{attempt}")
    partial = target.with_name(f"{target.name}.partial")
    try:
        partial.unlink(missing_ok=True)
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        copy = sqlite3.connect(partial, isolation_level=None)
        try:
            connection.backup(copy)
            pragmas.keep_in_one_file(copy)
            damage = pragmas.damage(copy)
        finally:
            copy.close()
        if damage is not None:
            raise StoreError(
                f"{path}: the database is damaged ({damage}), so it is not upgraded; restore a backup, or start "
                "with another state directory"
            )
        _sync(partial)
        partial.rename(target)
        _sync(target.parent)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(
            f"{target}: cannot copy the database before its upgrade: {error}; make room there for a copy of "
            f"{path} and start again. Nothing was changed"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()
    return target


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def dump_schema(connection: sqlite3.Connection) -> str:
    """Return the SQL that creates the schema of `connection`: tables, then indexes, then triggers."""
    order = {"table": 0, "index": 1, "trigger": 2, "view": 3}
    rows = connection.execute(
        "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'"
    ).fetchall()
    rows.sort(key=lambda row: (order[row[0]], row[1]))
    return "\n\n".join(f"{sql};" for _, _, sql in rows) + "\n"
