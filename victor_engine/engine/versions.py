"""The actions of the port on versions."""

from __future__ import annotations

from victor_engine.api import (
    VersionInfo,
)
from victor_engine.engine.base import EngineBase
from victor_engine.errors import EngineUnavailableError
from victor_engine.identity import acting
from victor_engine.store import queries
from victor_engine.versioning import catalog


class VersionActions(EngineBase):
    """What is done to a version."""

    async def deprecate(
        self, workflow: str, version: str, message: str, successor: str | None = None
    ) -> VersionInfo:
        actor = acting()
        await self.store.write(lambda tx: catalog.deprecate(tx, workflow, version, message, successor, actor))
        wanted = catalog.normal_version(version)
        for info in await self._read(queries.workflows):
            for found in info.versions:
                if info.name == workflow and found.version == wanted:
                    return found
        raise EngineUnavailableError(f"{workflow} {version} is gone")
