"""The keys with which programs started runs."""

from __future__ import annotations

from victor_engine.store.db import Tx
from victor_engine.store.locks import Root


def run_of(tx: Tx, uid: int, key: str) -> tuple[str, str] | None:
    """Return the id and the workflow of the run that a user started with a key; None if there is none."""
    found = tx.execute(
        "SELECT r.id, r.workflow FROM start_keys k JOIN runs r ON r.key = k.run_key WHERE k.uid = ? AND k.key = ?",
        (uid, key),
    ).fetchone()
    return None if found is None else (str(found[0]), str(found[1]))


def add(tx: Tx, uid: int, key: str, run_key: int) -> None:
    """Store the key of a new run."""
    tx.lock(Root.RUN, run_key)
    tx.execute("INSERT INTO start_keys (uid, key, run_key) VALUES (?,?,?)", (uid, key, run_key))
