"""The questions of the port: what is, read from the store."""

from __future__ import annotations

import os
import socket

import msgspec

from victor_engine import __version__
from victor_engine.api import (
    EngineInfo,
    TrustInfo,
    VersionsShown,
    WorkflowInfo,
)
from victor_engine.engine.base import EngineBase
from victor_engine.identity import acting
from victor_engine.notify import notify_problems
from victor_engine.store import queries


class Queries(EngineBase):
    """Queries write nothing."""

    async def engine(self) -> EngineInfo:
        now = self.clock.now()
        counts = await self._read(queries.engine_counts, now)
        unheard = await self._read(notify_problems, now, self.workspace.config.notify)
        return EngineInfo(
            mode=self.mode,
            pid=os.getpid(),
            epoch=self.store.epoch,
            user=acting().user,
            host=socket.gethostname(),
            state_dir=str(self.state_dir),
            workspace=str(self.workspace_path),
            product_version=__version__,
            started_at=self.started_at,
            now=now,
            trusted=self.trusted,
            storage=self.store.outage,
            problems=(*self.workspace.problems, *unheard),
            **msgspec.structs.asdict(counts),
        )

    async def trust_info(self) -> TrustInfo:
        commands, functions, urls = self.workspace.bindings.summary()
        return TrustInfo(
            workspace=str(self.workspace_path),
            trusted=self.trusted,
            commands=tuple(commands),
            functions=tuple(functions),
            urls=tuple(urls),
        )

    async def workflows(
        self, workflow: str | None = None, shown: VersionsShown = "all"
    ) -> list[WorkflowInfo]:
        found = await super().workflows(workflow, shown)
        faults = self.workspace.by_workflow
        return [
            msgspec.structs.replace(info, problems=tuple(faults[info.name])) if info.name in faults else info
            for info in found
        ]
