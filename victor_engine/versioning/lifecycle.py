"""The life of a version after its registration: deprecated, removed, and taken back."""

from __future__ import annotations

from datetime import datetime

from victor_engine.api import Actor
from victor_engine.clock import to_us
from victor_engine.errors import ConflictError, NotFoundError
from victor_engine.events import EventKind
from victor_engine.store.db import Tx
from victor_engine.store.locks import Root
from victor_engine.store.repositories import definitions
from victor_engine.versioning import aliases
from victor_engine.versioning.catalog import normal_version


def _find(tx: Tx, workflow: str, version: str) -> tuple[int, str]:
    wanted = normal_version(version)
    tx.lock(Root.DEFINITION, workflow)
    row = definitions.version(tx, workflow, wanted)
    if row is None:
        raise NotFoundError(f"there is no {workflow} {wanted}; `victor versions list {workflow}` shows them")
    return row.id, wanted


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
    old = definitions.life(tx, definition_id)
    if old[:3] == (message, successor, at):
        return False
    definitions.deprecate(
        tx, workflow, definition_id, message, successor=successor, removal_at=at, actor=actor
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
    tx.lock(Root.ALIAS, workflow)
    definition_id, normal = _find(tx, workflow, version)
    held = [name for name, at in aliases.all_pointings(tx, workflow) if normal in (at.version, at.other)]
    if held:
        raise ConflictError(
            f"alias {', '.join(held)} of {workflow} points at {normal}; point it elsewhere first, so that "
            "what starts by it goes on"
        )
    known = definitions.life(tx, definition_id)
    told = message or known.deprecated or "it was removed"
    if known.removed == told:
        return False
    definitions.remove(tx, workflow, definition_id, told, actor=actor)
    tx.event(
        EventKind.VERSION_REMOVED, actor=actor, workflow=workflow, data={"version": normal, "message": told}
    )
    return True


def restore(tx: Tx, workflow: str, version: str, actor: Actor | None = None) -> bool:
    """Take a deprecation and a removal back; whether there was one."""
    definition_id, normal = _find(tx, workflow, version)
    if not definitions.restore(tx, workflow, definition_id):
        return False
    tx.event(EventKind.VERSION_RESTORED, actor=actor, workflow=workflow, data={"version": normal})
    return True
