"""Queries of workflows and their versions, with the users of each version."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from victor_engine import jsonio
from victor_engine.api import ASKED_WORKFLOW, VersionInfo, VersionsShown, VersionStatus, WorkflowInfo
from victor_engine.clock import from_us
from victor_engine.precedence import version_order
from victor_engine.store.db import actor_from_json
from victor_engine.store.queries.conversions import ACTIVE, instant

Choose = Callable[[str, list[str]], str | None]
"""The newest of some versions that a range allows, or None."""


def no_ranges(spec: str, versions: list[str]) -> str | None:
    return None


class _Known(NamedTuple):
    """What has to be known of every version to tell anything of one."""

    workflow: str
    id: int
    version: str
    deprecated: str | None
    removed: str | None

    @property
    def noticed(self) -> bool:
        return self.deprecated is not None or self.removed is not None


def current_version(connection: sqlite3.Connection, workflow: str) -> str | None:
    """Return the version that `latest` means; None if the workflow has no version."""
    rows = connection.execute(
        "SELECT version, deprecated, removed FROM definitions WHERE workflow = ?", (workflow,)
    )
    return latest_of(rows.fetchall(), in_force(connection, workflow).get(workflow))


def in_force(connection: sqlite3.Connection, only: str | None = None) -> dict[str, str]:
    """Return the version in force of each workflow (or of one) that files have declared."""
    rows = connection.execute(
        "SELECT workflow, version FROM definitions WHERE in_force_since IS NOT NULL AND workflow = COALESCE(?, workflow)",
        (only,),
    )
    return dict(rows.fetchall())


def latest_of(rows: Iterable[tuple[str, str | None, str | None]], declared: str | None = None) -> str | None:
    """What `latest` means, of versions with their deprecation and removal (None: neither).

    The version in force, which the files declared (`declared`), unless it is removed. Otherwise the highest version
    that is not a prerelease, deprecated or removed. If none exists, a deprecated one counts before a prerelease, and
    either before a removed one.
    """
    best: tuple[tuple[bool, ...], tuple[Any, ...], str] | None = None
    for version, deprecated, removed in rows:
        rank = (
            removed is None,
            version == declared,
            "-" not in version.partition("+")[0],
            deprecated is None,
        )
        if best is None or rank >= best[0]:
            found = rank, version_order(version), version
            if best is None or found > best:
                best = found
    return None if best is None else best[2]


@dataclass(slots=True)
class _Use:
    """The users of each version, read once for all workflows."""

    active: dict[int, int]
    totals: dict[int, int]
    schedules: dict[str, list[str | None]] = field(default_factory=dict)
    aliases: dict[str, list[tuple[str, str, str | None, int]]] = field(default_factory=dict)
    migrations: dict[str, list[tuple[str, str]]] = field(default_factory=dict)


def _use(connection: sqlite3.Connection) -> _Use:
    active = connection.execute(
        f"SELECT definition_id, COUNT(*) FROM runs WHERE status IN {ACTIVE} GROUP BY 1"
    )
    use = _Use(dict(active), dict(connection.execute("SELECT definition_id, runs FROM run_totals")))
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


def workflows(
    connection: sqlite3.Connection,
    only: str | None = None,
    shown: VersionsShown = "all",
    *,
    choose: Choose = no_ranges,
) -> list[WorkflowInfo]:
    """Every workflow that was ever registered (or one), by name, with its versions, newest first.

    The definition of questions from a shell is not one of them.

    `shown` leaves versions out: with `heads` each workflow has its current one alone, with `notices`
    there are only those that are deprecated or removed.
    """
    known = _known(connection, only)
    declared = in_force(connection, only)
    current = {name: latest_of((row[2:] for row in rows), declared.get(name)) for name, rows in known.items()}
    wanted = {name: _wanted(rows, current[name], shown) for name, rows in known.items()}
    if shown == "notices":
        wanted = {name: rows for name, rows in wanted.items() if rows}
    ids = [row.id for rows in wanted.values() for row in rows]
    details = _details(connection, ids, everything=shown == "all" and only is None)
    use = _use(connection)
    found = []
    for name, rows in wanted.items():
        tree = _Tree.of(name, known[name], current[name], use, choose)
        rows.sort(key=lambda row: version_order(row.version), reverse=True)
        found.append(
            WorkflowInfo(
                name=name,
                description=_description(connection, name, current[name]),
                versions=tuple(tree.info(row, details[row.id]) for row in rows),
                version_count=len(known[name]),
                notice_count=sum(row.noticed for row in known[name]),
            )
        )
    return found


def _known(connection: sqlite3.Connection, only: str | None) -> dict[str, list[_Known]]:
    where, given = " WHERE workflow <> ?", [ASKED_WORKFLOW]
    if only is not None:
        where, given = f"{where} AND workflow = ?", [*given, only]
    rows = connection.execute(
        f"SELECT workflow, id, version, deprecated, removed FROM definitions{where} ORDER BY workflow", given
    )
    return {name: list(group) for name, group in groupby(map(_Known._make, rows), itemgetter(0))}


def _wanted(rows: list[_Known], current: str | None, shown: VersionsShown) -> list[_Known]:
    if shown == "heads":
        return [row for row in rows if row.version == current]
    if shown == "notices":
        return [row for row in rows if row.noticed]
    return list(rows)


_DETAILS = (
    "SELECT id, checksum, registered_at, path, unversioned, deprecated_by, successor, deprecated_at, removal_at,"
    " removed_at, code FROM definitions"
)


def _details(
    connection: sqlite3.Connection, ids: list[int], *, everything: bool
) -> dict[int, tuple[Any, ...]]:
    if everything:
        rows = connection.execute(_DETAILS)
    else:
        rows = connection.execute(
            f"{_DETAILS} WHERE id IN (SELECT value FROM json_each(?))", (jsonio.dumps_text(ids),)
        )
    return {row[0]: row[1:] for row in rows}


@dataclass(slots=True)
class _Tree:
    """The versions of one workflow, with the references to each of them."""

    name: str
    current: str | None
    use: _Use
    scheduled: dict[str, int]
    pointing: dict[str, list[str]] = field(default_factory=dict)
    share: dict[str, int] = field(default_factory=dict)
    ramping: set[str] = field(default_factory=set)
    migrations: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str, rows: list[_Known], current: str | None, use: _Use, choose: Choose) -> _Tree:
        tree = cls(name, current, use, {})
        for target, source in use.migrations.get(name, ()):
            tree.migrations.setdefault(target, []).append(source)
        sides: dict[str, tuple[str, ...]] = {}
        for alias, version, other, weight in use.aliases.get(name, ()):
            sides[alias] = (version,) if other is None else (version, other)
            for side in sides[alias]:
                tree.pointing.setdefault(side, []).append(alias)
            if other is not None:
                tree.share[version], tree.share[other] = 100 - weight, weight
                tree.ramping.add(other)
        asked = use.schedules.get(name)
        if asked:
            tree.scheduled = _scheduled(asked, rows, current, sides, choose)
        return tree

    def info(self, row: _Known, details: tuple[Any, ...]) -> VersionInfo:
        checksum, registered_at, path, unversioned, by, successor, since, removal, removed_at, code = details
        return VersionInfo(
            workflow=self.name,
            version=row.version,
            checksum=checksum,
            registered_at=from_us(registered_at),
            path=path,
            current=row.version == self.current,
            unversioned=bool(unversioned),
            deprecated=row.deprecated,
            deprecated_by=None if by is None else actor_from_json(by).user,
            successor=successor,
            active_runs=self.use.active.get(row.id, 0),
            total_runs=self.use.totals.get(row.id, 0),
            schedules=self.scheduled.get(row.version, 0),
            migrations_from=tuple(self.migrations.get(row.version, ())),
            status=self._status(row),
            aliases=tuple(self.pointing.get(row.version, ())),
            share=self.share.get(row.version),
            deprecated_at=instant(since),
            removal_at=instant(removal),
            removed=row.removed,
            removed_at=instant(removed_at),
            code={} if code is None else jsonio.loads(code),
        )

    def _status(self, row: _Known) -> VersionStatus:
        if row.removed is not None:
            return "removed"
        if row.deprecated is not None:
            return "deprecated"
        if row.version == self.current or row.version in self.pointing or row.version in self.scheduled:
            return "ramping" if row.version in self.ramping else "current"
        if self.use.active.get(row.id):
            return "draining"
        # A version keeps its row of totals when its runs moved to another version.
        return "drained" if row.id in self.use.totals else "unused"


def _scheduled(
    asked: list[str | None],
    rows: list[_Known],
    current: str | None,
    sides: dict[str, tuple[str, ...]],
    choose: Choose,
) -> dict[str, int]:
    """Return the number of schedules that start on each version; for a split alias, on both of its versions."""
    found: dict[str, int] = {}
    known = [row.version for row in rows]
    fresh = [row.version for row in rows if row.deprecated is None and row.removed is None] or known
    for spec in asked:
        if spec is None or spec == "latest":
            hit: tuple[str, ...] = (current,) if current is not None else ()
        elif spec in sides:
            hit = sides[spec]
        elif spec in known:
            hit = (spec,)
        else:
            chosen = choose(spec, fresh)
            hit = (chosen,) if chosen is not None else ()
        for version in hit:
            found[version] = found.get(version, 0) + 1
    return found


def _description(connection: sqlite3.Connection, workflow: str, version: str | None) -> str:
    row = connection.execute(
        "SELECT json_extract(content, '$.description') FROM definitions WHERE workflow = ? AND version = ?",
        (workflow, version),
    ).fetchone()
    return str(row[0]) if row and row[0] else ""
