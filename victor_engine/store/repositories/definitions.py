"""The tables `definitions` and `state_migrations`: the versions of workflows, and the migrations between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from victor_engine.api import ASKED_WORKFLOW, Actor
from victor_engine.store.locks import Root
from victor_engine.store.queries.ids import Source
from victor_engine.store.repositories.checks import expect_one
from victor_engine.store.transaction import Tx


class Version(NamedTuple):
    """What decides whether something new starts on a version."""

    id: int
    version: str
    deprecated: str | None
    removed: str | None
    successor: str | None
    in_force: bool
    """Whether the files of the workspace declared it at their last load."""


class Lifecycle(NamedTuple):
    """The lifecycle of a version: its deprecation and removal. `removal_at` is in microseconds."""

    deprecated: str | None
    successor: str | None
    removal_at: int | None
    removed: str | None


def _actor(actor: Actor | None) -> str | None:
    return msgspec.json.encode(actor).decode() if actor is not None else None


# --- reading -----------------------------------------------------------------------------------

_REMOVED = "COALESCE(removed, CASE WHEN removal_at <= ? THEN COALESCE(deprecated, 'its date of removal has passed') END)"
"""The reason of a removal. A transition counts a version as removed from the planned instant on, also before the
engine has stored the removal."""
_VERSION = f"id, version, deprecated, {_REMOVED}, successor, in_force_since IS NOT NULL FROM definitions"


def _now(source: Source) -> int | None:
    return source.now_us if isinstance(source, Tx) else None


def is_known(source: Source, workflow: str) -> bool:
    """Return whether any version of a workflow is registered."""
    row = source.execute("SELECT 1 FROM definitions WHERE workflow = ? LIMIT 1", (workflow,)).fetchone()
    return row is not None


def names(source: Source) -> list[str]:
    """Return the names of all registered workflows, in order, without that of questions from a shell."""
    rows = source.execute(
        "SELECT DISTINCT workflow FROM definitions WHERE workflow <> ? ORDER BY workflow", (ASKED_WORKFLOW,)
    )
    return [workflow for (workflow,) in rows]


def versions(source: Source, workflow: str) -> list[Version]:
    """Return the versions of a workflow, in no order."""
    rows = source.execute(f"SELECT {_VERSION} WHERE workflow = ?", (_now(source), workflow))
    return [Version(*row) for row in rows]


def version_names(source: Source, workflow: str) -> list[str]:
    """Return the names of the versions of a workflow, in no order."""
    rows = source.execute("SELECT version FROM definitions WHERE workflow = ?", (workflow,))
    return [version for (version,) in rows]


def version(source: Source, workflow: str, name: str) -> Version | None:
    """Return a version of a workflow; None if there is none with this name."""
    row = source.execute(
        f"SELECT {_VERSION} WHERE workflow = ? AND version = ?", (_now(source), workflow, name)
    ).fetchone()
    return None if row is None else Version(*row)


def version_by_id(source: Source, definition_id: int) -> tuple[str, Version]:
    """Return the workflow of a definition, and its version."""
    row = source.execute(
        f"SELECT workflow, {_VERSION} WHERE id = ?", (_now(source), definition_id)
    ).fetchone()
    return row[0], Version(*row[1:])


def with_content(source: Source, workflow: str, checksum: str, version: str | None) -> tuple[int, str] | None:
    """Return id and version of a definition with this content; None if there is none.

    With `version` None, of the newest one that has no version of its own.
    """
    sql = "SELECT id, version FROM definitions WHERE workflow = ? AND version = ? AND checksum = ?"
    values: tuple[Any, ...] = (workflow, version, checksum)
    if version is None:
        sql = (
            "SELECT id, version FROM definitions WHERE workflow = ? AND unversioned = 1 AND checksum = ?"
            " ORDER BY id DESC LIMIT 1"
        )
        values = (workflow, checksum)
    row: tuple[int, str] | None = source.execute(sql, values).fetchone()
    return row


def in_force(source: Source, workflow: str) -> tuple[int, str, str | None] | None:
    """Return id, version and file of the version in force; None if no file has declared the workflow."""
    row: tuple[int, str, str | None] | None = source.execute(
        "SELECT id, version, path FROM definitions WHERE workflow = ? AND in_force_since IS NOT NULL",
        (workflow,),
    ).fetchone()
    return row


def of_files(source: Source) -> list[str]:
    """Return the workflows that files have declared, in order."""
    rows = source.execute(
        "SELECT workflow FROM definitions WHERE in_force_since IS NOT NULL ORDER BY workflow"
    )
    return [workflow for (workflow,) in rows]


def places(source: Source, workflow: str) -> list[tuple[str, int, str | None]]:
    """Return version, id and file of each definition of a workflow."""
    rows: list[tuple[str, int, str | None]] = source.execute(
        "SELECT version, id, path FROM definitions WHERE workflow = ?", (workflow,)
    ).fetchall()
    return rows


def content(source: Source, definition_id: int) -> tuple[str, str, str] | None:
    """Return workflow, content (JSON) and version of a definition; None if there is none with this id."""
    row: tuple[str, str, str] | None = source.execute(
        "SELECT workflow, content, version FROM definitions WHERE id = ?", (definition_id,)
    ).fetchone()
    return row


def lifecycle(source: Source, definition_id: int) -> Lifecycle:
    """Return the lifecycle of a version."""
    row = source.execute(
        "SELECT deprecated, successor, removal_at, removed FROM definitions WHERE id = ?", (definition_id,)
    ).fetchone()
    return Lifecycle(*row)


# --- changing ----------------------------------------------------------------------------------


def add(
    tx: Tx,
    workflow: str,
    version: str,
    *,
    checksum: str,
    content: str,
    text: str,
    path: str | None,
    unversioned: bool,
) -> int:
    """Store a version, which never changes; return its id. `content` is JSON."""
    tx.lock(Root.DEFINITION, workflow)
    (definition_id,) = tx.execute(
        "INSERT INTO definitions (workflow, version, checksum, content, text, path, registered_at, unversioned)"
        " VALUES (?,?,?,?,?,?,?,?) RETURNING id",
        (workflow, version, checksum, content, text, path, tx.now_us, int(unversioned)),
    ).fetchone()
    return int(definition_id)


def code(source: Source, definition_id: int) -> dict[str, str] | None:
    """Return the digests of the code of a version by binding; None if they are not stored."""
    row = source.execute("SELECT code FROM definitions WHERE id = ?", (definition_id,)).fetchone()
    return None if row is None or row[0] is None else msgspec.json.decode(row[0], type=dict[str, str])


def put_code(tx: Tx, workflow: str, definition_id: int, digests: Mapping[str, str]) -> None:
    """Store the digests of the code of a version by binding."""
    tx.lock(Root.DEFINITION, workflow)
    text = msgspec.json.encode(digests, order="sorted").decode()
    cursor = tx.execute(
        "UPDATE definitions SET code = ? WHERE id = ? AND workflow = ?", (text, definition_id, workflow)
    )
    expect_one(cursor, "definition", definition_id)


def put_in_force(tx: Tx, workflow: str, definition_id: int) -> None:
    """Store that the files declare this version of a workflow, and no other one."""
    tx.lock(Root.DEFINITION, workflow)
    tx.execute(
        "UPDATE definitions SET in_force_since = NULL WHERE workflow = ? AND in_force_since IS NOT NULL",
        (workflow,),
    )
    cursor = tx.execute(
        "UPDATE definitions SET in_force_since = ? WHERE id = ? AND workflow = ?",
        (tx.now_us, definition_id, workflow),
    )
    expect_one(cursor, "definition", definition_id)


def due_for_removal(source: Source, now: int) -> list[int]:
    """Return the ids of versions whose planned removal is due, by workflow. `now` is in microseconds."""
    rows = source.execute(
        "SELECT id FROM definitions WHERE removal_at <= ? AND removed IS NULL ORDER BY workflow, id", (now,)
    )
    return [int(row[0]) for row in rows]


def next_removal(source: Source) -> int | None:
    """Return the earliest planned removal that has not been done, in microseconds."""
    (found,) = source.execute("SELECT MIN(removal_at) FROM definitions WHERE removed IS NULL").fetchone()
    return None if found is None else int(found)


def delete(tx: Tx, workflow: str, definition_id: int) -> None:
    """Delete a version to which nothing refers."""
    tx.lock(Root.DEFINITION, workflow)
    cursor = tx.execute(
        "DELETE FROM definitions WHERE id = ? AND workflow = ? AND in_force_since IS NULL",
        (definition_id, workflow),
    )
    expect_one(cursor, "definition", definition_id)


def deprecate(
    tx: Tx,
    workflow: str,
    definition_id: int,
    message: str,
    *,
    successor: str | None,
    removal_at: int | None,
    actor: Actor | None,
) -> None:
    """Store that new runs should not start on a version."""
    tx.lock(Root.DEFINITION, workflow)
    cursor = tx.execute(
        "UPDATE definitions SET deprecated = ?, deprecated_at = COALESCE(deprecated_at, ?), deprecated_by = ?,"
        " successor = ?, removal_at = ? WHERE id = ?",
        (message, tx.now_us, _actor(actor), successor, removal_at, definition_id),
    )
    expect_one(cursor, "definition", definition_id)


def remove(tx: Tx, workflow: str, definition_id: int, message: str, *, actor: Actor | None) -> None:
    """Store that nothing new starts on a version."""
    tx.lock(Root.DEFINITION, workflow)
    cursor = tx.execute(
        "UPDATE definitions SET removed = ?, removed_at = COALESCE(removed_at, ?), removed_by = ? WHERE id = ?",
        (message, tx.now_us, _actor(actor), definition_id),
    )
    expect_one(cursor, "definition", definition_id)


def restore(tx: Tx, workflow: str, definition_id: int) -> bool:
    """Take a deprecation and a removal back; return whether there was one."""
    tx.lock(Root.DEFINITION, workflow)
    cursor = tx.execute(
        "UPDATE definitions SET deprecated = NULL, deprecated_at = NULL, deprecated_by = NULL, successor = NULL,"
        " removal_at = NULL, removed = NULL, removed_at = NULL, removed_by = NULL"
        " WHERE id = ? AND (deprecated IS NOT NULL OR removed IS NOT NULL)",
        (definition_id,),
    )
    return cursor.rowcount > 0


# --- migrations --------------------------------------------------------------------------------


def migration_checksum(source: Source, workflow: str, from_version: str, to_version: str) -> str | None:
    """Return the checksum of the migration between two versions; None if none is registered."""
    row = source.execute(
        "SELECT checksum FROM state_migrations WHERE workflow = ? AND from_version = ? AND to_version = ?",
        (workflow, from_version, to_version),
    ).fetchone()
    return None if row is None else str(row[0])


def migration_checksums(source: Source, workflow: str) -> set[str]:
    """Return the checksums of all migrations of a workflow."""
    rows = source.execute("SELECT checksum FROM state_migrations WHERE workflow = ?", (workflow,))
    return {checksum for (checksum,) in rows}


def migrations(source: Source, workflow: str) -> list[str]:
    """Return the migrations of a workflow as JSON, in the order of their registration."""
    rows = source.execute("SELECT content FROM state_migrations WHERE workflow = ? ORDER BY id", (workflow,))
    return [content for (content,) in rows]


def add_migration(
    tx: Tx, workflow: str, from_version: str, to_version: str, *, content: str, checksum: str
) -> None:
    """Store a migration, which never changes. `content` is JSON."""
    tx.lock(Root.DEFINITION, workflow)
    tx.execute(
        "INSERT INTO state_migrations (workflow, from_version, to_version, content, checksum, registered_at)"
        " VALUES (?,?,?,?,?,?)",
        (workflow, from_version, to_version, content, checksum, tx.now_us),
    )
