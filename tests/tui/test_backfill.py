"""Backfills in the console: a preview while one types, one or several, and one under way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from textual.widgets import Button

from tests.tui.conftest import console, until
from tests.tui.one_thread import idle
from tests.tui.realport import NOW
from tests.tui.test_console import go, preview, settle, table
from tests.tui.test_schedule_actions import fill, text_of
from tests.tui.world import World
from victor_engine.api import BackfillSpec
from victor_engine.errors import ConflictError
from victor_tui.dialogs.bulk import BulkDialog
from victor_tui.schedules.backfill_dialog import BackfillDialog
from victor_tui.schedules.backfill_progress import BackfillProgressDialog

pytestmark = pytest.mark.usefixtures("quick_keys")


async def test_last_week_is_previewed_and_started(world: World) -> None:
    app = console(world)
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot)
        table(app).select(world.schedule_ids["nightly_backup"])
        await go(pilot, "b")
        assert isinstance(app.screen, BackfillDialog)
        await go(pilot, "ctrl+s")
        assert "Enter a start" in text_of(app, "#from-error")
        await fill(pilot, "#from", "last week")
        await fill(pilot, "#note", "the array is back")
        assert await app.screen._check()
        said = text_of(app, "#preview")
        assert "Mon 2026-03-02 00:00 to Sun 2026-03-08 23:59 UTC" in said
        assert "7 runs of version 1.4.2" in said
        assert "usually" not in said, "too few runs have succeeded"
        assert str(app.screen.query_one("#start", Button).label) == "Start 7 runs"
        await go(pilot, "ctrl+s")
        name, (spec, note, _) = world.calls[-1]
        assert (name, note) == ("start_backfill", "the array is back")
        assert isinstance(spec, BackfillSpec)
        assert spec.start == datetime(2026, 3, 2, tzinfo=UTC)
        assert spec.end == datetime(2026, 3, 9, tzinfo=UTC) - timedelta(microseconds=1)
        await settle(pilot)
        await until(pilot, lambda: "backfill 1 running: 0 of 7 done, 1 running" in preview(app))


async def test_what_is_refused_starts_nothing(world: World) -> None:
    app = console(world)
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot)
        table(app).select(world.schedule_ids["data_pipeline"])
        await go(pilot, "b")
        for start, end, error, words in (
            ("2016-01-01", "", "#preview", "a backfill runs at most 20,000; choose a shorter range"),
            ("-1d", "-2d", "#to-error", "before the start"),
            ("some day", "", "#from-error", "is not a time"),
        ):
            await fill(pilot, "#from", start)
            await fill(pilot, "#to", end)
            await go(pilot, "ctrl+s")
            assert words in text_of(app, error)
        await fill(pilot, "#from", "-7d")
        await fill(pilot, "#to", "")
        await fill(pilot, "#concurrency", "0")
        await go(pilot, "ctrl+s")
        assert "1 or more" in text_of(app, "#concurrency-error")
        assert isinstance(app.screen, BackfillDialog)
        assert not world.calls


async def test_several_are_backfilled_with_a_result_for_each(world: World) -> None:
    app = console(world)
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot)
        table(app).set_marks(world.ids_of("nightly_backup", "daily_report"))
        await go(pilot, "b")
        await fill(pilot, "#from", "-3d")
        assert isinstance(app.screen, BackfillDialog)
        await app.screen._check()
        assert "4 runs" in text_of(app, "#preview")
        await go(pilot, "ctrl+s")
        assert isinstance(app.screen, BulkDialog)
        assert {call[1][0].schedule_id for call in world.calls} == set(
            world.ids_of("nightly_backup", "daily_report")
        )


async def test_one_under_way_is_held_and_ended(world: World) -> None:
    spec = BackfillSpec(world.schedule_ids["nightly_backup"], NOW - timedelta(days=6), NOW)
    started = await world.start_backfill(spec)
    for done in range(2):
        await idle()
        await world.clock.advance(9)
        await idle()
        await world.clock.advance(9)

        async def is_done(done: int = done) -> bool:
            (info,) = await world.backfills()
            return (info.succeeded, info.running) == (done + 1, 1)

        await world.until(is_done)
    app = console(world)
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot)
        table(app).select(world.schedule_ids["nightly_backup"])
        await go(pilot, "b")
        assert isinstance(app.screen, BackfillProgressDialog)
        said = text_of(app, "#progress")
        assert f"2 of {started.total}  running" in said
        assert f"· {started.total - 3} pending" in said
        await go(pilot, "p", "c")
        assert "running" in text_of(app, "#progress")  # no letter holds or ends it
        await go(pilot, "tab", "enter")
        await until(pilot, lambda: "paused" in text_of(app, "#progress"))
        assert str(app.screen.query_one("#hold", Button).label) == "Resume"
        await go(pilot, "enter")
        await until(pilot, lambda: "running" in text_of(app, "#progress"))
        world.fail_next = ConflictError("backfill 1 is finished")
        await go(pilot, "enter")
        assert "backfill 1 is finished" in text_of(app, "#error")
        await go(pilot, "tab", "enter", "ctrl+s")
        await until(pilot, lambda: "cancelled" in text_of(app, "#progress"))
        assert not app.screen.query_one("#end", Button).display
        assert [call[0] for call in world.calls[1:]] == [
            "pause_backfill",
            "resume_backfill",
            "cancel_backfill",
        ]
        await go(pilot, "escape")
        assert len(app.screen_stack) == 1
