"""Declared inputs on every road to a new run: defaults are filled in, and a state that does not match is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.engine.support import ME, until_end, workspace
from victor_engine.api import After, BackfillSpec, RunQuery, ScheduleSpec
from victor_engine.clock import FakeClock
from victor_engine.engine import Engine
from victor_engine.errors import InvalidInputError
from victor_engine.identity import acting_as

START = datetime(2026, 5, 4, 8, 30, tzinfo=UTC)
FLOWS = """
    workflows:
      copy:
        version: {version}
        inputs:
          host: string
          count: {{type: integer, default: 3}}
        nodes: [{{id: a, type: transform, transform: "doubled = count * 2"}}]
      parent:
        nodes:
          - {{id: child, type: workflow, workflow: copy, inputs: {{host: "$ctx.host?", count: "$ctx.count?"}}}}
      first:
        nodes: [{{id: a, type: transform, transform: "host = ctx.name"}}]
    """


@asynccontextmanager
async def engine_at(root: Path, clock: FakeClock) -> AsyncIterator[Engine]:
    with acting_as(ME):
        engine = await Engine.open(root, root.parent / "state", clock=clock)
        try:
            yield engine
        finally:
            await engine.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir(mode=0o700)
    files = {"victor.yaml": "workflows: [flows/*.yaml]\n", "flows/f.yaml": FLOWS.format(version="1.0.0")}
    return workspace(tmp_path, files)


async def refused(call: Callable[[], Awaitable[Any]], **errors: str) -> None:
    """Check that a call is refused with the problems of the inputs, and that it creates no run."""
    with pytest.raises(InvalidInputError) as caught:
        await call()
    assert caught.value.details["errors"] == errors


async def test_a_run_gets_the_defaults_and_a_state_that_does_not_match_is_refused(root: Path) -> None:
    async with engine_at(root, FakeClock(START)) as engine:
        run = await engine.start_run("copy", None, {"host": "a"})
        assert (await until_end(engine, run.id)).state == {"host": "a", "count": 3, "doubled": 6}
        await refused(lambda: engine.start_run("copy"), host="is required")
        await refused(
            lambda: engine.start_run("copy", None, {"host": "a", "count": "x"}),
            count="must be a whole number",
        )
        await refused(
            lambda: engine.start_run("copy", None, {"host": "a", "cuont": 1}),
            cuont="is not an input. Did you mean 'count'?",
        )
        again = await engine.rerun(run.id, None, {"host": "b", "count": 1})
        assert (await until_end(engine, again.id)).state["doubled"] == 2
        await refused(lambda: engine.rerun(run.id, None, {"count": 1}), host="is required")
        assert len(await engine.runs(RunQuery(workflow="copy"))) == 2


async def test_a_child_run_gets_the_defaults_and_a_wrong_value_fails_the_node(root: Path) -> None:
    async with engine_at(root, FakeClock(START)) as engine:
        run = await engine.start_run("parent", None, {"host": "a"})
        assert (await until_end(engine, run.id)).state["child"]["doubled"] == 6
        failed = await until_end(engine, (await engine.start_run("parent", None, {"count": 1})).id)
        assert failed.run.error is not None
        assert failed.run.error.type == "InvalidInputError"
        assert "child: the inputs of copy are not valid: host is required" in failed.run.error.message
        assert len(await engine.runs(RunQuery(workflow="copy"))) == 1


async def test_a_schedule_must_give_the_inputs(root: Path) -> None:
    clock = FakeClock(START)
    async with engine_at(root, clock) as engine:
        spec = ScheduleSpec("copy", every_seconds=600, overlap="allow")
        await refused(lambda: engine.add_schedule(spec), host="is required")
        good = msgspec.structs.replace(spec, initial_state={"host": "a"})
        added = await engine.add_schedule(good)
        await refused(lambda: engine.edit_schedule(added.id, spec), host="is required")
        await refused(lambda: engine.trigger_schedule(added.id, {"host": 1}), host="must be text")
        triggered = await engine.trigger_schedule(added.id)
        assert (await until_end(engine, triggered.id)).state["count"] == 3
        clock.set_wall(START + timedelta(minutes=10))
        await engine.scheduler.fire_due()
        (fire,) = await engine.fires(added.id, 10)
        assert fire.outcome == "started"
        assert fire.run_id is not None
        assert (await until_end(engine, fire.run_id)).state["doubled"] == 6


async def test_a_fire_and_a_backfill_that_new_inputs_refuse_say_why(root: Path) -> None:
    clock = FakeClock(START)
    async with engine_at(root, clock) as engine:
        spec = ScheduleSpec("copy", every_seconds=600, overlap="allow", initial_state={"host": "a"})
        added = await engine.add_schedule(spec)
        text = FLOWS.format(version="1.1.0").replace("host: string", "host: integer")
        (root / "flows/f.yaml").write_text(text)
        await engine.reload()
        clock.set_wall(START + timedelta(minutes=10))
        await engine.scheduler.fire_due()
        (fire,) = await engine.fires(added.id, 10)
        clock.set_wall(START + timedelta(minutes=30))
        assert (fire.outcome, fire.run_id) == ("skipped", None)
        assert "cannot start: the inputs of copy are not valid: host must be a whole number" in fire.reason
        assert "host must be a whole number" in str((await engine.schedule(added.id)).problem)
        past = BackfillSpec(added.id, START, START + timedelta(minutes=30))
        preview = await engine.preview_backfill(past)
        assert "host must be a whole number" in str(preview.problem)
        with pytest.raises(InvalidInputError, match="host must be a whole number"):
            await engine.start_backfill(past)
        assert await engine.runs(RunQuery(workflow="copy")) == []


async def test_a_dependency_gives_inputs_from_the_runs_before(root: Path) -> None:
    async with engine_at(root, FakeClock(START)) as engine:
        after = After(("first",), take={"host": "host"})
        added = await engine.add_schedule(ScheduleSpec("copy", after=after))
        await until_end(engine, (await engine.start_run("first", None, {"name": "db"})).id)
        (fire,) = await engine.fires(added.id, 10)
        assert fire.run_id is not None
        assert (await until_end(engine, fire.run_id)).state == {"host": "db", "count": 3, "doubled": 6}
        await until_end(engine, (await engine.start_run("first", None, {"name": 5})).id)
        newest = (await engine.fires(added.id, 10))[0]
        assert newest.run_id is None
        assert "host must be text" in newest.reason
