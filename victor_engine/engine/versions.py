"""The actions of the port on versions."""

from __future__ import annotations

import asyncio
from datetime import datetime

from victor_engine.api import AliasInfo, MigrationReport, MigrationSpec, PruneReport, RunInfo, VersionInfo
from victor_engine.clock import Clock
from victor_engine.domain import plans
from victor_engine.engine.current_workspace import CurrentWorkspace
from victor_engine.engine.queries import VersionQueries
from victor_engine.engine.removal_dates import RemovalDates
from victor_engine.engine.run_mover import RunMover
from victor_engine.errors import NotFoundError, UsageError
from victor_engine.identity import acting
from victor_engine.store.db import Store
from victor_engine.versioning import aliases, catalog, lifecycle, pruning


class VersionService:
    """The actions on versions and aliases, and migrations."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        current: CurrentWorkspace,
        queries: VersionQueries,
        mover: RunMover,
        removals: RemovalDates,
    ) -> None:
        self._store = store
        self._clock = clock
        self._current = current
        self._removals = removals
        self._queries = queries
        self._mover = mover

    async def _version_info(self, workflow: str, version: str) -> VersionInfo:
        wanted = catalog.normal_version(version)
        for info in await self._queries.workflows(workflow):
            for found in info.versions:
                if found.version == wanted:
                    return found
        raise NotFoundError(f"{workflow} has no version {wanted}")

    async def deprecate(
        self,
        workflow: str,
        version: str,
        message: str,
        successor: str | None = None,
        removal: datetime | None = None,
    ) -> VersionInfo:
        if removal is not None and removal.tzinfo is None:
            raise UsageError("the date of the removal needs a time zone, such as 2027-01-31T00:00+00:00")
        actor = acting()
        await self._store.write(
            lambda tx: lifecycle.deprecate(tx, workflow, version, message, successor, actor, removal)
        )
        self._removals.changed()
        return await self._version_info(workflow, version)

    async def remove_version(self, workflow: str, version: str, message: str = "") -> VersionInfo:
        actor = acting()
        await self._store.write(lambda tx: lifecycle.remove(tx, workflow, version, message, actor))
        return await self._version_info(workflow, version)

    async def restore_version(self, workflow: str, version: str) -> VersionInfo:
        actor = acting()
        await self._store.write(lambda tx: lifecycle.restore(tx, workflow, version, actor))
        return await self._version_info(workflow, version)

    async def prune_versions(self, plan: str, note: str = "") -> PruneReport:
        shown = await asyncio.to_thread(plans.read_plan, plan, pruning.KIND, self._clock.now())
        actor = acting()
        return await self._store.write(
            lambda tx: pruning.prune(tx, shown, self._current.declared, actor, note)
        )

    # --- aliases -------------------------------------------------------------------------------

    async def _alias_info(self, workflow: str, alias: str) -> AliasInfo:
        for info in await self._queries.aliases(workflow):
            if info.name == alias:
                return info
        raise NotFoundError(f"{workflow} has no alias {alias!r}")

    async def set_alias(
        self,
        workflow: str,
        alias: str,
        version: str,
        other: str | None = None,
        weight: int = 0,
        note: str = "",
    ) -> AliasInfo:
        actor = acting()
        await self._store.write(
            lambda tx: aliases.set_alias(tx, workflow, alias, version, other, weight, actor=actor, note=note)
        )
        return await self._alias_info(workflow, alias)

    async def remove_alias(self, workflow: str, alias: str, note: str = "") -> None:
        actor = acting()
        await self._store.write(lambda tx: aliases.remove_alias(tx, workflow, alias, actor=actor, note=note))

    async def promote_alias(
        self, workflow: str, alias: str, onto: str | None = None, note: str = ""
    ) -> AliasInfo:
        actor = acting()
        await self._store.write(lambda tx: aliases.promote(tx, workflow, alias, onto, actor=actor, note=note))
        return await self._alias_info(workflow, onto or alias)

    async def roll_back_alias(self, workflow: str, alias: str, note: str = "") -> AliasInfo:
        actor = acting()
        await self._store.write(lambda tx: aliases.roll_back(tx, workflow, alias, actor=actor, note=note))
        return await self._alias_info(workflow, alias)

    # --- migrations-----------------------------------------------------------------------------

    async def migrate_runs(
        self, spec: MigrationSpec, note: str = "", plan: str | None = None
    ) -> MigrationReport:
        return await self._mover.migrate_runs(spec, note, plan)

    async def unmigrate_run(self, run_id: str, note: str = "") -> RunInfo:
        return await self._mover.unmigrate_run(run_id, note)

    async def unmigrate_runs(self, batch: str, note: str = "") -> MigrationReport:
        return await self._mover.unmigrate_runs(batch, note)
