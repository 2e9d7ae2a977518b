"""The queries of the port on schedules."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from victor_engine.api import (
    Agenda,
    BackfillInfo,
    BackfillPreview,
    BackfillSpec,
    CalendarInfo,
    Explanation,
    FireInfo,
    ScheduleInfo,
    SchedulePreview,
    ScheduleSpec,
)
from victor_engine.clock import Clock
from victor_engine.engine.queries.reader import Reader
from victor_engine.errors import VictorError
from victor_engine.exclusion import Excluded
from victor_engine.scheduling import backfill, schedule_info
from victor_engine.scheduling.agenda import agenda
from victor_engine.scheduling.calendars.workspace_calendars import Calendars
from victor_engine.scheduling.explain import explain
from victor_engine.scheduling.timing import Timing
from victor_engine.store import queries
from victor_engine.store.queries import backfills
from victor_engine.versioning import catalog


def exclusion(calendars: Callable[[], Calendars]) -> Excluded:
    """Return the function that returns why a calendar of a schedule excludes an instant, or None."""

    def excluded(spec: ScheduleSpec, instant: datetime, zone: ZoneInfo) -> str | None:
        for name in spec.exclude:
            reason = calendars().get(name).excludes(instant, zone)
            if reason is not None:
                return f"calendar {name}: {reason}"
        return None

    return excluded


class ScheduleQueries:
    """The queries on schedules.

    `defaults` returns the settings of new schedules. `watched` is whether an engine runs on the store.
    `untrusted` returns why the workspace is not trusted; empty if it is.
    """

    def __init__(
        self,
        reader: Reader,
        clock: Clock,
        calendars: Callable[[], Calendars],
        defaults: Callable[[], dict[str, Any]],
        *,
        watched: bool,
        untrusted: Callable[[], str] = str,
    ) -> None:
        self._untrusted = untrusted
        self._reader = reader
        self._clock = clock
        self._calendars = calendars
        self._defaults = defaults
        self._excluded = exclusion(calendars)
        self._watched = watched

    async def schedule_defaults(self) -> dict[str, Any]:
        return self._defaults()

    async def schedules(self) -> list[ScheduleInfo]:
        def look(connection: sqlite3.Connection) -> list[ScheduleInfo]:
            now = self._clock.now()
            found = queries.schedules(connection, now, summarise=_summary, resolve=version_started)
            return _with_refusals(connection, schedule_info.complete(connection, found, now, self._excluded))

        return await self._reader.read(look)

    async def schedule(self, schedule_id: str) -> ScheduleInfo:
        def look(connection: sqlite3.Connection) -> ScheduleInfo:
            now = self._clock.now()
            found = queries.schedule(
                connection, schedule_id, now, summarise=_summary, resolve=version_started
            )
            return _with_refusals(
                connection, schedule_info.complete(connection, [found], now, self._excluded)
            )[0]

        return await self._reader.read(look)

    async def fires(
        self, schedule_id: str | None = None, limit: int = 100, workflow: str | None = None
    ) -> list[FireInfo]:
        return await self._reader.read(queries.fires, schedule_id, limit, workflow)

    async def preview_schedule(
        self,
        spec: ScheduleSpec,
        count: int = 10,
        after: datetime | None = None,
        schedule_id: str | None = None,
    ) -> SchedulePreview:
        now = self._clock.now()
        return await self._reader.read(
            schedule_info.preview,
            spec,
            count,
            after or now,
            schedule_id,
            self._excluded,
            version_started,
            start_refused,
            now,
        )

    async def explain_schedule(
        self, schedule_id: str, at: datetime | None = None, until: datetime | None = None
    ) -> Explanation:
        return await self._reader.read(
            explain,
            schedule_id,
            self._clock.now(),
            at=at,
            until=until,
            excluded=self._excluded,
            engine_runs=self._watched,
            untrusted=self._untrusted(),
        )

    async def agenda(self, edges: list[datetime], schedule_id: str | None = None, limit: int = 200) -> Agenda:
        return await self._reader.read(agenda, edges, self._clock.now(), self._excluded, schedule_id, limit)

    async def calendars(self) -> list[CalendarInfo]:
        return await self._reader.read(schedule_info.calendars, self._calendars(), self._clock.now())

    async def preview_backfill(self, spec: BackfillSpec) -> BackfillPreview:
        return await self._reader.read(
            backfill.preview, spec, self._clock.now(), self._excluded, version_started, start_refused
        )

    async def backfill(self, backfill_id: int) -> BackfillInfo:
        """Return one backfill."""
        return await self._reader.read(backfills.info, backfill_id)

    async def backfills(self, schedule_id: str | None = None, limit: int = 50) -> list[BackfillInfo]:
        def look(connection: sqlite3.Connection) -> list[BackfillInfo]:
            full = None if schedule_id is None else queries.schedule_id(connection, schedule_id, removed=True)
            return backfills.infos(connection, full, limit)

        return await self._reader.read(look)


def _summary(spec: ScheduleSpec, schedule_id: str, created_at: datetime) -> str:
    return Timing(spec, schedule_id, created_at).summary


def version_started(connection: sqlite3.Connection, workflow: str, wanted: str | None) -> str | None:
    """Return the version that a schedule starts, even if it is removed; None if it does not exist."""
    try:
        return catalog.resolve(connection, workflow, wanted).version
    except catalog.VersionRemovedError:
        return catalog.version_to_show(connection, workflow, wanted)
    except VictorError:
        return None


def start_refused(connection: sqlite3.Connection, spec: ScheduleSpec) -> str | None:
    """Return why no run of a schedule can start on its version with its state; None if one can."""
    try:
        found = catalog.resolve(connection, spec.workflow, spec.version)
        definition, _ = catalog.load_definition(connection, found.id)
        if definition.inputs is not None:
            later = () if spec.after is None else spec.after.take
            definition.inputs.check(spec.workflow, spec.initial_state, later)
    except VictorError as error:
        return error.message
    return None


def _with_refusals(connection: sqlite3.Connection, found: list[ScheduleInfo]) -> list[ScheduleInfo]:
    """Set `problem` of the schedules whose version is removed or does not exist."""
    return [
        msgspec.structs.replace(info, problem=start_refused(connection, info.spec))
        if info.problem is None and (info.deprecated is not None or info.resolved_version is None)
        else info
        for info in found
    ]
