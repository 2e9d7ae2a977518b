"""The transitions of one transaction. Each succeeds or fails independently.

A transition runs under a savepoint of its own. A *plain* transition writes only with `Tx.later` and `Tx.event`, and has
the same effect if it is called twice. It needs no savepoint: the rows of a failed one are dropped, and the rows of many
are written together. If the database refuses those rows, each transition is retried alone. So is a transition that
calls `Tx.apart` because it is not plain.

Plain transitions read only rows that no plain transition writes, and share their reads (`Tx.once`).

The decisions among the events are appended to the audit chain at the end of each transition, after all other locks.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import suppress

from victor_engine.store.outage import Job, storage_code
from victor_engine.store.repositories import audit
from victor_engine.store.transaction import Mark, NotPlainError, Tx


def run_group(tx: Tx, group: Iterable[Job]) -> None:
    """Run transitions in order, and set their results and errors.

    Raise only if the whole transaction is lost (disk full, I/O error).
    """
    held: list[Job] = []
    begin = tx.mark()
    for job in group:
        if job.plain and _run_plain(tx, job, held):
            continue
        _write_held(tx, held, begin)
        _run_alone(tx, job)
        held, begin = [], tx.mark()
    _write_held(tx, held, begin)


def _run_plain(tx: Tx, job: Job, held: list[Job]) -> bool:
    """Run a transition as plain. Return False if it is not plain, whether or not it succeeded otherwise."""
    mark = tx.mark()
    tx.begin()
    tx.plain = True
    try:
        job.result = job.run(tx)
        held.append(job)
    except NotPlainError:
        tx.rewind(mark)
        return False
    except BaseException as error:
        tx.rewind(mark)
        job.error = error
    finally:
        tx.plain = False
    return True


def _write_held(tx: Tx, held: list[Job], begin: Mark) -> None:
    if not held:
        return
    tx.execute("SAVEPOINT held")
    try:
        tx.flush()
        audit.append(tx, tx.events[begin[0] :])
    except sqlite3.Error as error:
        _refuse_if_lost(tx, error)
        tx.execute("ROLLBACK TO held")
        tx.rewind(begin)
        for job in held:
            _run_alone(tx, job)
    tx.execute("RELEASE held")


def _run_alone(tx: Tx, job: Job) -> None:
    tx.forget()
    mark = tx.mark()
    tx.begin()
    tx.execute("SAVEPOINT transition")
    try:
        job.result = job.run(tx)
        tx.flush()
        audit.append(tx, tx.events[mark[0] :])
    except BaseException as error:
        _refuse_if_lost(tx, error)
        tx.execute("ROLLBACK TO transition")
        tx.rewind(mark)
        job.error = error
    tx.execute("RELEASE transition")


def _refuse_if_lost(tx: Tx, error: BaseException) -> None:
    if not tx.connection.in_transaction or storage_code(error) is not None:
        raise error


def roll_back(connection: sqlite3.Connection) -> None:
    """Roll back a lost transaction, if SQLite has not done so."""
    if connection.in_transaction:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
