"""A backfill starts the fires that its plan lists, and nothing else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Button, Input

from tests.cli.test_cli import Victor
from tests.engine.support import engine_on, until_end, workspace
from tests.tui.conftest import until
from tests.tui.real import console_on, shows
from victor_engine.api import BackfillSpec, RunQuery, ScheduleSpec
from victor_engine.clock import FakeClock
from victor_engine.engine import Engine
from victor_engine.errors import ConflictError, PlanChangedError, UsageError
from victor_engine.service.connect import open_port
from victor_tui import screen_lifecycle
from victor_tui.schedules.backfill_dialog import BackfillDialog
from victor_tui.schedules.backfill_preview import preview_of_one

FLOW = """
    workflows:
      w:
        version: {version}
        nodes:
          - {{id: only, type: transform, transform: "done = 1", next: []}}
    """
NOW = datetime(2026, 4, 10, 12, tzinfo=UTC)


def root_of(tmp_path: Path) -> Path:
    return workspace(tmp_path, {"victor.yaml": "{}", "workflows/w.yaml": FLOW.format(version="1.0.0")})


@asynccontextmanager
async def scheduled(tmp_path: Path) -> AsyncIterator[tuple[Engine, FakeClock, str, BackfillSpec]]:
    """A schedule at six each day, and a backfill of three days of it."""
    clock = FakeClock(NOW)
    async with engine_on(root_of(tmp_path), clock=clock) as engine:
        added = await engine.add_schedule(ScheduleSpec("w", cron="0 6 * * *", timezone="UTC"))
        yield engine, clock, added.id, of_days(added.id, 1, 3)


async def test_a_preview_estimates_its_duration_from_five_runs(tmp_path: Path) -> None:
    async with scheduled(tmp_path) as (engine, _, _, spec):
        for count in (4, 1):
            preview = await engine.preview_backfill(spec)
            assert preview.typical_seconds is None
            for _ in range(count):
                await until_end(engine, (await engine.start_run("w")).id)
        preview = await engine.preview_backfill(spec)
        assert (preview.typical_seconds, preview.estimate_seconds) == (0, 0)
        told = "\n".join(line.plain for line in preview_of_one(spec, preview, UTC))
        assert "usually 0.0s each: about 0.0s in total, 10 at a time" in told


def of_days(schedule_id: str, first: int, last: int, month: int = 4, **more: Any) -> BackfillSpec:
    start, end = datetime(2026, month, first, tzinfo=UTC), datetime(2026, month, last, 23, tzinfo=UTC)
    return BackfillSpec(schedule_id, start, end, concurrency=10, **more)


async def days(engine: Engine) -> list[int]:
    found = await engine.runs(RunQuery(workflow="w", limit=100))
    return sorted(run.nominal.day for run in found if run.nominal is not None)


async def finish(engine: Engine) -> None:
    for run in await engine.runs(RunQuery(workflow="w", limit=100)):
        await until_end(engine, run.id)
    async with asyncio.timeout(20):
        while any(each.status == "running" for each in await engine.backfills()):
            await asyncio.sleep(0)


async def test_a_fire_that_comes_due_after_the_plan_is_not_run(tmp_path: Path) -> None:
    async with scheduled(tmp_path) as (engine, clock, schedule_id, _):
        spec = of_days(schedule_id, 8, 12)
        preview = await engine.preview_backfill(spec)
        assert preview.count == 3
        await clock.advance(24 * 3600)
        assert (await engine.preview_backfill(spec)).count == 4
        started = await engine.start_backfill(spec, plan=preview.plan)
        assert (started.total, started.left_out) == (3, ())
        assert await days(engine) == [8, 9, 10]


async def test_a_fire_that_ran_meanwhile_is_left_out_and_reported(tmp_path: Path) -> None:
    async with scheduled(tmp_path) as (engine, _, schedule_id, spec):
        plan = (await engine.preview_backfill(spec)).plan
        await engine.start_backfill(of_days(schedule_id, 2, 2))
        (run,) = await engine.runs(RunQuery(workflow="w"))
        await finish(engine)
        started = await engine.start_backfill(spec, plan=plan)
        assert started.total == 2
        assert started.left_out == (f"2026-04-02T06:00: run was none, now succeeded ({run.id})",)
        assert await days(engine) == [1, 2, 3]
        await finish(engine)
        with pytest.raises(ConflictError, match=r"all 3 fires of plan .* have changed .*plan again"):
            await engine.start_backfill(spec, plan=plan)


async def test_a_changed_schedule_or_version_refuses_the_whole(tmp_path: Path) -> None:
    async with scheduled(tmp_path) as (engine, _, schedule_id, spec):
        plan = (await engine.preview_backfill(spec)).plan
        edited = ScheduleSpec("w", cron="0 7 * * *", timezone="UTC")
        await engine.edit_schedule(schedule_id, edited)
        with pytest.raises(PlanChangedError, match=r"cron was 0 6 \* \* \*, now 0 7 \* \* \*"):
            await engine.start_backfill(spec, plan=plan)
        plan = (await engine.preview_backfill(spec)).plan
        with pytest.raises(PlanChangedError, match="redo was missing, now all"):
            await engine.start_backfill(of_days(schedule_id, 1, 3, redo="all"), plan=plan)
        (engine.workspace_path / "workflows/new.yaml").write_text(
            "workflows:\n  w:\n    version: 2.0.0\n    nodes: [{id: only, type: transform, transform: 'done = 2'}]\n"
        )
        await engine.reload()
        with pytest.raises(PlanChangedError, match=r"starts version was 1\.0\.0, now 2\.0\.0"):
            await engine.start_backfill(spec, plan=plan)
        assert await days(engine) == []


async def test_the_command_line_applies_a_token_after_a_restart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command that plans has no engine; the plan is applied by an engine that starts later."""
    root = root_of(tmp_path)
    victor = Victor(root, capsys)
    await asyncio.to_thread(victor, "scheduler", "add", "w", "--cron", "0 6 * * *", "--timezone", "UTC")
    async with engine_on(root) as engine:
        (schedule,) = await engine.schedules()
    start = ("scheduler", "backfill", "start", schedule.id)
    wanted = ("--range", "2026-01-01..2026-01-03", "--concurrency", "3", "--dry-run")
    assert await asyncio.to_thread(victor, *start, *wanted) == 0
    token = victor.out.splitlines()[-1].removeprefix("plan: ")
    assert await asyncio.to_thread(victor, *start, *wanted, "--json") == 0
    assert json.loads(victor.out)["count"] == 3
    for words in (("--plan", token, "--range", "yesterday"), ("--plan", token, "--redo", "all")):
        assert await asyncio.to_thread(victor, *start, *words) == 2
        assert "remove --dry-run, the range" in victor.err
    async with open_port(root, root / ".state", mode="embedded") as port:
        await port.start_backfill(of_days(schedule.id, 2, 2, month=1))
        (run,) = await port.runs(RunQuery(workflow="w"))
        async with asyncio.timeout(20):
            while (await port.backfills())[0].status == "running":
                await asyncio.sleep(0.01)
        assert await asyncio.to_thread(victor, *start, "--plan", token[:-9]) == 2
        assert "copy the whole token" in victor.err
        assert await asyncio.to_thread(victor, *start, "--plan", token) == 5
        assert f"2026-01-02T06:00: run was none, now succeeded ({run.id})" in victor.out
        started = (await port.backfills())[0]
        assert (started.total, started.spec.concurrency) == (2, 3)


