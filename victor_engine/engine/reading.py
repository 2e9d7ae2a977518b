"""The questions of the port that a store alone can answer: the same with an engine and without one."""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import datetime
from functools import cached_property
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import msgspec

from victor_engine.api import (
    Agenda,
    AliasChange,
    AliasInfo,
    AttemptState,
    BackfillInfo,
    BackfillPreview,
    BackfillSpec,
    CalendarInfo,
    DeadLetterGroup,
    DefinitionDiff,
    DefinitionInfo,
    EventInfo,
    EventQuery,
    Explanation,
    FireInfo,
    LogLine,
    MigrationEdge,
    MigrationPreview,
    MigrationReport,
    MigrationSpec,
    RequestInfo,
    RequestQuery,
    RunComparison,
    RunDetail,
    RunInfo,
    RunMigrationInfo,
    RunQuery,
    RunStats,
    ScheduleInfo,
    SchedulePreview,
    ScheduleSpec,
    VersionsShown,
    WorkflowInfo,
)
from victor_engine.clock import Clock
from victor_engine.engine.comparing import attempt_state, compare_runs
from victor_engine.engine.planning import Planner
from victor_engine.errors import VictorError
from victor_engine.hitl.viewing import Viewing
from victor_engine.scheduler import backfill, looking
from victor_engine.scheduler.agenda import agenda
from victor_engine.scheduler.calendars import Calendars
from victor_engine.scheduler.explain import explain
from victor_engine.scheduler.timing import Timing
from victor_engine.store import queries
from victor_engine.versioning import catalog
from victor_engine.versioning.aliases import rolls_back_to
from victor_engine.versioning.diff import compare

T = TypeVar("T")


