"""A part of a transition that can fail alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from victor_engine.store.transaction import Tx


@contextmanager
def savepoint(tx: Tx) -> Iterator[None]:
    """Roll back the writes of the body if it raises, and raise the error again.

    An error of the database is not rolled back here, because it concerns the whole transaction.
    """
    mark = tx.mark()
    tx.execute("SAVEPOINT part")
    try:
        yield
    except sqlite3.Error:
        raise
    except BaseException:
        tx.execute("ROLLBACK TO part")
        tx.rewind(mark)
        tx.execute("RELEASE part")
        raise
    tx.execute("RELEASE part")
