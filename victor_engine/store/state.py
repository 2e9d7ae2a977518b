"""The state of a run, rebuilt from the last whole state and the patches since."""

from __future__ import annotations

import sqlite3
import sys
from typing import Any

from victor_engine import jsonio
from victor_engine.store.patch import Patch
from victor_engine.store.shared_values import restore, shared_in, without
from victor_engine.store.transaction import Tx

EDIT = "@edit"
"""The node id and node type of an attempt that records a change of the state by an operator. No node of a definition
has this type."""


ITEM = "item"
"""The node type of an attempt for one item of a map. Its node id is the node and the key of the item."""


_SHARED = "_shared"
"""The key of a whole state for the values that are stored once, see `shared_values`."""


def state_json(state: dict[str, Any]) -> str:
    """Return the stored form of a whole state."""
    shared = shared_in(state)
    return jsonio.dumps_text({**without(state, shared), _SHARED: shared} if shared else state)


def read_state(text: str) -> dict[str, Any]:
    """Return a whole state from its stored form."""
    state: dict[str, Any] = jsonio.loads(text)
    if _SHARED in state:
        restore(state, state.pop(_SHARED))
    return state


def run_state(
    connection: sqlite3.Connection, run_key: int, until_attempt: int | None = None
) -> dict[str, Any]:
    """Return the state of a run after its last committed node, or after attempt `until_attempt`.

    The changes of attempts inside a parallel, team or map are in the patch of the node that joins them.
    """
    return run_state_sized(connection, run_key, until_attempt)[0]


def run_state_sized(
    connection: sqlite3.Connection, run_key: int, until_attempt: int | None = None
) -> tuple[dict[str, Any], int]:
    """Return the state of a run, and the length of the JSON of its last whole state."""
    latest = sys.maxsize if until_attempt is None else until_attempt
    snapshot, since = connection.execute(
        "SELECT state, after_attempt FROM run_states WHERE run_key = ? AND after_attempt <= ?"
        " ORDER BY after_attempt DESC LIMIT 1",
        (run_key, latest),
    ).fetchone()
    # The given state is stored as it is, and can have any key.
    state = read_state(snapshot) if since else jsonio.loads(snapshot)
    for (patch,) in connection.execute(
        "SELECT patch FROM attempts WHERE run_key = ? AND id > ? AND id <= ? AND parent IS NULL"
        " AND patch IS NOT NULL ORDER BY id",
        (run_key, since, latest),
    ):
        Patch.from_json(patch).apply(state)
    return state, len(snapshot)


def given_state(source: sqlite3.Connection | Tx, run_key: int) -> str:
    """Return the initial state of a run as JSON."""
    row = source.execute(
        "SELECT state FROM run_states WHERE run_key = ? AND after_attempt = 0", (run_key,)
    ).fetchone()
    return str(row[0])
