"""The history: which table a filter shows, how runs fared, and two of them compared."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from textual.widgets import Static

from tests.tui.conftest import console
from tests.tui.pictures import Pictures
from tests.tui.realport import NOW
from tests.tui.test_snapshots import keys
from tests.tui.world import World
from victor_engine.api import FailureCause, RunStats, StatsBucket
from victor_tui.history.screen import HistoryScreen
from victor_tui.history.trend import Trend, cause_lines, numbers, trend_lines
from victor_tui.runs.compare_screen import CompareScreen
from victor_tui.widgets.lines import LineView
from victor_tui.widgets.preview import Preview
from victor_tui.widgets.table import LineTable


def stats(*buckets: tuple[int, int, float | None, float | None]) -> RunStats:
    return RunStats(
        looked_at=sum(good + bad for good, bad, _, _ in buckets),
        succeeded=sum(good for good, _, _, _ in buckets),
        failed=sum(bad for _, bad, _, _ in buckets),
        success_rate=0.75,
        p50=30.0,
        p95=90.0,
        longest=100.0,
        bucket_seconds=3600.0,
        buckets=tuple(
            StatsBucket(NOW + timedelta(hours=i), good, bad, 0, p50, p95)
            for i, (good, bad, p50, p95) in enumerate(buckets)
        ),
    )


def test_a_column_is_solid_to_the_median_and_light_to_the_95th_percentile() -> None:
    found = stats((3, 0, 50.0, 100.0), (0, 1, None, None), (1, 1, 100.0, 100.0), (9, 1, 100.0, 100.0))
    rows = [line.plain for line in trend_lines(found, 30, 6, None)]
    columns = ["".join(row[7 + 4 * i] for row in rows[:4]) for i in range(4)]
    assert columns == ["░░██", "    ", "████", "████"]
    assert [rows[4][7 + 4 * i] for i in range(4)] == ["✓", "✗", "✗", "!"]
    assert "1h each" in rows[5]


@pytest.mark.parametrize("width", [20, 47, 80, 200])
def test_a_plot_is_never_wider_than_its_place(width: int) -> None:
    found = stats(*[(1, 0, 10.0, 20.0)] * 60)
    lines = trend_lines(found, width, 8, None)
    assert all(line.cell_length <= width for line in lines[:-1])


def test_numbers_say_when_there_is_more_than_was_looked_at() -> None:
    assert "75.0 % of 4 succeeded" in numbers(stats((3, 1, 30.0, 90.0))).plain
    assert "no runs" in numbers(RunStats(looked_at=0)).plain


def test_the_success_rate_counts_only_runs_that_succeeded_or_failed() -> None:
    found = RunStats(looked_at=9, succeeded=2, rejected=1, cancelled=3, active=3, success_rate=1.0)
    assert numbers(found).plain.startswith(" 100 % of 2 succeeded · p50 – ")
    assert numbers(found).plain.endswith(" · 1 rejected · 3 cancelled · 3 active")
    rare = RunStats(looked_at=10_000, succeeded=9_999, failed=1, success_rate=0.9999)
    assert " 99.9 % of 10,000 succeeded · 1 ✗" in numbers(rare).plain


def test_the_causes_of_failures_are_counted_below_the_plot() -> None:
    causes = (FailureCause("roll_out", "TimeoutError", 12), FailureCause("", "OutputError", 1))
    found = msgspec.structs.replace(stats((1, 13, 1.0, 1.0)), causes=causes)
    assert [line.plain for line in cause_lines(found, 80)] == [
        "failed 12 × TimeoutError in roll_out · 1 × OutputError"
    ]
    assert len(cause_lines(found, 40)) == 2
    assert cause_lines(stats((1, 0, 1.0, 1.0)), 80) == []


async def test_the_trend_takes_the_place_of_the_preview_and_gives_it_back(live: World) -> None:
    app = console(live)
    async with app.run_test(size=(80, 24)) as pilot:
        await keys("4", "t")(pilot)
        screen = app.screen
        assert isinstance(screen, HistoryScreen)
        assert screen.view == "runs"
        assert screen.query_one(Trend).display
        assert not screen.query_one(Preview).display
        assert "succeeded" in str(screen.query_one("#stats", Static).content)
        await keys("t")(pilot)
        assert screen.query_one(Preview).display
        await keys("v")(pilot)
        assert screen.view == "activity"
        assert not screen.query_one("#stats").display


async def test_events_are_found_by_who_and_node_and_before(live: World) -> None:
    app = console(live)
    async with app.run_test(size=(80, 24)) as pilot:
        await keys("4", "v", "slash", *"actor:ana before:1h", "enter")(pilot)
        rows: Any = app.screen.query_one("#events", LineTable).rows
        assert rows
        assert {event.actor.user for event in rows} == {"ana"}
        assert all(event.at < NOW - timedelta(hours=1) for event in rows)


async def test_two_marked_runs_are_compared_the_older_at_the_left(live: World) -> None:
    app = console(live)
    async with app.run_test(size=(100, 30)) as pilot:
        await keys("2")(pilot)
        table = app.screen.query_one("#runs", LineTable)
        table.set_marks([live.run_ids["failed"], live.run_ids["paused"]])
        await keys("=")(pilot)
        screen = app.screen
        assert isinstance(screen, CompareScreen)
        assert (screen.run.id, screen.other) == (live.run_ids["failed"], live.run_ids["paused"])
        view = screen.query_one("#compared", LineView)
        shown = [view.line_at(index).plain for index in range(view.line_count)]
        assert any("‖ paused" in line and "✗ failed" in line for line in shown)
        assert any(line.startswith("≠roll_out") for line in shown)
        assert any("web:4.1.9" in line for line in shown)
        count = view.line_count
        await keys("d")(pilot)
        assert view.line_count < count
        await keys("escape")(pilot)
        assert not isinstance(app.screen, CompareScreen)


async def test_one_run_is_compared_with_the_last_that_succeeded_and_with_yesterdays(live: World) -> None:
    app = console(live)
    async with app.run_test(size=(100, 30)) as pilot:
        await keys("2")(pilot)
        app.screen.query_one("#runs", LineTable).select(live.run_ids["busy"])
        await keys("=")(pilot)
        screen = app.screen
        assert isinstance(screen, CompareScreen)
        assert screen.other is not None
        assert (await live.run(screen.other)).run.status == "succeeded"
        first = screen.other
        await keys("o")(pilot)
        assert screen.other != first
        await keys("n")(pilot)
        assert screen.other == first
        await keys("y")(pilot)
        age = NOW - (await live.run(screen.other)).run.created_at
        assert abs(age - timedelta(days=1)) < timedelta(hours=1)


async def test_a_run_without_an_earlier_one_says_so(live: World) -> None:
    app = console(live)
    async with app.run_test(size=(100, 30)) as pilot:
        await keys("2")(pilot)
        app.screen.query_one("#runs", LineTable).select(live.run_ids["purge"])
        await keys("=", "y", "o")(pilot)
        view = app.screen.query_one("#compared", LineView)
        assert "no earlier run" in view.line_at(0).plain


SCENES = {"trend": ("4", "t"), "compared": ("2", "down", "=")}


async def test_picture(pictures: Pictures, live: World) -> None:
    for name, pressed in SCENES.items():
        async with pictures.console(live) as pilot:
            await keys(*pressed)(pilot)
            await pictures.at_both_sizes(pilot, "{}-" + name)


async def test_picture_in_16_colours(pictures: Pictures, live: World) -> None:
    for name, pressed in SCENES.items():
        async with pictures.console(live, "victor-ansi") as pilot:
            await keys(*pressed)(pilot)
            await pictures.take(pilot, name)
