"""The table `suspects`: runs whose content was evaluated when an engine died."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from msgspec import Struct

from victor_engine.store.locks import Root
from victor_engine.store.queries.conversions import marks
from victor_engine.store.repositories.checks import expect_one
from victor_engine.store.transaction import Tx


class Suspect(Struct, frozen=True):
    """A run with the node that was evaluated, and the number of engines that died or were blocked."""

    run_key: int
    node_id: str
    deaths: int
    quarantined: bool

    @property
    def reason(self) -> str:
        """Return why the run is quarantined, and the remedy."""
        place = f"while it evaluated {self.node_id}" if self.node_id else "while it continued this run"
        return (
            f"quarantined: the engine died or was blocked {self.deaths} times {place}. Correct the workflow or the "
            "state, then resume, redrive or cancel the run"
        )


_SELECT = "SELECT run_key, node_id, deaths, quarantined_at IS NOT NULL FROM suspects"


def listed(connection: sqlite3.Connection) -> list[Suspect]:
    """Return all rows."""
    return [Suspect(row[0], row[1], row[2], bool(row[3])) for row in connection.execute(_SELECT)]


def quarantined(connection: sqlite3.Connection, keys: Iterable[int]) -> dict[int, Suspect]:
    """Return the quarantined runs among the given ones, by key."""
    given = list(keys)
    if not given:
        return {}
    rows = connection.execute(
        f"{_SELECT} WHERE quarantined_at IS NOT NULL AND run_key IN ({marks(len(given))})", given
    )
    return {row[0]: Suspect(row[0], row[1], row[2], True) for row in rows}


def all_quarantined(connection: sqlite3.Connection) -> list[tuple[str, Suspect]]:
    """Return the quarantined runs with their ids, the oldest first."""
    rows = connection.execute(
        "SELECT r.id, s.run_key, s.node_id, s.deaths FROM suspects s JOIN runs r ON r.key = s.run_key"
        " WHERE s.quarantined_at IS NOT NULL AND r.status = 'paused' ORDER BY s.run_key"
    )
    return [(row[0], Suspect(row[1], row[2], row[3], True)) for row in rows]


def count(tx: Tx, run_key: int, node_id: str) -> int:
    """Count one more death, and return the number."""
    tx.lock(Root.RUN, run_key)
    (deaths,) = tx.execute(
        "INSERT INTO suspects (run_key, node_id, deaths) VALUES (?, ?, 1) ON CONFLICT (run_key)"
        " DO UPDATE SET deaths = deaths + 1, node_id = excluded.node_id RETURNING deaths",
        (run_key, node_id),
    ).fetchone()
    return int(deaths)


def set_quarantined(tx: Tx, run_key: int) -> None:
    tx.lock(Root.RUN, run_key)
    expect_one(
        tx.execute("UPDATE suspects SET quarantined_at = ? WHERE run_key = ?", (tx.now_us, run_key)),
        "suspect",
        run_key,
    )


def clear(tx: Tx, run_key: int) -> None:
    """Forget the deaths of a run, because it has made progress or an operator continues it."""
    tx.lock(Root.RUN, run_key)
    tx.execute("DELETE FROM suspects WHERE run_key = ?", (run_key,))
