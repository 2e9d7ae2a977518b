"""An edit of a schedule applies to what its preview was made from."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from textual.pilot import Pilot
from textual.widgets import Input

from tests.cli.test_cli import Victor
from tests.engine.support import engine_on
from tests.plans.test_backfill import root_of
from tests.tui.conftest import until
from tests.tui.real import console_on, shows
from victor_engine.api import ScheduleSpec
from victor_engine.engine import Engine
from victor_engine.errors import ItemChangedError, PlanChangedError, PlanTokenError
from victor_tui import screen_lifecycle
from victor_tui.schedules.edit_dialog import ScheduleDialog

OLD = ScheduleSpec("w", cron="0 6 * * *", timezone="UTC")
NEW = replace(OLD, cron="0 7 * * *")


async def test_a_schedule_that_changed_since_is_left_alone_and_reported(tmp_path: Path) -> None:
    async with engine_on(root_of(tmp_path)) as engine:
        added = (await engine.add_schedule(OLD)).id
        preview = await engine.preview_schedule(NEW, schedule_id=added)
        assert preview.changes == ('cron: "0 6 * * *" -> "0 7 * * *"',)
        other = replace(OLD, timezone="Europe/Berlin")
        await engine.edit_schedule(added, other)
        with pytest.raises(ItemChangedError, match=r"timezone was none, now Europe/Berlin; plan again"):
            await engine.edit_schedule(added, NEW, plan=preview.plan)
        assert (await engine.schedule(added)).spec == other


async def test_another_edit_or_version_than_was_shown_is_refused(tmp_path: Path) -> None:
    root = root_of(tmp_path)
    async with engine_on(root) as engine:
        added = (await engine.add_schedule(OLD)).id
        plan = (await engine.preview_schedule(NEW, schedule_id=added)).plan
        second = (await engine.add_schedule(replace(OLD, cron="0 8 * * *"))).id
        with pytest.raises(PlanChangedError, match=f"schedule was {added}, now {second}"):
            await engine.edit_schedule(second, NEW, plan=plan)
        with pytest.raises(PlanChangedError, match="no longer applies"):
            await engine.edit_schedule(added, replace(NEW, jitter=60.0), plan=plan)
        (root / "workflows/new.yaml").write_text(
            "workflows:\n  w:\n    version: 2.0.0\n    nodes: [{id: only, type: transform, transform: 'done = 2'}]\n"
        )
        await engine.reload()
        with pytest.raises(PlanChangedError, match=r"starts version was 1\.0\.0, now 2\.0\.0"):
            await engine.edit_schedule(added, NEW, plan=plan)
        with pytest.raises(PlanTokenError, match="plan again"):
            await engine.edit_schedule(added, NEW, plan="p1.x.y")
        assert (await engine.schedule(added)).spec == OLD


def test_the_command_line_saves_a_token_after_a_restart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    victor = Victor(root_of(tmp_path), capsys)
    assert victor("scheduler", "add", "w", "--cron", "0 6 * * *") == 0
    schedule = victor.out.split()[0]
    edit = ("scheduler", "edit", schedule)
    assert victor(*edit, "--cron", "0 7 * * *", "--dry-run") == 0
    assert 'cron: "0 6 * * *" -> "0 7 * * *"' in victor.out
    token = victor.out.splitlines()[-1].removeprefix("plan: ")
    assert victor(*edit, "--plan", token, "--every", "4h") == 2
    assert victor(*edit, "--plan", token) == 0
    assert "changed: " in victor.out
    assert victor(*edit, "--plan", token) == 5
    assert "cron was 0 6 * * *, now 0 7 * * *; plan again" in victor.err


@asynccontextmanager
async def form(tmp_path: Path) -> AsyncIterator[tuple[Pilot[Any], Engine, str, ScheduleDialog]]:
    """The form of a schedule that the operator's key opened."""
    async with engine_on(root_of(tmp_path)) as engine:
        added = (await engine.add_schedule(OLD)).id
        async with console_on(engine) as pilot:
            await until(pilot, lambda: pilot.app.screen.query_one("LineTable").rows)  # type: ignore[attr-defined]
            await pilot.press("e")
            await until(pilot, lambda: isinstance(pilot.app.screen, ScheduleDialog) and pilot.app.focused)
            await shows(pilot, "#preview", "UTC")
            dialog: Any = pilot.app.screen
            yield pilot, engine, added, dialog


async def cron_is(engine: Engine, schedule_id: str, cron: str) -> None:
    async with asyncio.timeout(20):
        while (await engine.schedule(schedule_id)).spec.cron != cron:
            await asyncio.sleep(0.01)


async def test_the_form_shows_what_changes_and_saves_it(tmp_path: Path) -> None:
    async with form(tmp_path) as (pilot, engine, added, dialog):
        dialog.query_one("#expression", Input).value = "0 7 * * *"
        await shows(pilot, "#preview", 'cron: "0 6 * * *" -> "0 7 * * *"')
        await pilot.press("ctrl+s")
        await cron_is(engine, added, "0 7 * * *")


async def test_the_form_does_not_undo_an_edit_of_another_user(tmp_path: Path) -> None:
    async with form(tmp_path) as (pilot, engine, added, dialog):
        other = replace(OLD, timezone="Europe/Berlin")
        await engine.edit_schedule(added, other)
        dialog.query_one("#expression", Input).value = "0 7 * * *"
        await pilot.press("ctrl+s")
        await shows(pilot, "#error", "has changed since you opened it")
        assert isinstance(pilot.app.screen, ScheduleDialog)
        assert (await engine.schedule(added)).spec == other


async def test_the_form_shows_an_edit_before_it_saves_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with form(tmp_path) as (pilot, engine, added, dialog):
        monkeypatch.setattr(screen_lifecycle, "QUIET", 3600.0)  # no preview comes by itself
        dialog.query_one("#expression", Input).value = "0 7 * * *"
        await pilot.press("ctrl+s")
        await shows(pilot, "#error", "ctrl+s again saves them")
        await shows(pilot, "#preview", "0 7 * * *")
        assert (await engine.schedule(added)).spec == OLD
        await pilot.press("ctrl+s")
        await cron_is(engine, added, "0 7 * * *")
