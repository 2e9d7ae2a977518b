"""A command on several runs does what its plan shows, and nothing else."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Static

from tests.cli.test_cli import Victor
from tests.engine.support import engine_on, question, until_end, workspace
from tests.tui.conftest import until
from tests.tui.real import console_on, shows
from tests.versioning.test_moving import file, waiting
from victor_engine.api import Answer, RunPlanCommand, RunPlanItem, RunQuery, run_seconds
from victor_engine.clock import FakeClock
from victor_engine.engine import Engine
from victor_engine.errors import (
    ItemChangedError,
    PlanChangedError,
    PlanExpiredError,
    PlanTokenError,
    UsageError,
    VictorError,
)
from victor_tui.dialogs.bulk import BulkDialog

TWICE = """
  - {id: ok, type: hitl, hitl_type: approval, prompt: "Ship?", next: [sure]}
  - {id: sure, type: hitl, hitl_type: approval, prompt: "Sure?", next: [out]}
  - {id: out, type: transform, transform: "done = 1"}
"""
FAILS = """
  - {id: fails, type: transform, transform: "a = missing + 1", next: [out]}
  - {id: out, type: transform, transform: "done = 1"}
"""


def root_of(tmp_path: Path, nodes: str = TWICE) -> Path:
    files = {"workflows/a.yaml": file("1.0.0", nodes), "workflows/b.yaml": file("2.0.0", nodes)}
    return workspace(tmp_path, files)


async def planned(engine: Engine, command: RunPlanCommand, *run_ids: str) -> dict[str, RunPlanItem]:
    return {item.run_id: item for item in (await engine.plan_runs(command, list(run_ids))).items}


async def status(engine: Engine, run_id: str) -> str:
    return (await engine.run(run_id)).run.status


async def failed(engine: Engine) -> str:
    run = await engine.start_run("w", "1.0.0")
    assert (await until_end(engine, run.id)).run.status == "failed"
    return run.id


async def go_on(engine: Engine, run_id: str, asked: Any) -> None:
    """Answer the question of a run, and wait for its next one."""
    await engine.answer(asked.id, asked.revision, Answer(outcome="approved"))
    async with asyncio.timeout(20):
        while (await question(engine, run_id)).node_id != "sure":
            pass


async def test_a_run_that_went_on_is_left_out_and_reported(tmp_path: Path) -> None:
    async with engine_on(root_of(tmp_path)) as engine:
        kept, _ = await waiting(engine)
        moved, asked = await waiting(engine)
        items = await planned(engine, "cancel", kept, moved)
        assert items[kept].effect == "ends, and its wait at ok is cancelled"
        await go_on(engine, moved, asked)
        await engine.cancel_run(kept, plan=items[kept].plan)
        with pytest.raises(
            ItemChangedError, match="was waiting at ok, now waiting at sure; plan again"
        ) as error:
            await engine.cancel_run(moved, plan=items[moved].plan)
        assert error.value.details["changed"] == "was waiting at ok, now waiting at sure"
        assert await status(engine, kept) == "cancelled"
        assert await status(engine, moved) == "waiting"


async def test_a_run_that_is_not_in_the_plan_is_not_touched(tmp_path: Path) -> None:
    async with engine_on(root_of(tmp_path)) as engine:
        shown, _ = await waiting(engine)
        ended, _ = await waiting(engine)
        await engine.cancel_run(ended)
        plan = await engine.plan_runs("pause", [shown, ended, "nope"])
        assert [(item.run_id, bool(item.effect), bool(item.plan)) for item in plan.items] == [
            (shown, True, True),
            (ended, False, False),
            ("nope", False, False),
        ]
        assert plan.items[1].reason.startswith("is cancelled; only a run that is")
        late, _ = await waiting(engine)
        for run_id, why in ((late, "the plan does not list it"), (ended, "is cancelled")):
            with pytest.raises(PlanTokenError, match=f"is not part of the plan: {why}"):
                await engine.pause_run(run_id, plan=plan.plan)
        await engine.pause_run(shown, plan=plan.plan)
        assert await status(engine, shown) == "paused"
        assert await status(engine, late) == "waiting"


@pytest.mark.parametrize("command", ["retry", "redrive", "rerun", "discard"])
async def test_a_failed_run_that_was_tried_again_is_left_out(tmp_path: Path, command: RunPlanCommand) -> None:
    """It stands where it stood, with the same status: its attempts tell that it was tried."""
    async with engine_on(root_of(tmp_path, FAILS)) as engine:
        run_id = await failed(engine)
        item = (await planned(engine, command, run_id))[run_id]
        await engine.retry_run(run_id)
        await until_end(engine, run_id)
        actions = {
            "retry": engine.retry_run,
            "redrive": engine.redrive_run,
            "rerun": engine.rerun,
            "discard": engine.discard_run,
        }
        with pytest.raises(ItemChangedError, match=r"revision was \d+, now \d+; last attempt was"):
            await actions[command](run_id, plan=item.plan)  # type: ignore[operator]
        item = (await planned(engine, command, run_id))[run_id]
        await actions[command](run_id, plan=item.plan)  # type: ignore[operator]


async def test_another_version_to_go_on_with_refuses_the_whole(tmp_path: Path) -> None:
    async with engine_on(root_of(tmp_path, FAILS)) as engine:
        run_id = await failed(engine)
        await engine.set_alias("w", "next", "1.0.0")
        plan = (await engine.plan_runs("redrive", [run_id], version="next")).plan
        await engine.set_alias("w", "next", "2.0.0")
        with pytest.raises(PlanChangedError, match=r"version of w was 1\.0\.0, now 2\.0\.0"):
            await engine.redrive_run(run_id, version="next", plan=plan)
        with pytest.raises(PlanChangedError, match="from node was none, now out"):
            await engine.redrive_run(run_id, "out", version="next", plan=plan)
        await engine.set_alias("w", "next", "1.0.0")
        with pytest.raises(PlanChangedError, match=r"gives run .* another state"):
            await engine.redrive_run(run_id, state={}, version="next", plan=plan)
        with pytest.raises(UsageError, match="cannot be combined with a plan"):
            await engine.redrive_run(run_id, version="next", rewind=True, plan=plan)
        assert await status(engine, run_id) == "failed"


async def test_a_redrive_is_planned_by_the_rules_by_which_it_is_applied(tmp_path: Path) -> None:
    """The plan names a node that does not exist, and a version with work that cannot run here."""
    unbound = FAILS.replace('"done = 1"', '"done = 1", next: [nb]')
    files = {
        "victor.yaml": "handlers: {nobody: {command: [cat]}}",
        "workflows/a.yaml": file("1.0.0", FAILS),
        "workflows/b.yaml": file("2.0.0", FAILS.replace("id: fails", "id: works")),
        "workflows/c.yaml": file("3.0.0", unbound + "  - {id: nb, type: compute, handler: nobody}\n"),
    }
    root = workspace(tmp_path, files)
    async with engine_on(root):
        pass
    (root / "victor.yaml").write_text("")  # the version stays in the store
    async with engine_on(root) as engine:
        run_id = await failed(engine)
        for version, node, reason in (
            (None, "nowhere", "no node 'nowhere'"),
            ("2.0.0", None, "no node 'fails'"),
            ("3.0.0", None, "cannot run here"),
        ):
            plan = await engine.plan_runs("redrive", [run_id], version=version, from_node=node)
            (item,) = plan.items
            assert (item.effect, item.plan) == ("", "")
            assert item.reason.startswith("cannot continue there: ")
            assert reason in item.reason
            with pytest.raises(VictorError, match=reason):
                await engine.redrive_run(run_id, node, version=version)
        (item,) = (await engine.plan_runs("redrive", [run_id], version="2.0.0", from_node="works")).items
        assert (item.effect, item.reason) == ("continues at works on version 2.0.0", "")


async def test_the_time_before_a_redrive_does_not_count_as_duration(tmp_path: Path) -> None:
    clock = FakeClock()
    files = {
        "workflows/w.yaml": file("1.0.0", FAILS),
        "workflows/fixed.yaml": file("2.0.0", FAILS.replace("missing", "1")),
    }
    async with engine_on(workspace(tmp_path, files), clock=clock) as engine:
        run_id = await failed(engine)
        clock.set_wall(clock.now() + timedelta(hours=3))
        await engine.redrive_run(run_id, version="2.0.0")
        run = (await until_end(engine, run_id)).run
        assert run.status == "succeeded"
        assert run.idle_seconds == 3 * 3600
        assert run_seconds(run, clock.now()) == 0
        assert (await engine.run_stats(RunQuery())).longest == 0
        assert await engine.runs(RunQuery(longer_than=60)) == []


async def test_a_plan_outlives_a_restart_and_ends_after_a_day(tmp_path: Path) -> None:
    root, clock = root_of(tmp_path), FakeClock()
    async with engine_on(root, clock=clock) as engine:
        first, _ = await waiting(engine)
        second, _ = await waiting(engine)
        plan = (await engine.plan_runs("cancel", [first, second])).plan
    async with engine_on(root, clock=clock) as engine:
        await engine.cancel_run(first, plan=plan)
        with pytest.raises(PlanTokenError, match="is a plan of cancel of runs, not of pause of runs"):
            await engine.pause_run(second, plan=plan)
        with pytest.raises(PlanTokenError, match="copy the whole token"):
            await engine.cancel_run(second, plan=plan[:-5])
        await clock.advance(25 * 3600)
        with pytest.raises(PlanExpiredError, match="valid for 24 hours; plan again"):
            await engine.cancel_run(second, plan=plan)
        assert (await status(engine, first), await status(engine, second)) == ("cancelled", "waiting")


def test_the_command_line_plans_and_applies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = root_of(tmp_path)
    victor = Victor(root, capsys)

    async def two_wait() -> list[str]:
        async with engine_on(root) as engine:
            return [(await waiting(engine))[0] for _ in range(2)]

    async def one_is_paused(run_id: str) -> None:
        async with engine_on(root) as engine:
            await engine.pause_run(run_id)

    first, second = asyncio.run(two_wait())
    assert victor("runs", "cancel", first, second, "--dry-run") == 0
    assert f"{first}  w 1.0.0, waiting: ends, and its wait at ok is cancelled" in victor.out
    token = victor.out.splitlines()[-1].removeprefix("plan: ")
    assert victor("runs", "cancel", first, "--plan", token) == 2
    assert victor("runs", "cancel") == 2
    assert victor("runs", "pause", "--plan", token) in (2, 7)
    asyncio.run(one_is_paused(second))
    assert victor("runs", "cancel", "--plan", token, "--json") == 5
    done, left = json.loads(victor.out)
    assert (done["given"], done["ok"]) == (first, True)
    assert (left["given"], left["error"]["code"]) == (second, "item_changed")
    assert left["error"]["details"]["changed"] == "was waiting at ok, now paused at ok"
    assert victor("runs", "redrive", first, second, "--dry-run", "--json") == 0
    plan = json.loads(victor.out)
    assert [item["effect"] for item in plan["items"]] == ["continues at ok", "continues at ok"]
    assert victor("runs", "redrive", "--plan", plan["plan"]) == 0
    assert victor.out.splitlines()[-1] == "2 done"
    asyncio.run(one_is_paused(first))
    assert victor("runs", "redrive", first, "--set", "a=1", "--dry-run") == 0
    assert "continues at ok, with another state (a)" in victor.out
    token = victor.out.splitlines()[-1].removeprefix("plan: ")
    assert victor("runs", "redrive", "--plan", token, "--set", "a=2") == 5
    assert "another state. Nothing was changed; plan again" in victor.err
    assert victor("runs", "redrive", "--plan", token, "--set", "a=1") == 0


async def test_the_console_does_what_it_asked_about(tmp_path: Path) -> None:
    async with engine_on(root_of(tmp_path)) as engine:
        kept, _ = await waiting(engine)
        moved, asked = await waiting(engine)
        async with console_on(engine) as pilot:
            await pilot.press("2")
            await until(pilot, lambda: len(getattr(pilot.app.screen.query_one("LineTable"), "rows", ())) == 2)
            await pilot.press("space", "space", "K")
            await until(pilot, lambda: "its wait at ok is cancelled" in _words(pilot))
            assert kept in _words(pilot)
            await go_on(engine, moved, asked)
            await pilot.press("ctrl+s")
            await until(pilot, lambda: isinstance(pilot.app.screen, BulkDialog))
            await shows(pilot, "#head", "1 of 2 done")
            await shows(pilot, "#count", "1 failed")
            lines = [str(line) for line in pilot.app.screen.query_one("#results")._lines]  # type: ignore[attr-defined]
            assert any("was waiting at ok, now waiting at sure" in line for line in lines)
        assert (await status(engine, kept), await status(engine, moved)) == ("cancelled", "waiting")


def _words(pilot: Any) -> str:
    return "\n".join(str(each.content) for each in pilot.app.screen.query(Static))
