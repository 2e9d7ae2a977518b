"""The actions of the port on versions."""

from __future__ import annotations

from datetime import datetime

from victor_engine.api import AliasInfo, VersionInfo
from victor_engine.engine.base import EngineBase
from victor_engine.errors import NotFoundError, UsageError
from victor_engine.identity import acting
from victor_engine.store import queries
from victor_engine.versioning import aliases, catalog, lifecycle


class VersionActions(EngineBase):
    """What is done to versions and aliases."""

    async def _version_info(self, workflow: str, version: str) -> VersionInfo:
        wanted = catalog.normal_version(version)
        for info in await self._read(queries.workflows, workflow, choose=catalog.in_range):
            for found in info.versions:
                if found.version == wanted:
                    return found
        raise NotFoundError(f"there is no {workflow} {wanted}")

    async def deprecate(
        self,
        workflow: str,
        version: str,
        message: str,
        successor: str | None = None,
        removal: datetime | None = None,
    ) -> VersionInfo:
        if removal is not None and removal.tzinfo is None:
            raise UsageError("the date of the removal needs a time zone")
        actor = acting()
        await self.store.write(
            lambda tx: lifecycle.deprecate(tx, workflow, version, message, successor, actor, removal)
        )
        return await self._version_info(workflow, version)

    async def remove_version(self, workflow: str, version: str, message: str = "") -> VersionInfo:
        actor = acting()
        await self.store.write(lambda tx: lifecycle.remove(tx, workflow, version, message, actor))
        return await self._version_info(workflow, version)

    async def restore_version(self, workflow: str, version: str) -> VersionInfo:
        actor = acting()
        await self.store.write(lambda tx: lifecycle.restore(tx, workflow, version, actor))
        return await self._version_info(workflow, version)

    # --- aliases -------------------------------------------------------------------------------

    async def _alias_info(self, workflow: str, alias: str) -> AliasInfo:
        for info in await self.aliases(workflow):
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
        await self.store.write(
            lambda tx: aliases.set_alias(tx, workflow, alias, version, other, weight, actor=actor, note=note)
        )
        return await self._alias_info(workflow, alias)

    async def remove_alias(self, workflow: str, alias: str, note: str = "") -> None:
        actor = acting()
        await self.store.write(lambda tx: aliases.remove_alias(tx, workflow, alias, actor=actor, note=note))

    async def promote_alias(
        self, workflow: str, alias: str, onto: str | None = None, note: str = ""
    ) -> AliasInfo:
        actor = acting()
        await self.store.write(lambda tx: aliases.promote(tx, workflow, alias, onto, actor=actor, note=note))
        return await self._alias_info(workflow, onto or alias)

    async def roll_back_alias(self, workflow: str, alias: str, note: str = "") -> AliasInfo:
        actor = acting()
        await self.store.write(lambda tx: aliases.roll_back(tx, workflow, alias, actor=actor, note=note))
        return await self._alias_info(workflow, alias)
