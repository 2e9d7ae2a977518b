"""The instant that a run is for: in the payload, the environment, templates and expressions of its work."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.engine.support import engine_on, until_end, workspace
from tests.scheduling.test_loop import ALICE
from victor_engine.api import BackfillSpec, RunDetail, RunQuery, ScheduleSpec
from victor_engine.clock import FakeClock
from victor_engine.engine import Engine
from victor_engine.errors import UsageError
from victor_engine.identity import acting_as
from victor_engine.scheduling.timing import Timing

WORK = """
import json, os, sys
payload = json.load(sys.stdin)
names = [name for name in os.environ if name.startswith("VICTOR_") and "KEY" not in name and "_ID" not in name]
seen = {"run": payload.get("run"), "state": payload.get("state"), "inputs": payload["inputs"],
        "env": {name: os.environ[name] for name in sorted(names)}}
print(json.dumps(seen))
if payload["attempt"] == 1 and payload["inputs"].get("fail"):
    sys.exit(1)
"""
FLOW = """
workflows:
  w:
    nodes:
      - id: work
        type: compute
        handler: work
        inputs: {day: "$run.local_time", of: "since $run.interval_start?", fail: "$ctx.fail?"}
        retry_policy: {max_attempts: 2, initial_delay: 0}
        next: [branch]
      - {id: branch, type: condition, condition: "$run.nominal_time < '2027'", branches: {true: child, false: child}}
      - {id: child, type: workflow, workflow: inner}
  inner:
    nodes: [{id: a, type: transform, transform: "seen = $run.nominal_time"}]
  later:
    schedule: {after: w}
    nodes: [{id: a, type: transform, transform: "seen = $run.nominal_time + ' of ' + $run.schedule"}]
