"""Runs that wait until the run of the fire before has succeeded (`wait_for_previous: success`)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.support import workspace
from tests.scheduling.test_loop import ALICE, World, world
from victor_engine.api import BackfillSpec, FireInfo, ScheduleSpec
from victor_engine.clock import FakeClock
from victor_engine.domain.statuses import FireOutcome, RunStatus
from victor_engine.engine import Engine
from victor_engine.errors import UsageError
from victor_engine.identity import acting_as
from victor_engine.scheduling import policy
from victor_engine.scheduling.declarations import changed_spec, spec_from_block
from victor_engine.store.queries.schedule_runs import ActiveRun
from victor_tui.schedules.spec_form import fields_from, spec_from

START = datetime(2026, 5, 4, 8, 30, tzinfo=UTC)
FILES = {
    "workflows/w.yaml": """
        workflows:
          w:
            schedule: {cron: "0 * * * *", wait_for_previous: success, overlap: buffer_all, initial_state: {x: 0}}
            nodes: [{id: a, type: transform, transform: "y = 1 / x"}]
        """
}


@asynccontextmanager
async def engine_at(root: Path, moment: datetime) -> AsyncIterator[tuple[Engine, FakeClock]]:
    clock = FakeClock(moment)
    with acting_as(ALICE):
        engine = await Engine.open(root, root / ".state", clock=clock)
        try:
            yield engine, clock
        finally:
            await engine.close()


async def fires_when(engine: Engine, wanted: list[tuple[str, str]]) -> list[FireInfo]:
    """Return the fires, oldest first, as soon as their outcomes and the statuses of their runs are the wanted ones."""
    found: list[FireInfo] = []
    try:
        async with asyncio.timeout(20):
            while True:
                found = sorted(await engine.fires(), key=lambda fire: fire.nominal)
                if [(fire.outcome, fire.run_status or "") for fire in found] == wanted:
                    return found
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError([(f.outcome, f.run_status, f.reason) for f in found]) from None


async def test_a_failed_run_holds_the_next_ones_until_it_succeeds(tmp_path: Path) -> None:
    root = workspace(tmp_path, FILES)
    async with engine_at(root, START) as (engine, clock):
        await clock.advance(1805)
        await fires_when(engine, [("started", "failed")])
        await clock.advance(3600)
        await fires_when(engine, [("started", "failed"), ("queued", "queued")])
        await clock.advance(3600)
        first, second, third = await fires_when(
            engine, [("started", "failed"), ("queued", "queued"), ("queued", "queued")]
        )
        words = f"waits until run {first.run_id}, which is failed, succeeds"
        assert second.reason.startswith(words)
        assert third.reason.startswith(f"behind run {second.run_id}")
        (schedule,) = await engine.schedules()
        lines = [line.text for line in (await engine.explain_schedule(schedule.id)).lines]
        assert any(f"run {second.run_id} is queued: it {words}" in line for line in lines)
    # The order survives a restart of the engine.
    async with engine_at(root, START + timedelta(hours=2, minutes=55)) as (engine, _):
        await fires_when(engine, [("started", "failed"), ("queued", "queued"), ("queued", "queued")])
        await engine.redrive_run(str(first.run_id), state={"x": 1})
        await fires_when(engine, [("started", "succeeded"), ("queued", "failed"), ("queued", "queued")])
        # A success of the fire in a backfill counts too.
        spec = (await engine.schedule(schedule.id)).spec
        good = msgspec.structs.replace(spec, initial_state={"x": 1})
        await engine.edit_schedule(schedule.id, good)
        await engine.start_backfill(BackfillSpec(schedule.id, second.nominal, second.nominal, redo="failed"))
        await fires_when(
            engine, [("started", "succeeded"), ("backfilled", "succeeded"), ("queued", "failed")]
        )


async def test_an_edit_lets_the_queued_runs_start(tmp_path: Path) -> None:
    async with engine_at(workspace(tmp_path, FILES), START) as (engine, clock):
        await clock.advance(1805)
        await fires_when(engine, [("started", "failed")])
        await clock.advance(3600)
        await fires_when(engine, [("started", "failed"), ("queued", "queued")])
        (schedule,) = await engine.schedules()
        spec, _ = changed_spec(schedule.spec, {"wait_for_previous": False})
        assert spec is not None
        await engine.edit_schedule(schedule.id, spec)
        await fires_when(engine, [("started", "failed"), ("queued", "failed")])


async def test_a_deployment_lets_the_queued_runs_start(tmp_path: Path) -> None:
    root = workspace(tmp_path, FILES)
    async with engine_at(root, START) as (engine, clock):
        await clock.advance(1805)
        await fires_when(engine, [("started", "failed")])
        await clock.advance(3600)
        await fires_when(engine, [("started", "failed"), ("queued", "queued")])
        path = root / "workflows" / "w.yaml"
        path.write_text(path.read_text().replace("wait_for_previous: success, ", ""))
        await engine.deploy()
        await fires_when(engine, [("started", "failed"), ("queued", "failed")])


async def test_a_backfill_pauses_after_a_run_that_did_not_succeed(tmp_path: Path) -> None:
    async with engine_at(workspace(tmp_path, FILES), START) as (engine, _):
        (schedule,) = await engine.schedules()
        span = (START - timedelta(hours=3), START)
        with pytest.raises(UsageError, match="one fire after the other, oldest first"):
            await engine.start_backfill(BackfillSpec(schedule.id, *span, concurrency=2))
        backfill = await engine.start_backfill(BackfillSpec(schedule.id, *span))
        (fire,) = await fires_when(engine, [("backfilled", "failed")])
        async with asyncio.timeout(20):
            while (await engine.backfills())[0].status != "paused":
                await asyncio.sleep(0.01)
        assert f"the next one waits until run {fire.run_id}, which is failed" in str(
            (await engine.backfills())[0].problem
        )
        await engine.redrive_run(str(fire.run_id), state={"x": 1})
        await fires_when(engine, [("backfilled", "succeeded")])
        await engine.resume_backfill(backfill.id)
        await fires_when(engine, [("backfilled", "succeeded"), ("backfilled", "failed")])


async def test_fires_that_are_caught_up_together_wait_for_each_other(tmp_path: Path) -> None:
    async with world(tmp_path, START) as w:
        await w.add(cron="0 * * * *", overlap="allow", catchup="all", wait_for_previous="success")
    async with world(tmp_path, START + timedelta(hours=3)) as w:
        await w.loop.refresh()
        await w.loop.fire_due()
        assert await w.outcomes() == ["started", "queued", "queued"]
        assert "caught up" in (await w.fires())[1][2]
        await finish(w, 1, "succeeded")
        assert w.started == [1, 2]
        await finish(w, 2, "cancelled")
        assert w.started == [1, 2]


async def finish(w: World, key: int, status: str) -> None:
    await w.store.write(lambda tx: tx.execute("UPDATE runs SET status = ? WHERE key = ?", (status, key)))
    (schedule,) = (await w.rows("SELECT id FROM schedules"))[0]
    await w.loop.start_queued(schedule)


@given(st.lists(st.sampled_from(list(RunStatus)), max_size=5), st.integers(1, 3), st.booleans())
def test_a_run_is_released_only_behind_a_success(before: list[RunStatus], most: int, allow: bool) -> None:
    """Each run is behind the one before it. Those that may start are behind a run that succeeded, within the limit."""
    spec = ScheduleSpec(
        "w", wait_for_previous="success", max_active_runs=most, overlap="allow" if allow else "skip"
    )
    active = [ActiveRun(key, f"r{key}", "queued", True) for key in range(len(before))]
    previous: dict[int, Any] = {key: (f"p{key}", status) for key, status in enumerate(before)}
    free = policy.releasable(spec, active, previous)
    wanted = [run for run in active if before[run.key] == RunStatus.SUCCEEDED]
    assert free == (wanted if allow else wanted[:most])
    for run in active:
        started = policy.OverlapDecision(FireOutcome.STARTED, "due")
        decided = policy.apply_wait(spec, started, previous[run.key])
        assert (decided.outcome is FireOutcome.STARTED) == (run in wanted)


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({"wait_for_previous": "failure"}, "schedule.wait_for_previous: must be success or false"),
        (
            {"wait_for_previous": "success", "overlap": "cancel_running"},
            "does not go with overlap: cancel_running",
        ),
    ],
)
def test_a_setting_that_is_not_valid(block: dict[str, Any], words: str) -> None:
    spec, errors = spec_from_block("w", {"cron": "@daily", **block})
    assert spec is None
    assert words in errors[0]


def test_the_form_keeps_the_setting() -> None:
    spec, _ = spec_from_block("w", {"cron": "@daily", "wait_for_previous": "success"})
    assert spec is not None
    assert "wait_for_previous: success" in fields_from(spec).more
    assert spec_from(fields_from(spec), None)[0] == spec
