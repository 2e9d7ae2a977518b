"""The in-memory scheduler for Python programs: it calls a function when a workflow is due."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from victor_engine.api import ScheduleSpec
from victor_engine.clock import Clock, SystemClock
from victor_engine.scheduling.cron import CronSchedule
from victor_engine.scheduling.declarations import schedule_id as spec_id
from victor_engine.scheduling.timezones import get_zone

log = logging.getLogger(__name__)

Executor = Callable[["ScheduledWorkflow"], Any]
"""The function that runs a due workflow. An awaitable result is awaited."""


GRACE = 60.0
"""Seconds after which a fire is late, as `misfire_grace` of the engine."""


class Runs(Protocol):
    """The runs of workflows by name, for a scheduler without an executor."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def require(self, workflow: str) -> None:
        """Raise UsageError if no workflow has this name."""
        ...

    async def run(self, scheduled: ScheduledWorkflow) -> None: ...


runs_of_workspace: Callable[[], Runs] | None = None
"""Creates the runs of the workspace. `victor_engine.scheduler` sets it."""


@dataclass
class ScheduledWorkflow:
    """A workflow with its times. The default of `schedule_id` is a digest of workflow, times and state."""

    workflow_name: str
    schedule: CronSchedule
    initial_state: dict[str, Any] = field(default_factory=dict)
    enabled: bool = True
    max_active_runs: int = 1
    catchup: bool = False
    timezone: str = "UTC"
    start_date: datetime | None = None
    end_date: datetime | None = None
    workflow_path: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    schedule_id: str = ""
    active_runs: int = field(default=0, init=False)
    last_run: datetime | None = field(default=None, init=False)
    next_run: datetime | None = field(default=None, init=False)
    run_count: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if not isinstance(self.schedule, CronSchedule):
            raise TypeError(
                f"{self.workflow_name}: schedule must be a CronSchedule, such as "
                f"CronSchedule.from_cron({self.schedule!r})"
            )
        self._settle_zone()
        start, end = _aware(self.start_date), _aware(self.end_date)
        if start is not None and end is not None and end <= start:
            raise ValueError(f"end_date {self.end_date} is not after start_date {self.start_date}")
        if self.max_active_runs < 1:
            raise ValueError(f"max_active_runs must be at least 1, not {self.max_active_runs}")
        if not self.schedule_id:
            self.schedule_id = self._own_id()
        if self.next_run is None:
            self.next_run = self.find_next(datetime.now(UTC))

    def _settle_zone(self) -> None:
        """Set one time zone for the workflow and its schedule. Raise ValueError if both set different zones."""
        of_schedule = self.schedule.timezone
        if self.timezone == "UTC":
            self.timezone = of_schedule
        elif of_schedule == "UTC":
            get_zone(self.timezone)
            self.schedule = replace(self.schedule, timezone=self.timezone)
        elif of_schedule != self.timezone:
            raise ValueError(
                f"{self.workflow_name}: timezone is {self.timezone}, but its schedule is in {of_schedule}; set only one"
            )

    def _own_id(self) -> str:
        spec = ScheduleSpec(
            workflow=self.workflow_name,
            cron=self.schedule.expression,
            timezone=self.schedule.timezone,
            initial_state=self.initial_state,
        )
        try:
            return spec_id(spec)
        except TypeError as error:
            raise ValueError(
                f"{self.workflow_name}: initial_state is not JSON ({error}); pass schedule_id= to set an id"
            ) from None

    def find_next(self, after: datetime) -> datetime | None:
        """Return the next instant after `after` between start_date and end_date, or None."""
        start, end = _aware(self.start_date), _aware(self.end_date)
        if start is not None and after < start:
            after = start - timedelta(microseconds=1)
        found = self.schedule.next_run(after)
        return None if found is not None and end is not None and found > end else found

    def should_run(self, now: datetime | None = None) -> bool:
        """Return whether the workflow is due and may start."""
        now = _aware(now) or datetime.now(UTC)
        if not self.enabled or self.active_runs >= self.max_active_runs or self.next_run is None:
            return False
        end = _aware(self.end_date)
        return self.next_run <= now and (end is None or now <= end)

    def leave_out(self, now: datetime, grace: float) -> None:
        """Pass over the fires that may not run, with the rules of the engine.

        Without `catchup`, a fire that is more than `grace` seconds late is missed. A fire that is due while
        `max_active_runs` are active is skipped, or waits if it is caught up.
        """
        oldest = now - timedelta(seconds=grace)
        if self.next_run is not None and self.next_run < oldest and not self.catchup:
            log.warning(
                "%s: the fires from %s on were missed; catchup is off", self.workflow_name, self.next_run
            )
            self.next_run = self.find_next(oldest - timedelta(microseconds=1))
        while self.active_runs >= self.max_active_runs and self.next_run is not None and self.next_run <= now:
            if self.catchup and self.next_run < oldest:
                return
            log.warning("%s: the fire of %s is skipped; a run is active", self.workflow_name, self.next_run)
            self.next_run = self.find_next(self.next_run)

    def mark_started(self, now: datetime | None = None) -> None:
        now = _aware(now) or datetime.now(UTC)
        self.active_runs += 1
        self.run_count += 1
        self.last_run = now
        self.next_run = self.find_next(self.next_run if self.catchup and self.next_run else now)

    def mark_completed(self) -> None:
        self.active_runs = max(0, self.active_runs - 1)


def _aware(instant: datetime | None) -> datetime | None:
    if instant is None:
        return None
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


