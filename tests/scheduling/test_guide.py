"""The scheduler's interface for Python programs."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.engine.support import workspace
from victor_engine.api import RunQuery
from victor_engine.clock import FakeClock
from victor_engine.errors import UsageError
from victor_engine.scheduler import (
    CronSchedule,
    ScheduledWorkflow,
    WorkflowScheduler,
    get_scheduler,
    reset_scheduler,
    schedule_workflow,
)
from victor_engine.service.connect import open_port


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


async def test_what_is_registered_while_the_loop_sleeps_is_not_slept_through() -> None:
    clock = FakeClock(datetime(2026, 5, 4, 9, 0, 30, tzinfo=UTC))
    ran: list[datetime] = []
    scheduler = WorkflowScheduler(
        check_interval=3600, executor=lambda workflow: ran.append(clock.now()), clock=clock
    )
    await scheduler.start()
    await clock.advance(1)
    found = scheduler.register(ScheduledWorkflow("w", CronSchedule.from_interval(minutes=1)))
    await clock.advance(0)  # the loop takes notice
    await clock.advance(60)
    assert len(ran) == 1
    scheduler.disable(found)
    await clock.advance(120)
    assert len(ran) == 1
    await scheduler.stop()


def test_the_workflow_or_its_schedule_sets_the_zone() -> None:
    berlin = CronSchedule.from_cron("H 9 * * *", "Europe/Berlin", hash_id="a")
    assert ScheduledWorkflow("w", berlin).timezone == "Europe/Berlin"
    hashed = ScheduledWorkflow(
        "w", CronSchedule.from_cron("H 9 * * *", hash_id="a"), timezone="Europe/Berlin"
    )
    assert hashed.schedule.minute == berlin.minute
    assert hashed.schedule.next_run(datetime(2026, 5, 4, tzinfo=UTC)) == berlin.next_run(
        datetime(2026, 5, 4, tzinfo=UTC)
    )
    with pytest.raises(ValueError, match=r"timezone is Asia/Tokyo, but its schedule is in Europe/Berlin"):
        ScheduledWorkflow("w", berlin, timezone="Asia/Tokyo")


def test_invalid_schedules_are_refused() -> None:
    daily = CronSchedule.from_cron("@daily")
    with pytest.raises(TypeError, match="schedule must be a CronSchedule"):
        ScheduledWorkflow("w", "0 9 * * *")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="max_active_runs must be at least 1"):
        ScheduledWorkflow("w", daily, max_active_runs=0)
    with pytest.raises(ValueError, match="initial_state is not JSON"):
        ScheduledWorkflow("w", daily, {"x": object()})
    with pytest.raises(ValueError, match="end_date"):
        ScheduledWorkflow(
            "w", daily, start_date=datetime(2026, 5, 2), end_date=datetime(2026, 5, 1, tzinfo=UTC)
        )
    with pytest.raises(ValueError, match="too long or not a number"):
        CronSchedule.from_interval(hours=float("nan"))


@pytest.mark.parametrize(
    ("catchup", "following"),  # the next fire, as each run sees it
    [(False, ["13:00"]), (True, ["11:00", "12:00", "13:00"])],
)
async def test_a_downtime_in_memory_follows_catchup(catchup: bool, following: list[str]) -> None:
    clock = FakeClock(datetime(2026, 5, 4, 9, 30, tzinfo=UTC))
    ran: list[str] = []
    scheduler = WorkflowScheduler(
        executor=lambda workflow: ran.append(f"{workflow.next_run:%H:%M}"), clock=clock, check_interval=60
    )
    scheduler.register(ScheduledWorkflow("w", CronSchedule.from_cron("0 * * * *"), catchup=catchup))
    clock.set_wall(datetime(2026, 5, 4, 11, 30, tzinfo=UTC))
    await scheduler.start()
    for _ in range(35):
        await clock.advance(60)
    await scheduler.stop()
    assert ran == following


async def test_a_fire_in_memory_is_skipped_while_a_run_is_active() -> None:
    clock = FakeClock(datetime(2026, 5, 4, 9, 59, 30, tzinfo=UTC))
    ran: list[datetime] = []

    async def execute(workflow: ScheduledWorkflow) -> None:
        ran.append(clock.now())
        await clock.sleep(90 * 60)

    scheduler = WorkflowScheduler(executor=execute, clock=clock)
    scheduler.register(ScheduledWorkflow("w", CronSchedule.from_cron("0 * * * *")))
    await scheduler.start()
    for _ in range(220):
        await clock.advance(60)
    assert [f"{at:%H:%M}" for at in ran] == ["10:00", "12:00"], "not 11:30, when the first run ends"
    await scheduler.stop()


async def test_without_an_executor_the_workflow_of_the_workspace_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("VICTOR_STATE", raising=False)
    text = "workflows: {daily_report: {nodes: [{id: a, type: transform, transform: 'x = report_type'}]}}"
    monkeypatch.chdir(workspace(tmp_path, {"victor.yaml": "", "workflows/w.yaml": text}))
    reset_scheduler()
    try:
        scheduler = get_scheduler()
        scheduler.clock = clock = FakeClock(datetime(2026, 1, 1, 8, 59, tzinfo=UTC))
        found = schedule_workflow("daily_report", cron="0 9 * * *", initial_state={"report_type": "daily"})
        other = schedule_workflow("no_such_report", cron="0 9 * * *")
        with pytest.raises(UsageError, match=r"has no workflow 'no_such_report'.*pass executor="):
            await scheduler.start()
        scheduler.unregister(other)
        await scheduler.start()
        await clock.advance(1)
        await clock.advance(60)
        scheduled = scheduler.get_schedule(found)
        assert scheduled is not None
        async with asyncio.timeout(30):
            while scheduled.active_runs or not scheduled.run_count:
                await clock.advance(1)
                await asyncio.sleep(0.01)
        await scheduler.stop()
        async with open_port(mode="read") as port:
            (run,) = await port.runs(RunQuery())
        assert (run.workflow, run.status) == ("daily_report", "succeeded")
    finally:
        reset_scheduler()
