"""The dialog of a migration moves what its preview lists, on a real engine."""

from __future__ import annotations

from pathlib import Path

from textual.widgets import Button

from tests.engine.support import engine_on
from tests.tui.conftest import until
from tests.tui.real import console_on, shows
from tests.versioning.test_moving import RENAME, RENAMED, two, waiting
from victor_engine.api import ScheduleSpec
from victor_tui.versions.migrate_dialog import MigrateDialog


async def test_only_what_is_on_the_screen_is_moved(tmp_path: Path) -> None:
    async with engine_on(two(tmp_path, RENAMED, RENAME)) as engine, console_on(engine) as pilot:
        shown, _ = await waiting(engine)
        paused, _ = await waiting(engine)
        schedule = await engine.add_schedule(ScheduleSpec("w", cron="@daily", version="^1"))
        pilot.app.push_screen(MigrateDialog("w", "1.0.0", "2.0.0"))
        await until(pilot, lambda: pilot.app.screen.query("#move"))
        button = pilot.app.screen.query_one("#move", Button)
        await until(pilot, lambda: str(button.label) == "Migrate 2 runs, 1 schedule")
        late, _ = await waiting(engine)
        await engine.pause_run(paused)
        button.press()
        await shows(pilot, "#runs", "1 run migrated")
        await shows(
            pilot, "#runs", "left out, because it changed since the plan: was waiting at ok, now paused at ok"
        )
        versions = {run_id: (await engine.run(run_id)).run.version for run_id in (shown, paused, late)}
        assert versions == {shown: "2.0.0", paused: "1.0.0", late: "1.0.0"}
        assert (await engine.schedule(schedule.id)).spec.version == "2.0.0"


async def test_a_target_that_changed_is_refused_and_planned_again(tmp_path: Path) -> None:
    async with engine_on(two(tmp_path, RENAMED, RENAME)) as engine, console_on(engine) as pilot:
        run_id, _ = await waiting(engine)
        await engine.set_alias("w", "next", "2.0.0")
        pilot.app.push_screen(MigrateDialog("w", "1.0.0", "next"))
        await until(pilot, lambda: pilot.app.screen.query("#move"))
        button = pilot.app.screen.query_one("#move", Button)
        await until(pilot, lambda: str(button.label) == "Migrate 1 run")
        await engine.set_alias("w", "next", "1.0.0")
        button.press()
        await shows(pilot, "#error", "to version was 2.0.0, now 1.0.0")
        assert (await engine.run(run_id)).run.version == "1.0.0"