class WorkflowScheduler:
    """A scheduler in memory. It checks its schedules at least every `check_interval` seconds.

    Without an executor, it runs the workflows of the workspace.
    """

    def __init__(
        self, check_interval: float = 60.0, executor: Executor | None = None, clock: Clock | None = None
    ) -> None:
        self.check_interval = check_interval
        self.executor = executor
        self.clock: Clock = clock or SystemClock()
        self._schedules: dict[str, ScheduledWorkflow] = {}
        self._runs: Runs | None = None
        self._task: asyncio.Task[None] | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        """Set when the next due time has changed, to wake the loop."""

    def register(self, workflow: ScheduledWorkflow) -> str:
        """Add a schedule. Return its id."""
        workflow.next_run = workflow.find_next(self.clock.now())
        self._schedules[workflow.schedule_id] = workflow
        self._changed.set()
        return workflow.schedule_id

    def unregister(self, schedule_id: str) -> bool:
        return self._schedules.pop(schedule_id, None) is not None

    def get_schedule(self, schedule_id: str) -> ScheduledWorkflow | None:
        """Return the object that was registered, or None."""
        return self._schedules.get(schedule_id)

    def list_schedules(self) -> list[ScheduledWorkflow]:
        return list(self._schedules.values())

    def enable(self, schedule_id: str) -> bool:
        return self._switch(schedule_id, True)

    def disable(self, schedule_id: str) -> bool:
        return self._switch(schedule_id, False)

    def _switch(self, schedule_id: str, enabled: bool) -> bool:
        found = self._schedules.get(schedule_id)
        if found is None:
            return False
        found.enabled = enabled
        if enabled:
            found.next_run = found.find_next(self.clock.now())
            self._changed.set()
        return True

    @property
    def is_running(self) -> bool:
        return self._task is not None and not self._task.done()

    async def start(self) -> None:
        """Start the scheduler in the running event loop. A second start has no effect.

        Raise UsageError if there is neither an executor nor a workflow in the workspace for a schedule.
        """
        if not self.is_running:
            if self.executor is None and runs_of_workspace is not None:
                await self._open_runs(runs_of_workspace())
            self._changed = asyncio.Event()  # an event belongs to one event loop
            self._task = asyncio.create_task(self._loop(), name="victor-memory-scheduler")

    async def _open_runs(self, runs: Runs) -> None:
        await runs.open()
        try:
            for workflow in self._schedules.values():
                await runs.require(workflow.workflow_name)
        except BaseException:
            await runs.close()
            raise
        self._runs = runs

    async def stop(self) -> None:
        """Stop the scheduler, and wait for running workflows."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        if self._running:
            await asyncio.gather(*self._running, return_exceptions=True)
        if self._runs is not None:
            await self._runs.close()
            self._runs = None

    async def check(self) -> int:
        """Start all due workflows. Return their number."""
        now = self.clock.now()
        due = []
        for workflow in self._schedules.values():
            if workflow.enabled:
                workflow.leave_out(now, max(GRACE, self.check_interval))
            if workflow.should_run(now):
                due.append(workflow)
        for workflow in due:
            workflow.mark_started(now)
            task = asyncio.create_task(self._execute(workflow))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return len(due)

    async def _execute(self, workflow: ScheduledWorkflow) -> None:
        try:
            if self.executor is None and self._runs is not None:
                await self._runs.require(workflow.workflow_name)
                await self._runs.run(workflow)
                return
            if self.executor is None:
                log.error(
                    "%s is due, but the scheduler has no executor: pass executor= to WorkflowScheduler",
                    workflow.workflow_name,
                )
                return
            result = self.executor(workflow)
            if inspect.isawaitable(result):
                await result
        except Exception:
            log.exception("%s failed", workflow.workflow_name)
        finally:
            workflow.mark_completed()

    async def _loop(self) -> None:
        while True:
            self._changed.clear()
            await self.check()
            upcoming = [w.next_run for w in self._schedules.values() if w.enabled and w.next_run is not None]
            seconds = self.check_interval
            if upcoming:
                left = (min(upcoming) - self.clock.now()).total_seconds()
                seconds = min(seconds, max(left, 0.0) or 1.0)
            sleep = asyncio.ensure_future(self.clock.sleep(seconds))
            changed = asyncio.ensure_future(self._changed.wait())
            try:
                await asyncio.wait({sleep, changed}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                sleep.cancel()
                changed.cancel()


_scheduler: WorkflowScheduler | None = None


def get_scheduler() -> WorkflowScheduler:
    """Return the scheduler of this process."""
    global _scheduler
    if _scheduler is None:
        _scheduler = WorkflowScheduler()
    return _scheduler


def reset_scheduler() -> None:
    """Drop the scheduler of this process (for tests)."""
    global _scheduler
    _scheduler = None


def schedule_workflow(
    workflow_name: str,
    cron: str | None = None,
    initial_state: dict[str, Any] | None = None,
    *,
    timezone: str = "UTC",
    schedule: CronSchedule | None = None,
    executor: Callable[[ScheduledWorkflow], Awaitable[Any]] | None = None,
    **options: Any,
) -> str:
    """Register a workflow with the scheduler of this process. Return the id of the schedule."""
    if schedule is None:
        if cron is None:
            raise ValueError("cron and schedule are both missing; pass one of them")
        schedule = CronSchedule.from_cron(cron, timezone)
    scheduler = get_scheduler()
    if executor is not None:
        scheduler.executor = executor
    return scheduler.register(
        ScheduledWorkflow(workflow_name, schedule, dict(initial_state or {}), timezone=timezone, **options)
    )