async def test_a_wrong_or_old_token_is_refused(tmp_path: Path) -> None:
    async with scheduled(tmp_path) as (engine, clock, _, spec):
        plan = (await engine.preview_backfill(spec)).plan
        with pytest.raises(UsageError, match="plan again"):
            await engine.start_backfill(spec, plan="p1.x")
        await clock.advance(25 * 3600)
        with pytest.raises(ConflictError, match="valid for 24 hours; plan again"):
            await engine.start_backfill(spec, plan=plan)
        assert await days(engine) == []


async def test_the_dialog_starts_what_it_shows(tmp_path: Path) -> None:
    async with (
        scheduled(tmp_path) as (engine, clock, schedule_id, _),
        console_on(engine) as pilot,
    ):
        await until(pilot, lambda: pilot.app.screen.query_one("LineTable").rows)  # type: ignore[attr-defined]
        await pilot.press("b")
        await until(pilot, lambda: isinstance(pilot.app.screen, BackfillDialog))
        dialog = pilot.app.screen
        dialog.query_one("#from", Input).value = "2026-04-08"
        dialog.query_one("#to", Input).value = "2026-04-12"
        dialog.query_one("#concurrency", Input).value = "5"
        button = dialog.query_one("#start", Button)
        await until(pilot, lambda: str(button.label) == "Start 3 runs")
        await clock.advance(24 * 3600)  # another fire of the range has come due
        await engine.start_backfill(of_days(schedule_id, 9, 9))
        await finish(engine)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: not isinstance(pilot.app.screen, BackfillDialog))
        await until(pilot, lambda: any("2026-04-09" in note.message for note in pilot.app._notifications))
        await finish(engine)
        assert await days(engine) == [8, 9, 10]


async def test_input_that_was_not_shown_yet_is_shown_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scheduled(tmp_path) as (engine, _, _, _), console_on(engine) as pilot:
        await until(pilot, lambda: pilot.app.screen.query_one("LineTable").rows)  # type: ignore[attr-defined]
        await pilot.press("b")
        await until(pilot, lambda: isinstance(pilot.app.screen, BackfillDialog))
        monkeypatch.setattr(screen_lifecycle, "QUIET", 3600.0)  # no preview comes by itself
        pilot.app.screen.query_one("#concurrency", Input).value = "5"
        pilot.app.screen.query_one("#from", Input).value = "2026-04-08"
        await pilot.press("ctrl+s")
        await shows(pilot, "#error", "ctrl+s again starts it")
        await shows(pilot, "#preview", "3 runs")
        assert await days(engine) == []
        await pilot.press("ctrl+s")
        await until(pilot, lambda: not isinstance(pilot.app.screen, BackfillDialog))
        async with asyncio.timeout(20):
            while await days(engine) != [8, 9, 10]:
                await asyncio.sleep(0)
