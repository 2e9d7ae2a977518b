"""Workflows, their versions, and what a version looks like."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from victor_engine import jsonio
from victor_engine.api import DefinitionInfo, GraphInfo, VersionInfo, VersionStatus, WorkflowInfo
from victor_engine.clock import from_us
from victor_engine.errors import NotFoundError
from victor_engine.precedence import version_order
from victor_engine.store.db import actor_from_json
from victor_engine.store.queries.text import ACTIVE, instant

_COLUMNS = (
    "id, version, checksum, registered_at, path, unversioned, deprecated, deprecated_by, successor,"
    " deprecated_at, removal_at, removed, removed_at"
)


def current_version(connection: sqlite3.Connection, workflow: str) -> str | None:
    """The version that `latest` means; None where nothing is registered."""
    return latest_of(
        connection.execute(
            "SELECT version, deprecated, removed FROM definitions WHERE workflow = ?", (workflow,)
        ).fetchall()
    )


def latest_of(rows: list[tuple[str, str | None, str | None]]) -> str | None:
    """What `latest` means: the highest version that is no prerelease and neither deprecated nor removed.

    Where there is none, a deprecated one counts before a prerelease, and either before a removed one.
    """

    def rank(row: tuple[str, str | None, str | None]) -> tuple[Any, ...]:
        version, deprecated, removed = row
        return (
            removed is None,
            "-" not in version.partition("+")[0],
            deprecated is None,
            version_order(version),
        )

    return max(rows, key=rank)[0] if rows else None


@dataclass(slots=True)
class _Use:
    """Who uses which version, read once for all workflows."""

    active: dict[int, int]
    totals: dict[int, int]
    schedules: dict[str, list[str | None]]
    aliases: dict[str, list[tuple[str, str, str | None, int]]]
    migrations: dict[str, list[tuple[str, str]]]


Choose = Callable[[str, list[str]], str | None]
"""The newest of some versions that a range allows, or None."""


def no_ranges(spec: str, versions: list[str]) -> str | None:
    return None


def workflows(
    connection: sqlite3.Connection, only: str | None = None, *, choose: Choose = no_ranges
) -> list[WorkflowInfo]:
    """Every workflow that was ever registered (or one), by name, with its versions, newest first."""
    where, given = ("", ()) if only is None else (" WHERE workflow = ?", (only,))
    rows: dict[str, list[Any]] = {}
    for row in connection.execute(
        f"SELECT workflow, {_COLUMNS} FROM definitions{where} ORDER BY workflow", given
    ):
        rows.setdefault(row[0], []).append(row[1:])
    use = _use(connection)
    return [_workflow(connection, name, found, use, choose) for name, found in rows.items()]


def _use(connection: sqlite3.Connection) -> _Use:
    active = connection.execute(
        f"SELECT definition_id, COUNT(*) FROM runs WHERE status IN {ACTIVE} GROUP BY 1"
    )
    use = _Use(
        dict(active), dict(connection.execute("SELECT definition_id, runs FROM run_totals")), {}, {}, {}
    )
    for workflow, spec in connection.execute(
        "SELECT workflow, json_extract(spec, '$.version') FROM schedules WHERE removed_at IS NULL"
    ):
        use.schedules.setdefault(workflow, []).append(spec)
    for workflow, *pointing in connection.execute(
        "SELECT named.workflow, named.alias, p.version, p.other, p.weight FROM aliases named"
        " JOIN pointings p ON p.id = named.pointing_id ORDER BY named.workflow, named.alias"
    ):
        use.aliases.setdefault(workflow, []).append(tuple(pointing))
    for workflow, source, target in connection.execute(
        "SELECT workflow, from_version, to_version FROM state_migrations ORDER BY id"
    ):
        use.migrations.setdefault(workflow, []).append((target, source))
    return use


def _scheduled(
    asked: list[str | None],
    rows: list[Any],
    current: str | None,
    aliases: dict[str, tuple[str, ...]],
    choose: Choose,
) -> dict[str, int]:
    """How many schedules start on each version; with a split alias, on both of its versions."""
    found: dict[str, int] = {}
    fresh = [row[1] for row in rows if row[6] is None and row[11] is None] or [row[1] for row in rows]
    known = {row[1] for row in rows}
    for spec in asked:
        if spec is None or spec == "latest":
            hit: tuple[str, ...] = (current,) if current is not None else ()
        elif spec in aliases:
            hit = aliases[spec]
        elif spec in known:
            hit = (spec,)
        else:
            chosen = choose(spec, fresh)
            hit = (chosen,) if chosen is not None else ()
        for version in hit:
            found[version] = found.get(version, 0) + 1
    return found


def _status(row: Any, current: bool, starts: bool, ramping: bool, active: int, total: int) -> VersionStatus:
    if row[11] is not None:
        return "removed"
    if row[6] is not None:
        return "deprecated"
    if current or starts:
        return "ramping" if ramping else "current"
    if active:
        return "draining"
    return "drained" if total else "unused"


def _workflow(
    connection: sqlite3.Connection, name: str, rows: list[Any], use: _Use, choose: Choose
) -> WorkflowInfo:
    rows.sort(key=lambda row: version_order(row[1]), reverse=True)
    current = latest_of([(row[1], row[6], row[11]) for row in rows])
    migrations: dict[str, list[str]] = {}
    for target, source in use.migrations.get(name, ()):
        migrations.setdefault(target, []).append(source)
    pointing: dict[str, list[str]] = {}
    share: dict[str, int] = {}
    sides: dict[str, tuple[str, ...]] = {}
    ramping: set[str] = set()
    for alias, version, other, weight in use.aliases.get(name, ()):
        sides[alias] = (version,) if other is None else (version, other)
        for side in sides[alias]:
            pointing.setdefault(side, []).append(alias)
        if other is not None:
            share[version], share[other] = 100 - weight, weight
            ramping.add(other)
    scheduled = _scheduled(use.schedules.get(name, []), rows, current, sides, choose)
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
            active_runs=use.active.get(row[0], 0),
            total_runs=use.totals.get(row[0], 0),
            schedules=scheduled.get(row[1], 0),
            migrations_from=tuple(migrations.get(row[1], ())),
            status=_status(
                row,
                row[1] == current,
                row[1] in pointing or row[1] in scheduled,
                row[1] in ramping,
                use.active.get(row[0], 0),
                use.totals.get(row[0], 0),
            ),
            aliases=tuple(pointing.get(row[1], ())),
            share=share.get(row[1]),
            deprecated_at=instant(row[9]),
            removal_at=instant(row[10]),
            removed=row[11],
            removed_at=instant(row[12]),
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
