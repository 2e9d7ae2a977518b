"""The part of the port for schedules."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol

from victor_engine.api.marks import action, query
from victor_engine.api.roles import Role
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
    """Schedules: list, change, preview and explain; backfills."""

    @query
    async def schedules(self) -> list[ScheduleInfo]:
        """Return all schedules."""
        ...

    @query
    async def schedule(self, schedule_id: str) -> ScheduleInfo:
        """Return one schedule."""
        ...

    @query
    async def fires(
        self, schedule_id: str | None = None, limit: int = 100, workflow: str | None = None
    ) -> list[FireInfo]:
        """Return the newest fires, of one schedule or one workflow if given."""
        ...

    @query
    async def schedule_defaults(self) -> dict[str, Any]:
        """Return the defaults of the configuration for new schedules, by the keys of a `schedule:` block."""
        ...

    @query
    async def preview_schedule(
        self,
        spec: ScheduleSpec,
        count: int = 10,
        after: datetime | None = None,
        schedule_id: str | None = None,
    ) -> SchedulePreview:
        """Return the next `count` fires of a spec after `after` (default: now), or the problem with the spec.

        With `schedule_id`, preview an edit of that schedule: return also its changes and a plan.
        """
        ...

    @query
    async def explain_schedule(
        self, schedule_id: str, at: datetime | None = None, until: datetime | None = None
    ) -> Explanation:
        """Explain why a schedule did or did not fire: now, at an instant, or from `at` until `until`."""
        ...

    @query
    async def agenda(self, edges: list[datetime], schedule_id: str | None = None, limit: int = 200) -> Agenda:
        """Return the numbers of past and planned fires between consecutive `edges`, of at most `limit` schedules."""
        ...

    @query
    async def calendars(self) -> list[CalendarInfo]:
        """Return the exclusion calendars with their next entries or errors."""
        ...

    @query
    async def preview_backfill(self, spec: BackfillSpec) -> BackfillPreview:
        """Return the fires that a backfill would start, with a plan, or the problem with it."""
        ...

    @query
    async def backfills(self, schedule_id: str | None = None, limit: int = 50) -> list[BackfillInfo]:
        """Return the newest backfills, of one schedule if given."""
        ...

    @action(role=Role.OPERATOR)
    async def add_schedule(self, spec: ScheduleSpec, note: str = "") -> ScheduleAdded:
        """Add a schedule. If the same schedule exists, return it with `created` False.

        Raise UsageError for an invalid spec, NotFoundError if the workflow, version or calendar does not exist, and
        ConflictError if a schedule has the same times and other policies.
        """
        ...

    @action(role=Role.OPERATOR)
    async def edit_schedule(
        self, schedule_id: str, spec: ScheduleSpec, note: str = "", plan: str | None = None
    ) -> ScheduleInfo:
        """Replace the spec of a schedule.

        With the `plan` of a preview, raise ItemChangedError if the schedule has changed since the preview, and
        PlanChangedError if the version that it would start has changed.
        """
        ...

    @action(role=Role.OPERATOR)
    async def remove_schedule(self, schedule_id: str, note: str = "") -> None:
        """Remove a schedule and keep its history."""
        ...

    @action(role=Role.OPERATOR)
    async def trigger_schedule(
        self, schedule_id: str, state: dict[str, Any] | None = None, note: str = ""
    ) -> RunInfo:
        """Start a run of a schedule immediately. `state` replaces the initial state of the schedule."""
        ...

    @action(role=Role.OPERATOR)
    async def pause_schedule(
        self, schedule_id: str, note: str = "", until: datetime | None = None
    ) -> ScheduleInfo:
        """Pause a schedule, and resume it automatically at `until`."""
        ...

    @action(role=Role.OPERATOR)
    async def resume_schedule(self, schedule_id: str, note: str = "") -> ScheduleInfo:
        """Resume a paused schedule."""
        ...

    @action(role=Role.OPERATOR)
    async def skip_next(self, schedule_id: str, note: str = "") -> ScheduleInfo:
        """Skip the next fire of a schedule. Raise ConflictError if it has no next fire."""
        ...

    @action(role=Role.OPERATOR)
    async def start_backfill(
        self, spec: BackfillSpec, note: str = "", plan: str | None = None
    ) -> BackfillInfo:
        """Start the fires of a past period that `spec` selects.

        With the `plan` of a preview, start only its fires; `left_out` of the result lists those that have changed
        since. Raise PlanChangedError, and start nothing, if `spec` or the schedule differs from the preview.
        """
        ...

    @action(role=Role.OPERATOR)
    async def pause_backfill(self, backfill_id: int, note: str = "") -> BackfillInfo:
        """Pause a backfill: start no further fires until it is resumed."""
        ...

    @action(role=Role.OPERATOR)
    async def resume_backfill(self, backfill_id: int, note: str = "") -> BackfillInfo:
        """Resume a paused backfill."""
        ...

    @action(role=Role.OPERATOR)
    async def cancel_backfill(self, backfill_id: int, note: str = "") -> BackfillInfo:
        """Cancel a backfill: start no further fires. Its active runs continue."""
        ...
