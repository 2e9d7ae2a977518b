"""The order of a batch of runs if there are not enough slots."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

from tests.engine.support import engine_on, workspace
from victor_engine.api import EventQuery, ScheduleSpec
from victor_engine.clock import FakeClock

FILES = {
    "victor.yaml": "workflows: ['*.yaml']\nscheduler: {max_concurrent_runs: 1}",
    "tick.yaml": """
        workflows:
          tick:
            nodes: [{id: a, type: transform, transform: "x = n"}]
        """,
}


async def test_of_simultaneous_fires_the_highest_priority_gets_the_slot(tmp_path: Path) -> None:
    clock = FakeClock()
    async with engine_on(workspace(tmp_path, FILES), clock=clock) as engine:
        order = {}
        for priority in (1, 9, -3, 5, 0, 7):
            spec = ScheduleSpec(
                workflow="tick", cron="*/5 * * * *", priority=priority, initial_state={"n": priority}
            )
            order[(await engine.add_schedule(spec)).id] = priority
        clock.set_wall(clock.now() + timedelta(minutes=5))
        await engine.scheduler.fire_due()
        async with asyncio.timeout(30):
            while len(ended := await engine.events(EventQuery(kinds=("run.finished",)))) < len(order):
                await asyncio.sleep(0)
        runs = [await engine.run(event.run_id or "") for event in reversed(ended)]
        assert [order[found.run.schedule_id or ""] for found in runs] == [9, 7, 5, 1, 0, -3]


async def test_queued_runs_keep_their_order_over_a_restart(tmp_path: Path) -> None:
    root = workspace(tmp_path, FILES)
    order = {}
    async with engine_on(root, clock=FakeClock(), work=False) as engine:
        for priority in (1, 9, -3, 5):
            spec = ScheduleSpec(workflow="tick", cron=f"{priority + 3} 0 * * *", priority=priority)
            schedule = await engine.add_schedule(spec)
            order[(await engine.trigger_schedule(schedule.id, {"n": priority})).id] = priority
    async with engine_on(root, clock=FakeClock()) as engine, asyncio.timeout(30):
        while len(ended := await engine.events(EventQuery(kinds=("run.finished",)))) < len(order):
            await asyncio.sleep(0)
    assert [order[event.run_id or ""] for event in reversed(ended)] == [9, 5, 1, -3]
