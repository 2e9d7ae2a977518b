"""The reasons why queued runs do not start."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from victor_engine.store.queries.conversions import marks
from victor_engine.store.repositories import meta
from victor_engine.store.repositories.concurrency import holders
from victor_engine.store.repositories.run_rows import HELD


def queue_reasons(connection: sqlite3.Connection, run_keys: Sequence[int]) -> dict[int, str]:
    """Return what queued runs wait for, by their key. A run that is left out waits only for a slot."""
    if not run_keys:
        return {}
    rows = connection.execute(
        f"SELECT r.key, r.workflow, r.concurrency, r.concurrency_held, {HELD},"
        " r.started_at IS NULL AND r.trigger <> 'parent'"
        f" FROM runs r WHERE r.key IN ({marks(len(run_keys))})",
        run_keys,
    ).fetchall()
    drains = meta.draining(connection) is not None
    found: dict[int, str] = {}
    for key, workflow, concurrency, counts, held, new in rows:
        behind = None if counts or concurrency is None else _waits_behind(connection, workflow, concurrency)
        if behind is not None:
            found[key] = behind
        elif held:
            found[key] = "another run of its schedule"
        elif drains and new:
            found[key] = "the end of the drain"
    return found


def _waits_behind(connection: sqlite3.Connection, workflow: str, concurrency: str) -> str | None:
    """Return the run that has the same concurrency key and counts towards its limit."""
    holder = next((each.id for each in holders(connection, workflow, concurrency)), None)
    if holder is None:
        return None
    return f"run {holder}, which has the concurrency key {concurrency}" if concurrency else f"run {holder}"
