"""The numbered schema: migrations are SQL files that are applied in order, each in a transaction."""

from __future__ import annotations

import sqlite3
from importlib import resources

from victor_engine.errors import StoreError


def _migrations() -> list[tuple[int, str, str]]:
    folder = resources.files("victor_engine.store") / "migrations"
    found = [
        (int(entry.name.split("_", 1)[0]), entry.name, entry.read_text("utf-8"))
        for entry in folder.iterdir()
        if entry.name.endswith(".sql")
    ]
    return sorted(found)


def schema_version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def newest_version() -> int:
    return _migrations()[-1][0]


def check(connection: sqlite3.Connection, path: str) -> None:
    """Raise StoreError unless the schema is exactly the one this product reads."""
    version = schema_version(connection)
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


def migrate(connection: sqlite3.Connection, path: str) -> None:
    """Bring the schema up to date; each step is all or nothing."""
    version = schema_version(connection)
    if version > newest_version():
        check(connection, path)
    for number, name, sql in _migrations():
        if number <= version:
            continue
        try:
            connection.executescript(f"BEGIN IMMEDIATE;\n{sql}\nPRAGMA user_version = {number};\nCOMMIT;")
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise StoreError(f"{path}: cannot apply schema step {name}: {error}") from error
