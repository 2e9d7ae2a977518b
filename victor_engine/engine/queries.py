"""The questions of the port: what is, read from the store."""

from __future__ import annotations

import os
import socket
import sqlite3
from datetime import datetime
from typing import Any

import msgspec

from victor_engine import __version__
from victor_engine.api import (
    DeadLetterGroup,
    DefinitionInfo,
    EngineInfo,
    EventInfo,
    EventQuery,
    FireInfo,
    LogLine,
    MigrationPreview,
    RequestInfo,
    RequestQuery,
    RunDetail,
    RunInfo,
    RunQuery,
    ScheduleInfo,
    SchedulePreview,
    ScheduleSpec,
    TrustInfo,
    WorkflowInfo,
)
from victor_engine.engine.base import EngineBase
from victor_engine.errors import VictorError
from victor_engine.identity import acting
from victor_engine.scheduler.timing import Timing
from victor_engine.store import queries
from victor_engine.versioning import catalog


class Queries(EngineBase):
    """Queries write nothing."""

    async def engine(self) -> EngineInfo:
        now = self.clock.now()
        counts = await self._read(queries.engine_counts, now)
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
            problems=tuple(self.workspace.problems),
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

    @staticmethod
    def _summary(spec: ScheduleSpec, schedule_id: str, created_at: datetime) -> str:
        return Timing(spec, schedule_id, created_at).summary

    @staticmethod
    def _version(connection: sqlite3.Connection, workflow: str, wanted: str | None) -> str | None:
        try:
            return catalog.resolve(connection, workflow, wanted).version
        except VictorError:
            return None

    async def schedules(self) -> list[ScheduleInfo]:
        return await self._read(
            queries.schedules, self.clock.now(), summarise=self._summary, resolve=self._version
        )

    async def schedule(self, schedule_id: str) -> ScheduleInfo:
        return await self._read(
            queries.schedule, schedule_id, self.clock.now(), summarise=self._summary, resolve=self._version
        )

    async def fires(
        self, schedule_id: str | None = None, limit: int = 100, workflow: str | None = None
    ) -> list[FireInfo]:
        return await self._read(queries.fires, schedule_id, limit, workflow)

    async def preview_schedule(
        self, spec: ScheduleSpec, count: int = 10, after: datetime | None = None
    ) -> SchedulePreview:
        now = after or self.clock.now()
        try:
            timing = Timing(spec, "0" * 12, now)
        except VictorError as error:
            return SchedulePreview(summary="", problem=error.message)
        return SchedulePreview(summary=timing.summary, fires=tuple(timing.upcoming(min(count, 1000), now)))

    async def runs(self, query: RunQuery) -> list[RunInfo]:
        return await self._read(queries.runs, query, self.clock.now())

    async def run(self, run_id: str) -> RunDetail:
        return await self._read(queries.run_detail, run_id, self.clock.now())

    async def run_log(
        self, run_id: str, after: int = 0, limit: int = 2000, node_id: str | None = None
    ) -> list[LogLine]:
        return await self._read(queries.run_log, run_id, after, limit, node_id)

    async def dead_letters(self, cause: str | None = None, run_limit: int = 20) -> list[DeadLetterGroup]:
        return await self._read(queries.dead_letters, cause, run_limit)

    async def requests(self, query: RequestQuery) -> list[RequestInfo]:
        return await self._read(queries.requests, query)

    async def request(self, request_id: str) -> RequestInfo:
        return await self._read(queries.request, request_id)

    async def events(self, query: EventQuery) -> list[EventInfo]:
        return await self._read(queries.events, query)

    async def workflows(self) -> list[WorkflowInfo]:
        found = await self._read(queries.workflows)
        faults = self.workspace.by_workflow
        return [
            msgspec.structs.replace(info, problems=tuple(faults[info.name])) if info.name in faults else info
            for info in found
        ]

    async def definition(self, workflow: str, version: str | None = None) -> DefinitionInfo:
        return await self._read(queries.definition_info, workflow, version)

    async def preview_migration(
        self, workflow: str, from_version: str, to_version: str, state: dict[str, Any]
    ) -> MigrationPreview:
        return await self._read(catalog.preview_migration, workflow, from_version, to_version, state)
