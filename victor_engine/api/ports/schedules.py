"""The part of the port that concerns schedules."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol

from victor_engine.api.marks import action, query
from victor_engine.api.runs import RunInfo
from victor_engine.api.schedules import (
    Agenda,
    BackfillInfo,
    BackfillPreview,
    BackfillSpec,
    CalendarInfo,
    Explanation,
    FireInfo,
    ScheduleAdded,
    ScheduleInfo,
    SchedulePreview,
    ScheduleSpec,
)


class SchedulesPort(Protocol):
    """Schedules: when workflows start, why they did or did not, and backfills."""

    @query
    async def schedules(self) -> list[ScheduleInfo]: ...

    @query
    async def schedule(self, schedule_id: str) -> ScheduleInfo: ...

    @query
    async def fires(
        self, schedule_id: str | None = None, limit: int = 100, workflow: str | None = None
    ) -> list[FireInfo]: ...

    @query
    async def preview_schedule(
        self,
        spec: ScheduleSpec,
        count: int = 10,
        after: datetime | None = None,
        schedule_id: str | None = None,
    ) -> SchedulePreview: ...

    @query
    async def explain_schedule(
        self, schedule_id: str, at: datetime | None = None, until: datetime | None = None
    ) -> Explanation: ...

    @query
    async def agenda(
        self, edges: list[datetime], schedule_id: str | None = None, limit: int = 200
    ) -> Agenda: ...

    @query
    async def calendars(self) -> list[CalendarInfo]: ...

    @query
    async def preview_backfill(self, spec: BackfillSpec) -> BackfillPreview: ...

    @query
    async def backfills(self, schedule_id: str | None = None, limit: int = 50) -> list[BackfillInfo]: ...

    @action
    async def add_schedule(self, spec: ScheduleSpec, note: str = "") -> ScheduleAdded: ...

    @action
    async def edit_schedule(
        self, schedule_id: str, spec: ScheduleSpec, note: str = "", plan: str | None = None
    ) -> ScheduleInfo:
        """Replace the settings of a schedule.

        With the `plan` of a preview, raise ItemChangedError if the schedule changed since, and PlanChangedError if
        the version that it would start did.
        """
        ...

    @action
    async def remove_schedule(self, schedule_id: str, note: str = "") -> None: ...

    @action
    async def trigger_schedule(
        self, schedule_id: str, state: dict[str, Any] | None = None, note: str = ""
    ) -> RunInfo: ...

    @action
    async def pause_schedule(
        self, schedule_id: str, note: str = "", until: datetime | None = None
    ) -> ScheduleInfo: ...

    @action
    async def resume_schedule(self, schedule_id: str, note: str = "") -> ScheduleInfo: ...

    @action
    async def skip_next(self, schedule_id: str, note: str = "") -> ScheduleInfo: ...

    @action
    async def start_backfill(
        self, spec: BackfillSpec, note: str = "", plan: str | None = None
    ) -> BackfillInfo:
        """Start the fires of a range that have not run.

        With the `plan` of a preview, start only what that lists; `left_out` of the result says what changed since.
        Raise PlanChangedError and start nothing if `spec` or the schedule is not what was shown.
        """
        ...

    @action
    async def pause_backfill(self, backfill_id: int, note: str = "") -> BackfillInfo: ...

    @action
    async def resume_backfill(self, backfill_id: int, note: str = "") -> BackfillInfo: ...

    @action
    async def cancel_backfill(self, backfill_id: int, note: str = "") -> BackfillInfo: ...
