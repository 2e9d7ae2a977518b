"""The lifecycle of registered versions: deprecation, removal and restoration."""

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
    full = normal_version(version)
    tx.lock(Root.DEFINITION, workflow)
    row = definitions.version(tx, workflow, full)
    if row is None:
        raise NotFoundError(
            f"{workflow} has no version {full}; list its versions with `victor versions list {workflow}`"
        )
    return row.id, full


def deprecate(
    tx: Tx,
    workflow: str,
    version: str,
    message: str,
    successor: str | None = None,
    actor: Actor | None = None,
    removal: datetime | None = None,
) -> bool:
    """Mark a version as deprecated, with the planned date of its removal. Return whether that changed anything."""
    definition_id, normal = _find(tx, workflow, version)
    at = to_us(removal) if removal is not None else None
    old = definitions.lifecycle(tx, definition_id)
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
    """Remove a version: new runs cannot start on it, active runs continue. Return whether that changed anything.

    Raises ConflictError, which names the aliases that still point at the version.
    """
    tx.lock(Root.ALIAS, workflow)
    definition_id, normal = _find(tx, workflow, version)
    names = [name for name, at in aliases.all_targets(tx, workflow) if normal in (at.version, at.other)]
    if names:
        raise ConflictError(
            f"alias {', '.join(names)} of {workflow} points at {normal}; point it at another version first"
        )
    known = definitions.lifecycle(tx, definition_id)
    reason = message or known.deprecated or "it was removed"
    if known.removed == reason:
        return False
    _remove(tx, workflow, definition_id, normal, reason, actor)
    return True


def _remove(
    tx: Tx, workflow: str, definition_id: int, version: str, reason: str, actor: Actor | None
) -> None:
    definitions.remove(tx, workflow, definition_id, reason, actor=actor)
    data = {"version": version, "message": reason}
    tx.event(EventKind.VERSION_REMOVED, actor=actor, workflow=workflow, data=data)


def remove_due(tx: Tx, actor: Actor) -> int:
    """Remove the versions whose planned date of removal has passed. Return their number.

    An alias that still points at such a version refuses new runs until it points at another one.
    """
    due = definitions.due_for_removal(tx, tx.now_us)
    for definition_id in due:
        workflow, found = definitions.version_by_id(tx, definition_id)
        reason = definitions.lifecycle(tx, definition_id).deprecated or "its date of removal has passed"
        _remove(tx, workflow, definition_id, found.version, reason, actor)
    return len(due)


def restore(tx: Tx, workflow: str, version: str, actor: Actor | None = None) -> bool:
    """Undo a deprecation and a removal. Return whether the version was deprecated or removed."""
    definition_id, normal = _find(tx, workflow, version)
    if not definitions.restore(tx, workflow, definition_id):
        return False
    tx.event(EventKind.VERSION_RESTORED, actor=actor, workflow=workflow, data={"version": normal})
    return True
