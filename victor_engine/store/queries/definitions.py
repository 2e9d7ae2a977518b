"""Workflows, their versions, and what a version looks like."""

from __future__ import annotations

import sqlite3
from functools import lru_cache
from typing import Any

from victor_engine import jsonio
from victor_engine.api import DefinitionInfo, GraphInfo, ScheduleSpec, VersionInfo, WorkflowInfo
from victor_engine.clock import from_us
from victor_engine.errors import NotFoundError
from victor_engine.store.db import actor_from_json
from victor_engine.store.queries.text import ACTIVE

_COLUMNS = "id, version, checksum, registered_at, path, unversioned, deprecated, deprecated_by, successor"


def version_order(version: str) -> tuple[Any, ...]:
    """A key that sorts versions by semver precedence; what is no semver sorts before all that are."""
    import semver

    try:
        return (1, semver.Version.parse(version))
    except ValueError:
        return (0, version)


def current_version(connection: sqlite3.Connection, workflow: str) -> str | None:
    """The version that `latest` means: the highest one that is neither deprecated nor a pre-release,
    else the highest of all; None where nothing is registered."""
    rows = connection.execute(
        "SELECT version, deprecated FROM definitions WHERE workflow = ?", (workflow,)
    ).fetchall()
    stable = [version for version, deprecated in rows if deprecated is None and "-" not in version]
    return max(stable or [row[0] for row in rows], key=version_order, default=None)


def workflows(connection: sqlite3.Connection) -> list[WorkflowInfo]:
    """Every workflow that was ever registered, by name, with its versions, newest first."""
    names = connection.execute("SELECT DISTINCT workflow FROM definitions ORDER BY workflow")
    active = dict(
        connection.execute(f"SELECT definition_id, COUNT(*) FROM runs WHERE status IN {ACTIVE} GROUP BY 1")
    )
    totals = dict(connection.execute("SELECT definition_id, runs FROM run_totals"))
    wanted = _schedule_versions(connection)
    return [_workflow(connection, name, active, totals, wanted) for (name,) in names.fetchall()]


def _schedule_versions(connection: sqlite3.Connection) -> list[tuple[str, str | None]]:
    import msgspec

    rows = connection.execute("SELECT workflow, spec FROM schedules WHERE removed_at IS NULL")
    return [(workflow, msgspec.json.decode(spec, type=ScheduleSpec).version) for workflow, spec in rows]


def _workflow(
    connection: sqlite3.Connection,
    name: str,
    active: dict[int, int],
    totals: dict[int, int],
    wanted: list[tuple[str, str | None]],
) -> WorkflowInfo:
    rows = connection.execute(f"SELECT {_COLUMNS} FROM definitions WHERE workflow = ?", (name,)).fetchall()
    rows.sort(key=lambda row: version_order(row[1]), reverse=True)
    current = current_version(connection, name)
    migrations: dict[str, list[str]] = {}
    for source, target in connection.execute(
        "SELECT from_version, to_version FROM state_migrations WHERE workflow = ? ORDER BY id", (name,)
    ):
        migrations.setdefault(target, []).append(source)
    asked = [current if version in (None, "latest") else version for flow, version in wanted if flow == name]
    versions = tuple(
        VersionInfo(
            workflow=name,
            version=row[1],
            checksum=row[2],
            registered_at=from_us(row[3]),
            path=row[4],
            current=row[1] == current,
            unversioned=bool(row[5]),
            deprecated=row[6],
            deprecated_by=None if row[7] is None else actor_from_json(row[7]).user,
            successor=row[8],
            active_runs=active.get(row[0], 0),
            total_runs=totals.get(row[0], 0),
            schedules=asked.count(row[1]),
            migrations_from=tuple(migrations.get(row[1], ())),
        )
        for row in rows
    )
    return WorkflowInfo(name=name, description=_description(connection, name, current), versions=versions)


def _description(connection: sqlite3.Connection, workflow: str, version: str | None) -> str:
    row = connection.execute(
        "SELECT json_extract(content, '$.description') FROM definitions WHERE workflow = ? AND version = ?",
        (workflow, version),
    ).fetchone()
    return str(row[0]) if row and row[0] else ""


def definition_info(
    connection: sqlite3.Connection, workflow: str, version: str | None = None
) -> DefinitionInfo:
    """One version as it was registered; None or `latest` is the current one."""
    wanted = current_version(connection, workflow) if version in (None, "latest") else version
    row = connection.execute(
        "SELECT id, version, text, content FROM definitions WHERE workflow = ? AND version = ?",
        (workflow, wanted),
    ).fetchone()
    if row is None:
        known = connection.execute("SELECT version FROM definitions WHERE workflow = ?", (workflow,))
        versions = sorted((str(found) for (found,) in known), key=version_order, reverse=True)
        if versions:
            raise NotFoundError(
                f"workflow {workflow!r} has no version {version!r}; it has {', '.join(versions[:10])}"
            )
        names = connection.execute("SELECT DISTINCT workflow FROM definitions ORDER BY 1 LIMIT 10")
        listed = ", ".join(name for (name,) in names) or "none yet"
        raise NotFoundError(f"there is no workflow {workflow!r}; registered are: {listed}")
    return DefinitionInfo(
        workflow=workflow,
        version=row[1],
        text=row[2],
        graph=_graph(workflow, row[3]),
        content=jsonio.loads(row[3]),
    )


def stored_graph(connection: sqlite3.Connection, definition_id: int) -> GraphInfo:
    """The graph of a registered definition."""
    workflow, content = connection.execute(
        "SELECT workflow, content FROM definitions WHERE id = ?", (definition_id,)
    ).fetchone()
    return _graph(workflow, content)


@lru_cache(maxsize=128)
def _graph(workflow: str, content: str) -> GraphInfo:
    """Keyed by the content itself, which never changes once it is stored."""
    from victor_engine.definition.graph import graph_info
    from victor_engine.definition.loader import definition_from_content

    return graph_info(definition_from_content(workflow, jsonio.loads(content)))
