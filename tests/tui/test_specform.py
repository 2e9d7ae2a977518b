"""A schedule's form: its text and back, the keys that are written as YAML, and the preview of fires."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace
from textual.widgets import Select, TextArea

from tests.tui.conftest import console, until
from tests.tui.realport import NOW, RealPort
from tests.tui.test_console import go, table
from tests.tui.test_schedule_actions import fill, text_of
from tests.tui.world import World
from victor_engine.api import Expect, ScheduleSpec
from victor_tui.schedules.edit_dialog import ScheduleDialog, fire_lines
from victor_tui.schedules.extra_settings import read_more
from victor_tui.schedules.spec_form import SpecFields, fields_from, spec_from

pytestmark = pytest.mark.usefixtures("quick_keys")

BERLIN = ZoneInfo("Europe/Berlin")
FULL = ScheduleSpec(
    "report",
    cron="0 9 * * *",
    timezone="Europe/Berlin",
    jitter=90.0,
    start_date=datetime(2026, 3, 1, 8, 30, 0, 123, tzinfo=UTC),
    end_date=datetime(2026, 12, 31, 22, 59, 59, tzinfo=UTC),
    exclude=("holidays", "audit"),
    expect=Expect(start_within=300.0, finish_by="07:30"),
    priority=-2,
    misfire_grace=0.5,
    catchup_window=86400.0,
    max_runs=9,
    pause_after_failures=3,
    description="What: of the day",
)


def test_what_is_shown_is_read_back() -> None:
    fields = fields_from(FULL)
    assert "exclude: [holidays, audit]" in fields.more
    assert "2026-03-01 09:30+01:00" in fields.more
    assert spec_from(fields, FULL) == (FULL, {})
    again, errors = spec_from(fields, None)
    assert not errors
    assert again == replace(FULL, start_date=datetime(2026, 3, 1, 8, 30, tzinfo=UTC))
    assert fields_from(ScheduleSpec("w", cron="@daily")).more == ""


def test_keys_that_are_taken_out_are_their_defaults_again() -> None:
    fields = fields_from(FULL)
    changed = SpecFields(fields.workflow, fields.way, fields.expression, fields.timezone, more="priority: 5")
    spec, errors = spec_from(changed, FULL)
    assert not errors
    assert spec is not None
    assert (spec.priority, spec.jitter, spec.expect, spec.misfire_grace) == (5, 0.0, None, 60.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("jitter: [", "Line 1"),
        ("jitter: " + "[" * 3000, "nested too deeply"),
        ("- a", "Keys with values"),
        ("jiter: 5m", "jitter"),
        ("cron: '* * * * *'", "cron is not a key of this field"),
        ("expect: {finish_by: noon}", "not a time of day"),
        ("max_runs: 0", "at least 1"),
        ("start_date: soon", "not a date or time"),
        ("start_date: 2026-03-02\nend_date: 2026-03-01", "end_date"),
        ("1: 2", "1 is not a key of this field"),
    ],
)
def test_what_is_wrong_is_said_with_its_key_or_place(text: str, words: str) -> None:
    with pytest.raises(ValueError, match="(?i)" + words):
        read_more(text, "w", "UTC")
    _, errors = spec_from(SpecFields("w", "cron", "@daily", more=text), None)
    assert set(errors) == {"more"}


def test_a_wall_time_without_an_offset_is_in_the_zone_of_the_schedule() -> None:
    found = read_more("start_date: 2026-07-01 09:00\nexpect: {finish_by: 07:30}", "w", "Europe/Berlin")
    assert found["start_date"] == datetime(2026, 7, 1, 7, tzinfo=UTC)
    assert found["expect"] == Expect(finish_by="07:30")


def test_fires_show_their_offset_and_where_the_clocks_change() -> None:
    fires = tuple(datetime(2026, 3, day, 7, 30, tzinfo=BERLIN) for day in (27, 28, 29, 30))
    lines = [line.plain for line in fire_lines(fires, BERLIN, NOW, {fires[1]: "holidays (fair)"})]
    assert lines[0].startswith("  Fri 2026-03-27 07:30 CET  +01:00  06:30 UTC  in 16d")
    assert lines[1].startswith("× Sat 2026-03-28 07:30")
    assert lines[1].endswith("excluded by holidays (fair)")
    assert lines[2] == "  clocks go forward by 1h 00m: +01:00 → +02:00"
    assert lines[3].startswith("  Sun 2026-03-29 07:30 CEST +02:00  05:30 UTC")
    assert len(lines) == 5


async def test_the_form_previews_over_the_clock_change_and_saves(world: World) -> None:
    app = console(world)
    schedule_id = world.schedule_ids["nightly_backup"]
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot)
        table(app).select(schedule_id)
        await go(pilot, "e")
        dialog = app.screen
        assert isinstance(dialog, ScheduleDialog)
        await fill(pilot, "#expression", "30 7 * * 0")
        await fill(pilot, "#timezone", "Europe/Berlin")
        dialog.query_one("#more", TextArea).text = "jitter: x"
        await go(pilot, "ctrl+s")
        assert "not a duration" in text_of(app, "#more-error")
        dialog.query_one("#more", TextArea).text = "jitter: 2m\nexclude: holidays"
        assert await dialog._check() is not None
        said = text_of(app, "#preview")
        assert "clocks go forward by 1h 00m: +01:00 → +02:00" in said
        assert "Sun 2026-03-15 07:30 CET" in said
        # What lies beyond the ten is told of on both sides.
        await fill(pilot, "#expression", "30 7 * * *")
        assert await dialog._check() is not None
        said = text_of(app, "#preview")
        assert "× Wed 2026-03-11 07:30 CET" in said
        assert "excluded by calendar holidays" in said
        assert "Sat 2026-03-28 07:30 CET  +01:00" in said
        assert "clocks go forward by 1h 00m: +01:00 → +02:00\n  Sun 2026-03-29 07:30 CEST" in said
        await fill(pilot, "#expression", "30 7 * * *; 0 12 * * sat")
        assert await dialog._check() is not None
        assert "at 07:30 every day; at 12:00 on Saturday" in text_of(app, "#preview")
        assert "Sat 2026-03-14 12:00 CET" in text_of(app, "#preview")
        await fill(pilot, "#expression", "30 7 * * *")
        dialog.query_one("#more", TextArea).text = "exclude: holidays\non_excluded: next_day"
        assert await dialog._check() is not None
        said = text_of(app, "#preview")
        assert "Wed 2026-03-11 07:30" not in said
        assert "from Wed 03-11: calendar holidays" in said
        dialog.query_one("#more", TextArea).text = "jitter: 2m\nexclude: holidays"
        await fill(pilot, "#note", "moved for Berlin")
        await go(pilot, "ctrl+s")
        assert world.calls[-1][1][2] == "moved for Berlin"
        spec = (await world.schedule(schedule_id)).spec
        assert (spec.cron, spec.timezone, spec.jitter) == ("30 7 * * *", "Europe/Berlin", 120.0)


async def test_a_calendar_that_cannot_be_read_is_told_where_it_is_named(world: World) -> None:
    world.write("fair.ics", "no calendar")
    app = console(world)
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot)
        table(app).select(world.schedule_ids["nightly_backup"])
        await go(pilot, "e")
        app.screen.query_one("#more", TextArea).text = "exclude: fair.ics"
        await go(pilot, "ctrl+s")
        assert "fair.ics:1: not an iCalendar file" in text_of(app, "#more-error")
        assert text_of(app, "#expression-error") == ""
        assert not [call for call in world.calls if call[0] == "edit_schedule"]


async def test_a_new_schedule_starts_with_the_defaults_of_the_configuration(bare: RealPort) -> None:
    bare.write(
        "victor.yaml",
        "scheduler: {defaults: {timezone: Asia/Tokyo, catchup: latest, max_active_runs: 2, jitter: 3s}}\n",
    )
    bare.write("w.yaml", "workflows: {w: {nodes: [{id: a, type: transform, transform: 'x = 1'}]}}\n")
    await bare.reload()
    app = console(bare)
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot, "1")
        await go(pilot, "n")
        assert isinstance(app.screen, ScheduleDialog)
        await fill(pilot, "#expression", "0 9 * * *")
        app.screen.query_one("#workflow", Select).value = "w"
        await go(pilot, "ctrl+s")
        await go(pilot, "ctrl+s")
        await until(pilot, lambda: not isinstance(app.screen, ScheduleDialog))
    (found,) = [each for each in await bare.schedules() if each.spec.workflow == "w"]
    spec = found.spec
    assert (spec.timezone, spec.catchup, spec.max_active_runs, spec.jitter) == (
        "Asia/Tokyo",
        "latest",
        2,
        3.0,
    )
