"""The life of a version after its registration: deprecated, removed, and taken back."""

from __future__ import annotations

from datetime import datetime

import msgspec

from victor_engine.api import Actor
from victor_engine.clock import to_us
from victor_engine.errors import ConflictError, NotFoundError
from victor_engine.events import EventKind
from victor_engine.store.db import Tx
from victor_engine.versioning import aliases
from victor_engine.versioning.catalog import normal_version


def _find(tx: Tx, workflow: str, version: str) -> tuple[int, str]:
    wanted = normal_version(version)
    row = tx.execute(
        "SELECT id FROM definitions WHERE workflow = ? AND version = ?", (workflow, wanted)
    ).fetchone()
    if row is None:
        raise NotFoundError(f"there is no {workflow} {wanted}; `victor versions list {workflow}` shows them")
    return int(row[0]), wanted


def _actor(actor: Actor | None) -> str | None:
    return msgspec.json.encode(actor).decode() if actor is not None else None


def deprecate(
    tx: Tx,
    workflow: str,
    version: str,
    message: str,
    successor: str | None = None,
    actor: Actor | None = None,
    removal: datetime | None = None,
) -> bool:
    """Mark a version, with the date from which nothing new is to start on it; whether that changed anything."""
    definition_id, normal = _find(tx, workflow, version)
    at = to_us(removal) if removal is not None else None
    old = tx.execute(
        "SELECT deprecated, successor, removal_at FROM definitions WHERE id = ?", (definition_id,)
    ).fetchone()
    if tuple(old) == (message, successor, at):
        return False
    tx.execute(
        "UPDATE definitions SET deprecated = ?, deprecated_at = COALESCE(deprecated_at, ?), deprecated_by = ?,"
        " successor = ?, removal_at = ? WHERE id = ?",
        (message, tx.now_us, _actor(actor), successor, at, definition_id),
    )
    data = {"version": normal, "message": message}
    if successor:
        data["successor"] = successor
    if removal is not None:
        data["removal"] = removal.isoformat()
    tx.event(EventKind.VERSION_DEPRECATED, actor=actor, workflow=workflow, data=data)
    return True


def remove(tx: Tx, workflow: str, version: str, message: str = "", actor: Actor | None = None) -> bool:
    """Let nothing new start on a version; what runs on it goes on. Whether that changed anything.

    ConflictError names the aliases that still point at it.
    """
    definition_id, normal = _find(tx, workflow, version)
    held = [name for name, at in aliases.all_pointings(tx, workflow) if normal in (at.version, at.other)]
    if held:
        raise ConflictError(
            f"alias {', '.join(held)} of {workflow} points at {normal}; point it elsewhere first, so that "
            "what starts by it goes on"
        )
    deprecated, removed = tx.execute(
        "SELECT deprecated, removed FROM definitions WHERE id = ?", (definition_id,)
    ).fetchone()
    told = message or deprecated or "it was removed"
    if removed == told:
        return False
    tx.execute(
        "UPDATE definitions SET removed = ?, removed_at = COALESCE(removed_at, ?), removed_by = ? WHERE id = ?",
        (told, tx.now_us, _actor(actor), definition_id),
    )
    tx.event(
        EventKind.VERSION_REMOVED, actor=actor, workflow=workflow, data={"version": normal, "message": told}
    )
    return True


def restore(tx: Tx, workflow: str, version: str, actor: Actor | None = None) -> bool:
    """Take a deprecation and a removal back; whether there was one."""
    definition_id, normal = _find(tx, workflow, version)
    cursor = tx.execute(
        "UPDATE definitions SET deprecated = NULL, deprecated_at = NULL, deprecated_by = NULL, successor = NULL,"
        " removal_at = NULL, removed = NULL, removed_at = NULL, removed_by = NULL"
        " WHERE id = ? AND (deprecated IS NOT NULL OR removed IS NOT NULL)",
        (definition_id,),
    )
    if cursor.rowcount == 0:
        return False
    tx.event(EventKind.VERSION_RESTORED, actor=actor, workflow=workflow, data={"version": normal})
    return True
