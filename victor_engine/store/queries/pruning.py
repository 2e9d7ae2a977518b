"""What refers to the versions of workflows, for their pruning."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

from victor_engine import jsonio


def checksums(connection: sqlite3.Connection, workflow: str) -> dict[str, tuple[int, str]]:
    """Return the id and the checksum of each version of a workflow, the oldest first."""
    found = connection.execute(
        "SELECT version, id, checksum FROM definitions WHERE workflow = ? ORDER BY id", (workflow,)
    )
    return {version: (definition_id, checksum) for version, definition_id, checksum in found}


def newest(connection: sqlite3.Connection) -> int | None:
    """Return the id of the version that was registered last."""
    (found,) = connection.execute("SELECT MAX(id) FROM definitions").fetchone()
    return None if found is None else int(found)


def with_runs(connection: sqlite3.Connection, workflow: str) -> set[int]:
    """Return the ids of the versions on which runs are."""
    found = connection.execute(
        "SELECT id FROM definitions d WHERE workflow = ?"
        " AND EXISTS (SELECT 1 FROM runs r WHERE r.workflow = d.workflow AND r.definition_id = d.id)",
        (workflow,),
    )
    return {int(definition_id) for (definition_id,) in found}


def attempted(connection: sqlite3.Connection, *, after: int) -> tuple[int, set[int]]:
    """Return the last attempt, and the ids of the versions of all attempts after `after`."""
    (last,) = connection.execute("SELECT COALESCE(MAX(id), 0) FROM attempts").fetchone()
    found = connection.execute("SELECT DISTINCT definition_id FROM attempts WHERE id > ?", (after,))
    return int(last), {int(definition_id) for (definition_id,) in found}


def moved(connection: sqlite3.Connection, workflow: str) -> set[str]:
    """Return the versions from which or to which runs moved."""
    found = connection.execute(
        "SELECT DISTINCT from_version, to_version FROM run_migrations WHERE workflow = ?", (workflow,)
    )
    return {version for pair in found for version in pair}


def pointed(connection: sqlite3.Connection, workflow: str) -> list[tuple[str, str]]:
    """Return each alias of a workflow with each version that it points at or has pointed at."""
    found = connection.execute(
        "SELECT DISTINCT p.alias, p.version, p.other FROM pointings p JOIN aliases a USING (workflow, alias)"
        " WHERE p.workflow = ?",
        (workflow,),
    )
    return [(alias, version) for alias, *both in found for version in both if version is not None]


def child_versions(connection: sqlite3.Connection, workflow: str) -> list[tuple[str, str]]:
    """Return the workflows whose nodes start a workflow with a version or range, with that version or range."""
    found = connection.execute(
        "SELECT workflow, content FROM definitions WHERE instr(content, ?) > 0",
        (jsonio.dumps_text(workflow),),
    )
    return [(parent, spec) for parent, content in found for spec in _specs(jsonio.loads(content), workflow)]


def _specs(content: Any, workflow: str) -> Iterator[str]:
    if isinstance(content, dict):
        if content.get("workflow") == workflow and content.get("version") is not None:
            yield str(content["version"])
        content = list(content.values())
    if isinstance(content, list):
        for each in content:
            yield from _specs(each, workflow)
