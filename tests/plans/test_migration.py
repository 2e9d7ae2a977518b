"""A migration applies what its plan lists, and nothing else."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import msgspec
import pytest

from tests.cli.test_cli import Victor
from tests.engine.support import engine_on, question, workspace
from tests.versioning.test_moving import RENAME, RENAMED, V1, file, two, waiting
from victor_engine.api import Answer, MigrationSpec, ScheduleSpec
from victor_engine.clock import FakeClock
from victor_engine.domain import plans
from victor_engine.engine import Engine
from victor_engine.errors import ConflictError, PlanChangedError, UsageError

ALL = MigrationSpec("w", "2.0.0", from_version="1.0.0", schedules=True)
TWICE = """
  - {id: first, type: transform, transform: "a = 1", next: [ok]}
  - {id: ok, type: hitl, hitl_type: approval, prompt: "Ship {a}?", timeout: 4h, next: [sure]}
  - {id: sure, type: hitl, hitl_type: approval, prompt: "Sure?", next: [out]}
  - {id: out, type: transform, transform: "done = 1"}
"""


async def version(engine: Engine, run_id: str) -> str:
    return (await engine.run(run_id)).run.version


async def test_a_run_that_appears_after_the_plan_is_not_moved(tmp_path: Path) -> None:
    async with engine_on(two(tmp_path, RENAMED, RENAME)) as engine:
        shown, _ = await waiting(engine)
        report = await engine.plan_migration(ALL)
        late, _ = await waiting(engine)
        added = await engine.add_schedule(ScheduleSpec("w", cron="@daily", version="^1"))
        done = await engine.migrate_runs(ALL, plan=report.plan)
        assert [(move.run_id, move.outcome) for move in done.runs] == [(shown, "migrated")]
        assert done.schedules == ()
        assert await version(engine, late) == "1.0.0"
        assert (await engine.schedule(added.id)).spec.version == "^1"


async def test_what_changed_since_is_left_out_and_reported(tmp_path: Path) -> None:
    renamed = TWICE.replace("id: ok", "id: approve").replace("next: [ok]", "next: [approve]")
    async with engine_on(two(tmp_path, renamed, RENAME, old=TWICE)) as engine:
        kept, _ = await waiting(engine)
        answered, asked = await waiting(engine)
        added = await engine.add_schedule(ScheduleSpec("w", cron="@daily", version="^1"))
        plan = (await engine.plan_migration(ALL)).plan
        await engine.answer(asked.id, asked.revision, Answer(outcome="approved"))
        async with asyncio.timeout(20):
            while (await question(engine, answered)).node_id != "sure":
                pass
        await engine.edit_schedule(added.id, ScheduleSpec("w", cron="0 5 * * *", version="^1"))
        done = await engine.migrate_runs(ALL, plan=plan)
        moves = {move.run_id: move for move in done.runs}
        assert moves[kept].outcome == "migrated"
        assert (moves[answered].outcome, moves[answered].changed) == (
            "refused",
            "was waiting at ok, now waiting at sure",
        )
        assert moves[answered].reason.startswith(
            "left out, because it changed since the plan: was waiting at ok"
        )
        assert await version(engine, answered) == "1.0.0"
        (schedule,) = done.schedules
        assert (schedule.outcome, schedule.changed) == ("refused", "cron was @daily, now 0 5 * * *")
        assert (await engine.schedule(added.id)).spec.version == "^1"


async def test_a_run_that_was_shown_as_staying_behind_stays(tmp_path: Path) -> None:
    async with engine_on(two(tmp_path, RENAMED, RENAME)) as engine:
        run_id, _ = await waiting(engine)
        await engine.cancel_run(run_id)
        spec = MigrationSpec("w", "2.0.0", run_ids=(run_id,))
        report = await engine.plan_migration(spec)
        (done,) = (await engine.migrate_runs(spec, plan=report.plan)).runs
        assert (done.outcome, done.reason, done.changed) == ("refused", report.runs[0].reason, "")


async def test_a_changed_target_or_rule_refuses_the_whole(tmp_path: Path) -> None:
    files = {
        "workflows/c.yaml": file(
            "3.0.0", RENAMED, "{from: 2.0.0, to: 3.0.0, steps: [{type: add_field, field: n, default: 1}]}"
        )
    }
    async with engine_on(two(tmp_path, RENAMED, RENAME, **files)) as engine:
        run_id, _ = await waiting(engine)
        await engine.set_alias("w", "next", "2.0.0")
        spec = MigrationSpec("w", "next", from_version="1.0.0")
        plan = (await engine.plan_migration(spec)).plan
        await engine.set_alias("w", "next", "3.0.0")
        with pytest.raises(
            PlanChangedError, match=r"to version was 2\.0\.0, now 3\.0\.0.*plan again"
        ) as error:
            await engine.migrate_runs(spec, plan=plan)
        assert error.value.exit_code == 5
        with pytest.raises(PlanChangedError, match=r"runs was none"):
            await engine.migrate_runs(MigrationSpec("w", "2.0.0", run_ids=(run_id,)), plan=plan)
        assert await version(engine, run_id) == "1.0.0"


async def test_another_migration_refuses_the_whole(tmp_path: Path) -> None:
    """A shorter way that was registered after the plan is not what was shown."""
    files = {
        "workflows/c.yaml": file(
            "3.0.0", RENAMED, "{from: 2.0.0, to: 3.0.0, steps: [{type: add_field, field: n, default: 1}]}"
        )
    }
    root = two(tmp_path, RENAMED, RENAME, **files)
    spec = MigrationSpec("w", "3.0.0", from_version="1.0.0")
    async with engine_on(root) as engine:
        run_id, _ = await waiting(engine)
        plan = (await engine.plan_migration(spec)).plan
        direct = RENAME.replace("to_version: 2.0.0", "to_version: 3.0.0")
        more = "{from: 2.0.0, to: 3.0.0, steps: [{type: add_field, field: n, default: 1}]}"
        (root / "workflows/c.yaml").write_text(file("3.0.0", RENAMED, more, direct))
        await engine.reload()
        with pytest.raises(
            PlanChangedError, match=r"way from 1\.0\.0 was 1\.0\.0->2\.0\.0 .*now 1\.0\.0->3\.0\.0"
        ):
            await engine.migrate_runs(spec, plan=plan)
        assert await version(engine, run_id) == "1.0.0"


async def test_a_plan_outlives_a_restart(tmp_path: Path) -> None:
    root = two(tmp_path, RENAMED, RENAME)
    async with engine_on(root) as engine:
        run_id, _ = await waiting(engine)
        plan = (await engine.plan_migration(ALL)).plan
    async with engine_on(root) as engine:
        late, _ = await waiting(engine)
        (done,) = (await engine.migrate_runs(ALL, plan=plan)).runs
        assert (done.run_id, done.outcome) == (run_id, "migrated")
        assert await version(engine, late) == "1.0.0"


async def test_a_wrong_or_old_token_is_refused_with_the_remedy(tmp_path: Path) -> None:
    root = two(tmp_path, RENAMED, RENAME)
    clock = FakeClock()
    async with engine_on(root, clock=clock) as engine:
        run_id, _ = await waiting(engine)
        plan = (await engine.plan_migration(ALL)).plan
        for token in ("nonsense", plan[:-4], plan.replace("p1.", "p1.0"), ""):
            with pytest.raises(UsageError, match=r"not the token of a plan.*plan again"):
                await engine.migrate_runs(ALL, plan=token)
        other = msgspec.structs.replace(plans.open_plan(plan), kind="backfill").token()
        with pytest.raises(UsageError, match="is a plan of backfill, not of migration; plan migration first"):
            await engine.migrate_runs(ALL, plan=other)
        await clock.advance(25 * 3600)
        with pytest.raises(ConflictError, match="was valid for 24 hours; plan again"):
            await engine.migrate_runs(ALL, plan=plan)
        assert await version(engine, run_id) == "1.0.0"


async def test_the_same_plan_has_the_same_digest(tmp_path: Path) -> None:
    async with engine_on(two(tmp_path, RENAMED, RENAME)) as engine:
        await waiting(engine)
        first = plans.open_plan((await engine.plan_migration(ALL)).plan)
        again = plans.open_plan((await engine.plan_migration(ALL)).plan)
        assert (first.digest, first.items) == (again.digest, again.items)
        await waiting(engine)
        assert plans.open_plan((await engine.plan_migration(ALL)).plan).digest != first.digest


def test_the_command_line_applies_a_token(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {"workflows/a.yaml": file("1.0.0", V1), "workflows/b.yaml": file("2.0.0", RENAMED, RENAME)}
    root = workspace(tmp_path, files)
    victor = Victor(root, capsys)

    async def one_waits() -> str:
        async with engine_on(root) as engine:
            return (await waiting(engine))[0]

    shown = asyncio.run(one_waits())
    migrate = ("versions", "migrate", "w", "1.0.0", "2.0.0")
    assert victor(*migrate, "--dry-run") == 0
    token = victor.out.splitlines()[-1].removeprefix("plan: ")
    assert victor(*migrate, "--dry-run", "--json") == 0
    assert plans.open_plan(json.loads(victor.out)["plan"]).digest == plans.open_plan(token).digest
    late = asyncio.run(one_waits())
    assert victor(*migrate, "--plan", token, "--json") == 0
    assert [move["run_id"] for move in json.loads(victor.out)["runs"]] == [shown]
    assert victor(*migrate, "--plan", token) == 5
    assert "left out, because it changed since the plan" in victor.out
    assert victor(*migrate, "--plan", token, "--dry-run") == 2
    assert victor(*migrate, "--plan", "nonsense") == 2
    assert "plan again" in victor.err
    assert victor("versions", "migrate", "w", "1.0.0", "2.0.0", "--run", late, "--plan", token) == 5
    assert "no longer applies" in victor.err