class Reading(ABC):
    """Queries write nothing."""

    clock: Clock
    _viewing: Viewing
    _watched: bool = True
    """Whether an engine runs on the store."""

    @cached_property
    def _paces(self) -> queries.Paces:
        """What is typical of the workflows that somebody looks at."""
        return queries.Paces()

    @abstractmethod
    async def _read(self, query: Callable[..., T], *arguments: Any, **keywords: Any) -> T:
        """Run a query on one committed state of the store."""

    @abstractmethod
    def _calendars(self) -> Calendars:
        """The exclusion calendars of the workspace."""

    def _excluded(self, spec: ScheduleSpec, instant: datetime, zone: ZoneInfo) -> str | None:
        """Why a calendar of a schedule leaves out an instant, if one does."""
        for name in spec.exclude:
            reason = self._calendars().get(name).excludes(instant, zone)
            if reason is not None:
                return f"calendar {name}: {reason}"
        return None

    @staticmethod
    def _summary(spec: ScheduleSpec, schedule_id: str, created_at: datetime) -> str:
        return Timing(spec, schedule_id, created_at).summary

    @staticmethod
    def _version(connection: sqlite3.Connection, workflow: str, wanted: str | None) -> str | None:
        try:
            return catalog.resolve(connection, workflow, wanted).version
        except catalog.VersionRemovedError:
            return catalog.meant(connection, workflow, wanted)
        except VictorError:
            return None

    @staticmethod
    def _exact(connection: sqlite3.Connection, workflow: str, wanted: str | None) -> str | None:
        """The version that a range or an alias means; also one on which nothing new starts."""
        return catalog.meant(connection, workflow, wanted)

    async def schedules(self) -> list[ScheduleInfo]:
        def look(connection: sqlite3.Connection) -> list[ScheduleInfo]:
            now = self.clock.now()
            found = queries.schedules(connection, now, summarise=self._summary, resolve=self._version)
            return looking.complete(connection, found, now, self._excluded)

        return await self._read(look)

    async def schedule(self, schedule_id: str) -> ScheduleInfo:
        def look(connection: sqlite3.Connection) -> ScheduleInfo:
            now = self.clock.now()
            found = queries.schedule(
                connection, schedule_id, now, summarise=self._summary, resolve=self._version
            )
            return looking.complete(connection, [found], now, self._excluded)[0]

        return await self._read(look)

    async def fires(
        self, schedule_id: str | None = None, limit: int = 100, workflow: str | None = None
    ) -> list[FireInfo]:
        return await self._read(queries.fires, schedule_id, limit, workflow)

    async def preview_schedule(
        self,
        spec: ScheduleSpec,
        count: int = 10,
        after: datetime | None = None,
        schedule_id: str | None = None,
    ) -> SchedulePreview:
        now = after or self.clock.now()
        return await self._read(looking.preview, spec, count, now, schedule_id, self._excluded)

    async def explain_schedule(
        self, schedule_id: str, at: datetime | None = None, until: datetime | None = None
    ) -> Explanation:
        return await self._read(
            explain,
            schedule_id,
            self.clock.now(),
            at=at,
            until=until,
            excluded=self._excluded,
            watched=self._watched,
        )

    async def agenda(self, edges: list[datetime], schedule_id: str | None = None, limit: int = 200) -> Agenda:
        return await self._read(agenda, edges, self.clock.now(), self._excluded, schedule_id, limit)

    async def calendars(self) -> list[CalendarInfo]:
        return await self._read(looking.calendars, self._calendars(), self.clock.now())

    async def preview_backfill(self, spec: BackfillSpec) -> BackfillPreview:
        return await self._read(backfill.preview, spec, self.clock.now(), self._excluded, self._version)

    async def backfills(self, schedule_id: str | None = None, limit: int = 50) -> list[BackfillInfo]:
        def look(connection: sqlite3.Connection) -> list[BackfillInfo]:
            full = None if schedule_id is None else queries.schedule_id(connection, schedule_id, removed=True)
            return backfill.infos(connection, full, limit)

        return await self._read(look)

    async def runs(self, query: RunQuery) -> list[RunInfo]:
        return await self._read(queries.runs, query, self.clock.now(), self._paces)

    async def run(self, run_id: str) -> RunDetail:
        return await self._read(queries.run_detail, run_id, self.clock.now(), self._paces)

    async def run_log(
        self,
        run_id: str,
        after: int = 0,
        limit: int = 2000,
        node_id: str | None = None,
        text: str | None = None,
    ) -> list[LogLine]:
        return await self._read(queries.run_log, run_id, after, limit, node_id, text)

    async def attempt_state(self, run_id: str, attempt_id: int) -> AttemptState:
        return await self._read(attempt_state, run_id, attempt_id)

    async def run_stats(self, query: RunQuery, buckets: int = 48) -> RunStats:
        return await self._read(queries.run_stats, query, buckets)

    async def compare_runs(self, left: str, right: str) -> RunComparison:
        return await self._read(compare_runs, left, right, self.clock.now(), self._paces)

    async def dead_letters(self, cause: str | None = None, run_limit: int = 20) -> list[DeadLetterGroup]:
        return await self._read(queries.dead_letters, cause, run_limit)

    async def requests(self, query: RequestQuery) -> list[RequestInfo]:
        found = await self._read(queries.requests, query, await self._viewing.asks(query))
        return await self._viewing.see(found)

    async def request_count(self, query: RequestQuery) -> int:
        return await self._read(queries.request_count, query, await self._viewing.asks(query))

    async def request(self, request_id: str) -> RequestInfo:
        return await self._read(queries.request, request_id)

    async def events(self, query: EventQuery) -> list[EventInfo]:
        return await self._read(queries.events, query)

    async def workflows(
        self, workflow: str | None = None, shown: VersionsShown = "all"
    ) -> list[WorkflowInfo]:
        return await self._read(queries.workflows, workflow, shown, choose=catalog.in_range)

    async def definition(self, workflow: str, version: str | None = None) -> DefinitionInfo:
        def look(connection: sqlite3.Connection) -> DefinitionInfo:
            return queries.definition_info(connection, workflow, self._exact(connection, workflow, version))

        return await self._read(look)

    async def diff_versions(self, workflow: str, old: str, new: str) -> DefinitionDiff:
        def look(connection: sqlite3.Connection) -> DefinitionDiff:
            before = queries.definition_info(connection, workflow, self._exact(connection, workflow, old))
            after = queries.definition_info(connection, workflow, self._exact(connection, workflow, new))
            return compare(before, after)

        return await self._read(look)

    async def migration_graph(self, workflow: str) -> list[MigrationEdge]:
        return await self._read(catalog.migration_graph, workflow)

    async def aliases(self, workflow: str | None = None) -> list[AliasInfo]:
        def look(connection: sqlite3.Connection) -> list[AliasInfo]:
            return [
                msgspec.structs.replace(
                    info, rolls_back_to=rolls_back_to(connection, info.workflow, info.name)
                )
                for info in queries.aliases(connection, workflow)
            ]

        return await self._read(look)

    async def alias_history(self, workflow: str, alias: str) -> list[AliasChange]:
        return await self._read(queries.alias_history, workflow, alias)

    async def preview_migration(
        self, workflow: str, from_version: str, to_version: str, state: dict[str, Any]
    ) -> MigrationPreview:
        def look(connection: sqlite3.Connection) -> MigrationPreview:
            old = catalog.meant(connection, workflow, from_version) or from_version
            new = catalog.meant(connection, workflow, to_version) or to_version
            return catalog.preview_migration(connection, workflow, old, new, state, self._load_function())

        return await self._read(look)

    def _load_function(self) -> catalog.Load | None:
        """Loads functions of the workspace; None where nothing of it may be executed."""
        return None

    async def plan_migration(self, spec: MigrationSpec) -> MigrationReport:
        def look(connection: sqlite3.Connection) -> MigrationReport:
            planner = Planner(connection, spec, self.clock.now(), self._load_function())
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

        return await self._read(look)

    async def run_migrations(
        self, workflow: str | None = None, run_id: str | None = None, limit: int = 100
    ) -> list[RunMigrationInfo]:
        return await self._read(queries.run_migrations, workflow, run_id, limit)
