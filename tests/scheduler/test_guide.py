"""The scheduler's interface for Python programs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from victor_engine.clock import FakeClock
from victor_engine.scheduler import (
    CronSchedule,
    ScheduledWorkflow,
    WorkflowScheduler,
    get_scheduler,
    reset_scheduler,
    schedule_workflow,
)


def test_schedule_workflow_registers_with_this_process() -> None:
    reset_scheduler()
    found = schedule_workflow(
        workflow_name="daily_report", cron="0 9 * * *", initial_state={"report_type": "daily"}
    )
    assert len(found) == 12
    assert get_scheduler().get_schedule(found) is not None
    other = schedule_workflow(workflow_name="daily_report", cron="0 9 * * *", timezone="Europe/Berlin")
    assert other != found
    assert len(get_scheduler().list_schedules()) == 2
    reset_scheduler()


def test_a_scheduled_workflow_knows_when_it_is_due() -> None:
    now = datetime(2026, 5, 4, 8, 59, tzinfo=UTC)
    clock = FakeClock(now)
    workflow = ScheduledWorkflow(
        workflow_name="w", schedule=CronSchedule.from_cron("0 9 * * *"), max_active_runs=1, catchup=False
    )
    scheduler = WorkflowScheduler(check_interval=1, clock=clock)
    scheduler.register(workflow)
    assert scheduler.get_schedule(workflow.schedule_id) is workflow
    assert workflow.next_run == datetime(2026, 5, 4, 9, tzinfo=UTC)
    assert not workflow.should_run(now)
    due = now + timedelta(minutes=1)
    assert workflow.should_run(due)
    workflow.mark_started(due)
    assert not workflow.should_run(due + timedelta(days=1))
    workflow.mark_completed()
    assert workflow.should_run(due + timedelta(days=1))
    scheduler.disable(workflow.schedule_id)
    assert not workflow.should_run(due + timedelta(days=1))
    with pytest.raises(ValueError, match="end_date"):
        ScheduledWorkflow("w", CronSchedule.from_cron("@daily"), start_date=now, end_date=now)


async def test_the_loop_starts_what_is_due_once() -> None:
    clock = FakeClock(datetime(2026, 5, 4, 8, 59, 30, tzinfo=UTC))
    ran: list[datetime] = []

    async def execute(workflow: ScheduledWorkflow) -> None:
        ran.append(clock.now())

    scheduler = WorkflowScheduler(check_interval=60, executor=execute, clock=clock)
    scheduler.register(ScheduledWorkflow("w", CronSchedule.from_cron("*/15 * * * *")))
    await scheduler.start()
    await clock.advance(1)
    assert ran == []
    for _ in range(70):
        await clock.advance(60)
    await scheduler.stop()
    assert len(ran) == 5
