"""The queries of the port on versions and migrations."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from victor_engine.api import (
    AliasChange,
    AliasInfo,
    DefinitionDiff,
    DefinitionInfo,
    MigrationEdge,
    MigrationPreview,
    MigrationReport,
    MigrationSpec,
    ProblemInfo,
    PruneReport,
    RunMigrationInfo,
    VersionsShown,
    WorkflowInfo,
)
from victor_engine.clock import Clock
from victor_engine.engine.migration_planning import Planner
from victor_engine.engine.queries.reader import Reader
from victor_engine.runs.redrive import CheckStart
from victor_engine.store import queries
from victor_engine.versioning import catalog, pruning, stored_migrations
from victor_engine.versioning.aliases import rolls_back_to
from victor_engine.versioning.diff import compare
from victor_engine.versioning.pruning import Declared
from victor_engine.work.migration_functions import Calls, MigrationFunctions

Problems = Callable[[], Mapping[str, Sequence[ProblemInfo]]]
"""Returns the problems of the workspace by workflow."""


def no_problems() -> Mapping[str, Sequence[ProblemInfo]]:
    """Return no problems, because the workspace was not loaded."""
    return {}


class VersionQueries:
    """The queries on versions, aliases and migrations."""

    def __init__(
        self,
        reader: Reader,
        clock: Clock,
        problems: Problems,
        functions: MigrationFunctions,
        declared: Declared,
        check_start: CheckStart | None,
    ) -> None:
        self._reader = reader
        self._clock = clock
        self._problems = problems
        self._functions = functions
        self._declared = declared
        self._check_start = check_start

    async def workflows(
        self, workflow: str | None = None, shown: VersionsShown = "all"
    ) -> list[WorkflowInfo]:
        found = await self._reader.read(queries.workflows, workflow, shown, choose=catalog.in_range)
        problems = self._problems()
        return [
            msgspec.structs.replace(info, problems=tuple(problems[info.name]))
            if info.name in problems
            else info
            for info in found
        ]

    async def definition(self, workflow: str, version: str | None = None) -> DefinitionInfo:
        def look(connection: sqlite3.Connection) -> DefinitionInfo:
            return queries.definition_info(
                connection, workflow, catalog.version_to_show(connection, workflow, version)
            )

        return await self._reader.read(look)

    async def preview_migration(
        self, workflow: str, from_version: str, to_version: str, state: dict[str, Any]
    ) -> MigrationPreview:
        def look(connection: sqlite3.Connection, calls: Calls | None) -> MigrationPreview:
            old = catalog.version_to_show(connection, workflow, from_version) or from_version
            new = catalog.version_to_show(connection, workflow, to_version) or to_version
            load = None if calls is None else calls.load
            return stored_migrations.preview_migration(connection, workflow, old, new, state, load)

        return await self._functions.settled(lambda calls: self._reader.read(look, calls))

    async def diff_versions(self, workflow: str, old: str, new: str) -> DefinitionDiff:
        def look(connection: sqlite3.Connection) -> DefinitionDiff:
            before, after = (
                queries.definition_info(
                    connection, workflow, catalog.version_to_show(connection, workflow, version)
                )
                for version in (old, new)
            )
            renames = stored_migrations.renames_between(connection, workflow, before.version, after.version)
            return compare(before, after, renames)

        return await self._reader.read(look)

    async def migration_graph(self, workflow: str) -> list[MigrationEdge]:
        return await self._reader.read(stored_migrations.migration_graph, workflow)

    async def aliases(self, workflow: str | None = None) -> list[AliasInfo]:
        def look(connection: sqlite3.Connection) -> list[AliasInfo]:
            return [
                msgspec.structs.replace(
                    info, rolls_back_to=rolls_back_to(connection, info.workflow, info.name)
                )
                for info in queries.aliases(connection, workflow)
            ]

        return await self._reader.read(look)

    async def alias_history(self, workflow: str, alias: str) -> list[AliasChange]:
        return await self._reader.read(queries.alias_history, workflow, alias)

    async def plan_migration(self, spec: MigrationSpec) -> MigrationReport:
        def look(connection: sqlite3.Connection, calls: Calls | None) -> MigrationReport:
            planner = Planner(connection, spec, self._clock.now(), calls)
            if self._check_start is not None:
                self._check_start(connection, planner.target.id)
            runs = list(planner.plans(planner.keys()))
            schedules = planner.schedules()
            return MigrationReport(
                spec.workflow,
                planner.to_version,
                False,
                (*planner.not_found, *(planned.move for planned in runs)),
                tuple(move for move, _, _ in schedules),
                plan=planner.document(runs, schedules).token(),
            )

        return await self._functions.settled(lambda calls: self._reader.read(look, calls))

    async def plan_prune(self, workflow: str | None = None) -> PruneReport:
        return await self._reader.read(pruning.plan, workflow, self._declared, self._clock.now())

    async def run_migrations(
        self, workflow: str | None = None, run_id: str | None = None, limit: int = 100
    ) -> list[RunMigrationInfo]:
        return await self._reader.read(queries.run_migrations, workflow, run_id, limit)