"""


def files(tmp_path: Path) -> Path:
    root = workspace(tmp_path, {"workflows/w.yaml": FLOW, "work.py": WORK})
    (root / "victor.yaml").write_text(
        json.dumps({"handlers": {"work": {"command": [sys.executable, str(root / "work.py")]}}})
    )
    return root


@asynccontextmanager
async def firing(root: Path, clock: FakeClock) -> AsyncIterator[Engine]:
    with acting_as(ALICE):
        engine = await Engine.open(root, root / ".state", clock=clock)
        try:
            yield engine
        finally:
            await engine.close()


async def until(condition: Callable[[], Any]) -> Any:
    async with asyncio.timeout(60):
        while not (found := await condition()):
            await asyncio.sleep(0.01)
    return found


async def runs_of(engine: Engine, workflow: str) -> list[RunDetail]:
    found = [
        run
        for run in await engine.runs(RunQuery())
        if run.workflow == workflow and run.finished_at is not None
    ]
    return [await engine.run(run.id) for run in sorted(found, key=lambda run: run.id)]


async def test_a_backfill_across_a_clock_change_gives_each_run_its_instant_and_interval(
    tmp_path: Path,
) -> None:
    """Also to the child of each run, and the same in the retry of a node."""
    clock = FakeClock(datetime(2026, 3, 31, 12, tzinfo=UTC))
    async with firing(files(tmp_path), clock) as engine:
        spec = ScheduleSpec(
            workflow="w", cron="0 3 * * *", timezone="Europe/Berlin", initial_state={"fail": True}
        )
        added = await engine.add_schedule(spec)
        start, end = datetime(2026, 3, 27, tzinfo=UTC), datetime(2026, 3, 30, 23, tzinfo=UTC)
        await engine.start_backfill(BackfillSpec(added.id, start=start, end=end, concurrency=4))

        async def done() -> Any:
            found = await runs_of(engine, "w")
            return found if len(found) == 4 else None

        runs = {run.instant.local_time: run for run in await until(done) if run.instant is not None}
        assert sorted(runs) == [
            "2026-03-27T03:00:00+01:00",
            "2026-03-28T03:00:00+01:00",
            "2026-03-29T03:00:00+02:00",
            "2026-03-30T03:00:00+02:00",
        ]
        for local, run in runs.items():
            assert run.run.status == "succeeded", run.run.error
            tries = [attempt for attempt in run.attempts if attempt.node_id == "work"]
            seen = run.state["work"]
            assert seen["run"]["local_time"] == local == seen["inputs"]["day"]
            assert seen["env"]["VICTOR_NOMINAL_TIME"] == seen["run"]["nominal_time"]
            assert seen["env"]["VICTOR_TIMEZONE"] == "Europe/Berlin"
            assert "_run" not in (seen["state"] or {})
            assert len(tries) == 2, "the second try sees the same instant"
        last = runs["2026-03-30T03:00:00+02:00"].instant
        assert last is not None
        assert last.interval_start == datetime(2026, 3, 29, 1, tzinfo=UTC)
        assert last.interval_end == last.nominal_time == datetime(2026, 3, 30, 1, tzinfo=UTC)
        children = await runs_of(engine, "inner")
        assert sorted(child.state["seen"] for child in children) == sorted(
            run.state["work"]["run"]["nominal_time"] for run in runs.values()
        )


async def test_a_fire_and_the_runs_after_it_have_one_instant(tmp_path: Path) -> None:
    clock = FakeClock(datetime(2026, 5, 4, 8, 58, tzinfo=UTC))
    async with firing(files(tmp_path), clock) as engine:
        added = await engine.add_schedule(ScheduleSpec(workflow="w", cron="0 * * * *"))
        await clock.advance(150)

        async def later() -> Any:
            return await runs_of(engine, "later")

        (after,) = await until(later)
        assert after.state["seen"] == f"2026-05-04T09:00:00Z of {added.id}"
        (run,) = await runs_of(engine, "w")
        seen = run.state["work"]["run"]
        assert (seen["interval_start"], seen["trigger"]) == ("2026-05-04T08:00:00Z", "schedule")
        again = await engine.rerun(run.run.id)
        rerun = await until_end(engine, again.id)
        assert rerun.state["work"]["run"] == seen


async def test_a_manual_run_can_be_given_an_instant(tmp_path: Path) -> None:
    async with engine_on(files(tmp_path)) as engine:
        nominal = datetime(2026, 3, 8, 2, 30, tzinfo=UTC)
        run = await until_end(engine, (await engine.start_run("w", nominal=nominal)).id)
        assert run.run.status == "succeeded", run.run.error
        assert run.state["work"]["inputs"]["of"] == "since "
        assert run.instant is not None
        assert run.instant.nominal_time == nominal
        assert "_run" not in run.input
        without = await until_end(engine, (await engine.start_run("w")).id)
        assert without.run.status == "failed"
        assert without.run.error is not None
        assert "the run is not for an instant. Give a manual run an instant with --nominal" in (
            without.run.error.message
        )
        with pytest.raises(UsageError, match="needs a time zone"):
            await engine.start_run("w", nominal=datetime(2026, 3, 8, 2, 30))


@pytest.mark.parametrize(
    ("cron", "zone"),
    [
        ("0 3 * * *", "Europe/Berlin"),
        ("*/7 * * * *", "UTC"),
        ("30 2 * * *", "America/New_York"),
        ("0 0 29 2 *", "UTC"),
        ("15 9 1,15 * 1", "Asia/Tokyo"),
        ("0 12 * * 1-5", "Europe/Berlin"),
    ],
)
def test_the_fire_before_is_the_one_that_the_search_forward_finds(cron: str, zone: str) -> None:
    timing = Timing(
        ScheduleSpec(workflow="w", cron=cron, timezone=zone), "s", datetime(2020, 1, 1, tzinfo=UTC)
    )
    fires = timing.upcoming(60, datetime(2026, 2, 20, tzinfo=UTC))
    for before, instant in itertools.pairwise(fires):
        assert timing.previous_before(instant) == before
