"""The day of all schedules and the month of one: cells, clocks that change, cursors, and ways out."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from textual.app import App, ComposeResult

from tests.tui.conftest import console, until
from tests.tui.realport import NOW, RealPort
from tests.tui.test_console import go, preview, table
from tests.tui.world import World
from victor_engine.api import Agenda, AgendaLane
from victor_tui.schedules.explain_dialog import WhyDialog
from victor_tui.schedules.month_screen import MonthScreen
from victor_tui.schedules.month_view import DayCounts, Month, midnight, month_days, next_month
from victor_tui.schedules.timeline_screen import TimelineScreen
from victor_tui.schedules.timeline_view import (
    Timeline,
    cell_of,
    cells_per_hour,
    first_edge,
    make_edges,
    planned_total,
    worst,
)

pytestmark = pytest.mark.usefixtures("quick_keys")

BERLIN = ZoneInfo("Europe/Berlin")


def lane(name: str = "a", **spans: Any) -> AgendaLane:
    count = max(len(value) for value in spans.values())
    return AgendaLane(
        name,
        name,
        planned=spans.get("planned", (0,) * count),
        excluded=spans.get("excluded", (0,) * count),
        past=spans.get("past", ({},) * count),
        paused=spans.get("paused") is not None,
    )


@pytest.mark.parametrize(("width", "cells"), [(30, 1), (80, 2), (120, 4), (88, 3), (200, 6)])
def test_cells_are_as_fine_as_there_is_room(width: int, cells: int) -> None:
    assert cells_per_hour(width) == cells
    edges = make_edges(NOW, cells)
    assert edges[-1] - edges[0] == timedelta(days=1)
    assert len(edges) == 24 * cells + 1


def test_the_first_cell_is_the_one_of_this_moment() -> None:
    assert first_edge(NOW + timedelta(minutes=33), UTC, 4) == NOW.replace(minute=30)
    kolkata = ZoneInfo("Asia/Kolkata")
    assert first_edge(NOW, kolkata, 1).astimezone(kolkata).minute == 0


def test_a_cell_tells_what_comes_and_else_what_was() -> None:
    row = lane(planned=(0, 1, 3, 5, 60), excluded=(2, 0, 0, 0, 0), past=({"failed": 1},) * 5)
    assert [cell_of(row, index)[0] for index in range(5)] == ["×", "▂", "▄", "▆", "█"]
    assert worst({"succeeded": 9, "missed": 1}) == ("!", "warn")
    assert worst({"succeeded": 9, "failed": 1}) == ("✗", "bad")
    assert worst({}) == ("·", "dim")


def test_what_coincides_is_counted() -> None:
    agenda = Agenda((NOW, NOW, NOW), (lane("a", planned=(1, 2)), lane("b", planned=(0, 3))))
    assert [planned_total(agenda, index) for index in (0, 1)] == [(1, 1), (5, 2)]


class LineApp(App[None]):
    def __init__(self, agenda: Agenda, zone: ZoneInfo) -> None:
        super().__init__()
        self.line = Timeline(zone)
        self.agenda = agenda

    def compose(self) -> ComposeResult:
        yield self.line


async def test_a_change_of_the_clocks_is_marked_and_hours_are_the_walls() -> None:
    edges = make_edges(datetime(2026, 3, 28, 12, tzinfo=UTC), 4)
    quiet = lane("n" * 40, planned=(0,) * 96)
    app = LineApp(Agenda(tuple(edges), (quiet, lane("b", planned=(1,) + (0,) * 95)), more=3), BERLIN)
    async with app.run_test(size=(116, 12)) as pilot:
        app.line.show(app.agenda, edges[0])
        await pilot.pause()
        days, hours = (app.line.render_line(y).text for y in (0, 1))
        at = days.index("clocks +1h")
        assert hours[at : at + 2] == "03"
        assert hours[at - 4 : at - 2] == "01"
        assert days.index("Sun 29") == hours.index("00")
        assert all(app.line.render_line(y).cell_length == app.line.size.width for y in range(12))
        assert app.line.render_line(11).text.startswith(" all fires (+")
        assert app.line.render_line(3).text.rstrip("· ").endswith("▂")


async def test_the_timeline_names_what_is_in_a_cell_and_leads_to_the_schedule(world: World) -> None:
    app = console(world)
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot)
        table(app).select(world.schedule_ids["deploy"])
        await go(pilot, "v")
        assert isinstance(app.screen, TimelineScreen)
        line = app.screen.query_one(Timeline)
        assert line.current is not None
        assert line.current.schedule_id == world.schedule_ids["deploy"]
        await go(pilot, "right")
        text = preview(app)
        assert "Tue 10 Mar 14:30 to 15:00 UTC" in text
        assert "1 time" in text
        assert "data_pipeline (1)" in text
        assert "2 fires of 2 schedules" in text
        await go(pilot, "w")
        assert isinstance(app.screen, WhyDialog)
        await go(pilot, "escape", "down")
        below = line.current.schedule_id
        assert below != world.schedule_ids["deploy"]
        await go(pilot, "enter")
        assert table(app).row.id == below  # type: ignore[attr-defined]


async def test_time_goes_on_over_the_edges_and_back(world: World) -> None:
    app = console(world)
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot)
        table(app).select(world.schedule_ids["data_pipeline"])
        await go(pilot, "v", "left")
        line = app.screen.query_one(Timeline)
        assert line.agenda is not None
        assert line.agenda.edges[0] == NOW.replace(hour=8, minute=0)
        assert line.agenda.edges[line.span] == NOW.replace(minute=0)
        await go(pilot, "left")
        assert "1 succeeded" in preview(app)
        await go(pilot, "n")
        assert line.agenda.edges[0] == NOW.replace(minute=0)
        await pilot.resize_terminal(120, 40)
        await go(pilot)
        assert len(line.agenda.edges) == 97
        await go(pilot, "escape")
        assert len(app.screen_stack) == 1


def test_days_of_a_month_begin_on_a_monday() -> None:
    days = month_days(date(2026, 3, 10))
    assert (days[0], len(days)) == (date(2026, 2, 23), 42)
    assert next_month(date(2026, 1, 31), 1) == date(2026, 2, 28)
    assert next_month(date(2026, 1, 31), -1) == date(2025, 12, 31)


def test_midnight_is_the_first_instant_of_the_day() -> None:
    # In Beirut clocks went from 00:00 to 01:00 on that day.
    beirut = ZoneInfo("Asia/Beirut")
    assert midnight(date(2022, 3, 27), beirut).astimezone(beirut).hour == 1
    assert (midnight(date(2026, 3, 30), BERLIN) - midnight(date(2026, 3, 29), BERLIN)) == timedelta(hours=23)


def test_a_day_counts_by_what_matters() -> None:
    past = ({"succeeded": 3, "backfilled": 1, "failed": 1, "rejected": 1, "missed": 2, "skipped": 4},)
    agenda = Agenda((NOW, NOW), (lane("a", past=past), lane("b", planned=(7,), excluded=(1,))))
    assert DayCounts.of(agenda, 0, "a").outcomes() == [
        ("✗2", "bad"),
        ("!2", "warn"),
        ("–4", "dim"),
        ("✓4", "ok"),
    ]
    whole = DayCounts.of(agenda, 0, None)
    assert (whole.planned, whole.excluded, sum(whole.past.values())) == (7, 1, 12)


async def test_a_month_of_one_and_of_all(world: World) -> None:
    app = console(world)
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot)
        table(app).select(world.schedule_ids["data_pipeline"])
        await go(pilot, "m")
        assert isinstance(app.screen, MonthScreen)
        month = app.screen.query_one(Month)
        assert "10◂▸19" in month.render_line(5).text
        await go(pilot, "left")
        assert month.day == date(2026, 3, 9)
        assert "23 fires: 5 started, succeeded, 18 missed" in preview(app)
        await go(pilot, "right", "o")
        await until(pilot, lambda: "host_health" in preview(app))
        await go(pilot, "up")
        assert month.day == date(2026, 3, 3)
        await go(pilot, "pagedown", "pagedown")
        assert month.day == date(2026, 5, 3)
        assert "▸48" in preview(app)
        await go(pilot, "home", "o", "enter")
        assert isinstance(app.screen, WhyDialog)
        await go(pilot, "escape", "v")
        assert isinstance(app.screen, TimelineScreen)
        await go(pilot, "m", "m")
        assert len(app.screen_stack) == 1


async def test_without_a_schedule_the_month_is_of_all(bare: RealPort) -> None:
    app = console(bare)
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot, "m")
        assert "no fires" in preview(app)
        await go(pilot, "o", "enter", "escape", "v")
        assert app.screen.query_one(Timeline).current is None
        await go(pilot, "w", "enter", "down", "right")
        assert "no schedules" in app.screen.query_one(Timeline).render_line(3).text
