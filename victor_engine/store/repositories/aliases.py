"""The tables `aliases` and `pointings`: where each alias points, and where it has pointed."""

from __future__ import annotations

from typing import NamedTuple

from victor_engine.api import Actor
from victor_engine.store.locks import Root
from victor_engine.store.queries.ids import Source
from victor_engine.store.repositories.checks import expect_one
from victor_engine.store.transaction import Tx, actor_json


class StoredPointing(NamedTuple):
    """Where an alias points: `other`, if there is one, takes `weight` percent of what starts."""

    id: int
    version: str
    other: str | None
    weight: int


def pointing(source: Source, workflow: str, alias: str) -> StoredPointing | None:
    """Return the target of an alias; None if the alias does not exist."""
    row = source.execute(
        "SELECT p.id, p.version, p.other, p.weight FROM aliases a JOIN pointings p ON p.id = a.pointing_id"
        " WHERE a.workflow = ? AND a.alias = ?",
        (workflow, alias),
    ).fetchone()
    return None if row is None else StoredPointing(*row)


def pointings(source: Source, workflow: str) -> list[tuple[str, StoredPointing]]:
    """Return each alias of a workflow with where it points, by name."""
    rows = source.execute(
        "SELECT a.alias, p.id, p.version, p.other, p.weight FROM aliases a"
        " JOIN pointings p ON p.id = a.pointing_id WHERE a.workflow = ? ORDER BY a.alias",
        (workflow,),
    )
    return [(row[0], StoredPointing(*row[1:])) for row in rows]


def history(source: Source, workflow: str, alias: str) -> list[tuple[str | None, str | None, str]]:
    """Return version, other version and action of each pointing of an alias, oldest first."""
    rows: list[tuple[str | None, str | None, str]] = source.execute(
        "SELECT version, other, action FROM pointings WHERE workflow = ? AND alias = ? ORDER BY id",
        (workflow, alias),
    ).fetchall()
    return rows


def record(
    tx: Tx,
    workflow: str,
    alias: str,
    version: str | None,
    other: str | None,
    weight: int,
    action: str,
    *,
    actor: Actor | None,
    note: str,
) -> int:
    """Store a pointing in the history of an alias; return its id."""
    tx.lock(Root.ALIAS, workflow)
    (pointing_id,) = tx.execute(
        "INSERT INTO pointings (workflow, alias, version, other, weight, action, at, actor, note)"
        " VALUES (?,?,?,?,?,?,?,?,?) RETURNING id",
        (workflow, alias, version, other, weight, action, tx.now_us, actor_json(actor), note),
    ).fetchone()
    return int(pointing_id)


def put(tx: Tx, workflow: str, alias: str, pointing_id: int) -> None:
    """Let an alias point where a recorded pointing says."""
    tx.lock(Root.ALIAS, workflow)
    tx.execute(
        "INSERT INTO aliases (workflow, alias, pointing_id) VALUES (?,?,?)"
        " ON CONFLICT (workflow, alias) DO UPDATE SET pointing_id = excluded.pointing_id",
        (workflow, alias, pointing_id),
    )


def delete(tx: Tx, workflow: str, alias: str) -> None:
    """Delete an alias and keep its history."""
    tx.lock(Root.ALIAS, workflow)
    cursor = tx.execute("DELETE FROM aliases WHERE workflow = ? AND alias = ?", (workflow, alias))
    expect_one(cursor, "alias", f"{alias} of {workflow}")
