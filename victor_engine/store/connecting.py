"""Connections to the database of a store."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from victor_engine.errors import StoreError
from victor_engine.store import pragmas
from victor_engine.store.outage import storage_error


def connect(path: Path | str, *, readonly: bool = False) -> sqlite3.Connection:
    """Return a connection with the settings of the product: WAL, full durability, cached statements."""
    try:
        connection = sqlite3.connect(
            Path(path).absolute().as_uri() + ("?mode=ro" if readonly else ""),
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=512,
            timeout=10.0,
        )
        if readonly:
            pragmas.set_up_reader(connection)
        else:
            pragmas.set_up_writer(connection)
    except sqlite3.Error as error:
        known = storage_error(Path(path), error)
        raise known or StoreError(f"{path}: cannot open the database: {error}") from error
    return connection
