"""Actions on schedules: on one, on marked ones, with what became of each; and why one ran or did not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from textual.content import Content
from textual.pilot import Pilot
from textual.widgets import Input, Static

from tests.tui.conftest import console
from tests.tui.test_console import go, lines, preview, settle, table
from tests.tui.world import World
from victor_engine.errors import ConflictError
from victor_tui.app import VictorApp
from victor_tui.dialogs.bulk import BulkDialog
from victor_tui.schedules.explain_dialog import WhyDialog
from victor_tui.schedules.pause_dialog import PauseDialog
from victor_tui.widgets.filter_bar import FilterBar
from victor_tui.widgets.lines import LineView

pytestmark = pytest.mark.usefixtures("quick_keys")


def text_of(app: VictorApp, selector: str) -> str:
    """What a static of the dialog on top says."""
    from rich.console import Console

    content = app.screen.query_one(selector, Static).content
    if isinstance(content, Content):
        return content.plain
    console = Console(width=200)
    with console.capture() as capture:
        console.print(content)
    return capture.get()


async def fill(pilot: Pilot[Any], field: str, value: str) -> None:
    pilot.app.screen.query_one(field, Input).value = value
    await settle(pilot)


async def test_three_are_paused_until_monday_and_each_result_is_said(world: World) -> None:
    app = console(world)
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot)
        table(app).set_marks(world.ids_of("deploy", "daily_report", "host_health"))
        await go(pilot, "p")
        assert isinstance(app.screen, PauseDialog)
        assert "deploy" in text_of(app, ".names")
        await fill(pilot, "#note", "moving")
        await fill(pilot, "#until", "nonsense")
        assert "is not a time" in text_of(app, "#until-preview")
        await go(pilot, "ctrl+s")
        assert isinstance(app.screen, PauseDialog)
        await fill(pilot, "#until", "monday")
        assert "until Monday 2026-03-16 00:00 UTC, in 5d" in text_of(app, "#until-preview")
        await go(pilot, "ctrl+s")
        assert isinstance(app.screen, BulkDialog)
        assert "3 of 3 done" in text_of(app, "#head")
        until = datetime(2026, 3, 16, tzinfo=UTC)
        assert {call[1] for call in world.calls} == {
            (each, "moving", until) for each in world.ids_of("deploy", "daily_report", "host_health")
        }
        await go(pilot, "escape")
        assert table(app).marked_rows == []


async def test_what_failed_is_said_and_stays_marked(world: World) -> None:
    app = console(world)
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot)
        table(app).set_marks(world.ids_of("deploy", "host_health"))
        await go(pilot, "d")
        world.fail_next = ConflictError("it was changed just now by bo")
        await go(pilot, "ctrl+s")
        assert isinstance(app.screen, BulkDialog)
        assert "1 of 2 done" in text_of(app, "#head")
        results = app.screen.query_one("#results", LineView)
        assert "it was changed just now by bo" in results.line_at(0).plain
        await go(pilot, "escape")
        assert [row.id for row in table(app).marked_rows] == world.ids_of("host_health")  # type: ignore[attr-defined]
        assert [call[1][0] for call in world.calls] == world.ids_of("deploy")


async def test_all_are_marked_and_unmarked(world: World) -> None:
    app = console(world)
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot, "ctrl+a")
        assert len(table(app).marked_rows) == len(world.schedule_ids)
        assert all(line.startswith(("•", "»")) for line in lines(app)[1 : 1 + len(world.schedule_ids)])
        await go(pilot, "ctrl+a")
        assert table(app).marked_rows == []


async def test_skip_and_trigger_and_resume_act_on_those_that_can(world: World) -> None:
    app = console(world)
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot)
        table(app).set_marks(world.ids_of("deploy", "publish_metrics", "nightly_backup"))
        await go(pilot, "s", "ctrl+s", "escape")
        # nightly_backup is paused, and the engine skips nothing of a paused schedule.
        assert [call[1][0] for call in world.calls if call[0] == "skip_next"] == world.ids_of(
            "deploy", "publish_metrics"
        )
        assert (await world.engine_.schedule(world.schedule_ids["publish_metrics"])).skip_next
        table(app).set_marks(world.ids_of("deploy", "daily_report"))
        await go(pilot, "t", "ctrl+s", "escape")
        assert [call[1] for call in world.calls if call[0] == "trigger_schedule"] == [
            (each, None, "") for each in world.ids_of("deploy", "daily_report")
        ]
        table(app).set_marks(world.ids_of("deploy", "nightly_backup"))
        await go(pilot, "r")
        assert world.calls[-1] == ("resume_schedule", (world.schedule_ids["nightly_backup"], ""))


async def test_why_did_last_night_not_run(world: World) -> None:
    app = console(world)
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot)
        table(app).select(world.schedule_ids["daily_report"])
        await go(pilot, "w")
        assert isinstance(app.screen, WhyDialog)
        assert "current state" in text_of(app, "#at-preview")
        assert "It fires next at" in text_of(app, "#answer")
        assert "excluded by calendar holidays: Founders' Day" in text_of(app, "#answer")
        await go(pilot, "escape")
        table(app).select(world.schedule_ids["data_pipeline"])
        await go(pilot, "w")
        await fill(pilot, "#at", "today 01:30")
        await go(pilot, "enter")
        assert "Tuesday 2026-03-10 01:30:00 UTC" in text_of(app, "#at-preview")
        answer = text_of(app, "#answer")
        assert "Missed: the engine was down from 2026-03-09 14:32" in answer
        await go(pilot, "escape")
        table(app).select(world.schedule_ids["daily_report"])
        await go(pilot, "w")
        await fill(pilot, "#at", "whenever")
        await go(pilot, "enter")
        assert "whenever is not a time" in text_of(app, "#at-preview")
        await fill(pilot, "#at", "2026-03-29 02:30")
        await go(pilot, "enter")
        assert "does not exist on that day: clocks go forward to 03:00" in text_of(app, "#at-preview")


async def test_the_preview_shows_breaches_failures_chain_and_promises(world: World) -> None:
    app = console(world)
    async with app.run_test(size=(120, 40)) as pilot:
        await go(pilot)
        for workflow, words in (
            ("nightly_backup", ("⚑ 2026-03-10 02:15: run", "was expected to finish")),
            ("deploy", ("1 failed run in a row",)),
            ("daily_report", ("not in holidays", "by calendar holidays: Founders' Day")),
            ("data_pipeline", ("[data_pipeline] ──▶ publish_metrics",)),
            ("publish_metrics", ("waits for its next success",)),
        ):
            table(app).select(world.schedule_ids[workflow])
            await settle(pilot)
            text = preview(app)
            for each in words:
                assert each in text, each
        assert any("⚑" in line and "nightly_backup" in line for line in lines(app))


async def test_a_filter_narrows_and_all_marks_only_what_it_shows(world: World) -> None:
    app = console(world)
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot, "slash", *"da", "enter", "ctrl+a")
        ids = {row.id for row in table(app).marked_rows}  # type: ignore[attr-defined]
        assert set(world.ids_of("daily_report", "data_pipeline")) <= ids
        assert world.schedule_ids["host_health"] not in ids
        await go(pilot, "slash", "escape")
        assert len(table(app).rows) == len(world.schedule_ids)
        await go(pilot, "slash", *"paused", "enter")
        assert [row.id for row in table(app).rows] == world.ids_of("nightly_backup")  # type: ignore[attr-defined]
        bar = app.screen.query_one(FilterBar)
        bar.value = "took:>5m"
        await settle(pilot)
        assert "took is not a field here" in str(bar._note.content)
