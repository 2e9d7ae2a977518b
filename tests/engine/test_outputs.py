"""Declared outputs: the result of a run, checked at its end, and handed to parents and dependent workflows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_cli import Capture, Victor
from tests.engine.support import ME, until_end, workspace
from victor_engine.api import After, ScheduleSpec
from victor_engine.clock import FakeClock
from victor_engine.engine import Engine
from victor_engine.errors import ConflictError, StorageError
from victor_engine.identity import acting_as
from victor_engine.runs.completion import Completion

START = datetime(2026, 5, 4, 8, 30, tzinfo=UTC)
FLOWS = """
    workflows:
      count:
        outputs:
          pages: integer
          name: {type: string, from: report.title}
          note: {type: string, required: false}
        nodes: [{id: a, type: transform, transform: "pages = n * 2; report = ctx.given; other = 1"}]
        tests:
          twice: {state: {n: 2, given: {title: x}}, outputs: {pages: 4, name: x}}
      parent:
        nodes:
          - {id: child, type: workflow, workflow: count, inputs: {n: 3, given: {title: x}}}
      after:
        nodes: [{id: a, type: transform, transform: "seen = pages"}]
      cleanup:
        outputs: {pages: integer}
        nodes: [{id: a, type: transform, transform: "x = 1"}]
        on_failure: {nodes: [{id: b, type: transform, transform: "handled = ctx._run.error_type"}]}
    """
GIVEN = {"n": 4, "given": {"title": "summary"}}


@asynccontextmanager
async def engine_at(root: Path, clock: FakeClock | None = None) -> AsyncIterator[Engine]:
    with acting_as(ME):
        engine = await Engine.open(root, root.parent / "state", clock=clock or FakeClock(START))
        try:
            yield engine
        finally:
            await engine.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir(mode=0o700)
    return workspace(tmp_path, {"victor.yaml": "{}\n", "workflows/f.yaml": FLOWS})


async def test_a_run_has_the_declared_outputs(root: Path) -> None:
    async with engine_at(root) as engine:
        found = await until_end(engine, (await engine.start_run("count", None, GIVEN)).id)
        assert found.run.status == "succeeded", found.run.error
        assert found.outputs == {"pages": 8, "name": "summary"}
        assert found.state["other"] == 1
        plain = await until_end(engine, (await engine.start_run("after", None, {"pages": 1})).id)
        assert plain.outputs is None


@pytest.mark.parametrize(
    ("state", "problems"),
    [
        ({"n": "a", "given": {"title": "x"}}, "pages must be a whole number"),
        ({"n": 1, "given": {}}, "name is required"),
        ({"n": 1.5, "given": {"title": 3}}, "name must be text"),
    ],
)
async def test_a_missing_or_wrong_output_fails_the_run(
    root: Path, state: dict[str, object], problems: str
) -> None:
    async with engine_at(root) as engine:
        found = await until_end(engine, (await engine.start_run("count", None, state)).id)
        assert found.run.status == "failed"
        assert found.run.error is not None
        assert (found.run.error.type, found.run.error.message) == (
            "OutputError",
            f"the outputs are not valid: {problems}",
        )
        assert found.run.dead_letter
        assert found.outputs is None
        with pytest.raises(ConflictError, match="redrive it from a node"):
            await engine.retry_run(found.run.id)
        await engine.redrive_run(found.run.id, from_node="a", state=GIVEN)
        again = await until_end(engine, found.run.id)
        assert (again.run.status, again.outputs) == ("succeeded", {"pages": 8, "name": "summary"})


async def test_the_failure_of_the_outputs_is_handled(root: Path) -> None:
    async with engine_at(root) as engine:
        found = await until_end(engine, (await engine.start_run("cleanup")).id)
        assert found.run.status == "failed"
        assert [each.node_id for each in found.attempts] == ["a", "b"]


async def test_a_parent_and_a_dependent_workflow_get_the_outputs(root: Path) -> None:
    async with engine_at(root) as engine:
        parent = await until_end(engine, (await engine.start_run("parent")).id)
        assert parent.state["child"] == {"pages": 6, "name": "x"}
        good = await engine.add_schedule(
            ScheduleSpec("after", after=After(("count",), take={"pages": "pages"}))
        )
        hidden = await engine.add_schedule(
            ScheduleSpec("after", after=After(("count",), take={"pages": "other"}))
        )
        await until_end(engine, (await engine.start_run("count", None, GIVEN)).id)
        (fire,) = await engine.fires(good.id, 10)
        assert fire.run_id is not None
        assert (await until_end(engine, fire.run_id)).state["seen"] == 8
        (refused,) = await engine.fires(hidden.id, 10)
        assert "count ended without the key 'other'" in refused.reason


def test_the_command_line_shows_the_outputs(root: Path, capsys: Capture) -> None:
    victor = Victor(root, capsys)
    assert victor("run", "count", "-i", "n=4", "-i", 'given={"title": "t"}') == 0
    assert 'outputs: {"pages": 8, "name": "t"}' in victor.out
    run = victor.out.split()[1]
    assert victor("runs", "show", run) == 0
    assert '"pages": 8' in victor.out[victor.out.index("outputs: ") : victor.out.index("state: ")]
    assert victor("test", "count") == 0
    assert victor("run", "count", "--dry-run", "-i", "n=x", "-i", 'given={"title": "t"}') == 10
    assert "OutputError" in victor.out or "pages must be a whole number" in victor.out


@pytest.mark.parametrize(("n", "status"), [(4, "succeeded"), ("a", "failed")])
async def test_a_run_that_is_claimed_again_before_its_end_is_committed_checks_its_outputs(
    root: Path, monkeypatch: pytest.MonkeyPatch, n: object, status: str
) -> None:
    refused = asyncio.Event()
    finish = Completion.finish

    async def fail_once(self: Completion, *given: Any, **named: Any) -> None:
        if not refused.is_set():
            refused.set()
            raise StorageError("the disk is full")
        await finish(self, *given, **named)

    monkeypatch.setattr(Completion, "finish", fail_once)
    clock = FakeClock(START)
    async with engine_at(root, clock) as engine:
        run = await engine.start_run("count", None, {"n": n, "given": {"title": "t"}})
        await asyncio.wait_for(refused.wait(), 30)
        while not clock.sleeping:
            await asyncio.sleep(0)
        await clock.advance(60)
        found = await until_end(engine, run.id)
        assert found.run.status == status
        assert [each.node_id for each in found.attempts] == ["a"]
        if found.run.error is not None:
            assert found.run.error.type == "OutputError"
