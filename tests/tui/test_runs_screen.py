"""The live table of runs: what hangs is found at once, and every control is offered where it can be used."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from tests.tui.conftest import console
from tests.tui.realport import NOW, PATIENCE
from tests.tui.test_snapshots import keys
from tests.tui.world import World
from victor_engine.api import RunInfo, RunQuery
from victor_engine.clock import FakeClock
from victor_tui.filter_language import parse_filter
from victor_tui.row_values import run_why
from victor_tui.runs.columns import arrange, elapsed_cell, is_late, is_stuck, now_cell
from victor_tui.runs.screen import newest_and_active
from victor_tui.widgets.filter_bar import FilterBar
from victor_tui.widgets.table import LineTable


def run(run_id: str, status: str = "running", **more: Any) -> RunInfo:
    base: dict[str, Any] = {
        "workflow": "copy",
        "version": "1.0.0",
        "trigger": "manual",
        "started_by": "ana",
        "created_at": NOW - timedelta(minutes=5),
        "started_at": NOW - timedelta(minutes=5),
    }
    return RunInfo(id=run_id, status=status, **(base | more))  # type: ignore[arg-type]


def test_what_hangs_comes_before_what_is_late_before_what_works_before_what_has_ended() -> None:
    runs = [
        run("done", "succeeded"),
        run("works"),
        run("late", slow_seconds=60.0),
        run("hangs", stuck_at=NOW - timedelta(seconds=1)),
        run("soon", stuck_at=NOW + timedelta(seconds=1)),
    ]
    assert [each.id for each, _ in arrange(runs, NOW)] == ["hangs", "late", "works", "soon", "done"]


def test_a_child_that_hangs_brings_its_whole_family_up() -> None:
    runs = [
        run("works"),
        run("parent", "waiting"),
        run("child", "waiting", trigger="parent", parent_run="parent"),
        run("grandchild", trigger="parent", parent_run="child", stuck_at=NOW - timedelta(seconds=1)),
        run("orphan", trigger="parent", parent_run="elsewhere"),
    ]
    wanted = [("parent", 0), ("child", 1), ("grandchild", 2), ("works", 0), ("orphan", 0)]
    assert [(each.id, depth) for each, depth in arrange(runs, NOW)] == wanted


def test_a_queued_run_says_whether_it_waits_for_a_slot_or_for_something_else() -> None:
    queued = run("q", "queued", since=NOW - timedelta(minutes=2))
    assert run_why(queued, NOW) == "q is queued for 2m 00s: it waits for a slot."
    drained = run("q", "queued", waits_for="the end of the drain")
    assert run_why(drained, NOW) == "q is queued: it waits for the end of the drain."


def test_a_pausing_run_whose_node_hangs_is_stuck() -> None:
    assert is_stuck(run("hangs", status="pausing", stuck_at=NOW - timedelta(seconds=1)), NOW)
    assert "pausing" in parse_filter("status:stuck", NOW).statuses


def test_what_waits_is_neither_stuck_nor_late() -> None:
    waits = run("waits", "waiting", slow_seconds=1.0, stuck_at=NOW - timedelta(hours=1))
    assert not is_stuck(waits, NOW)
    assert not is_late(waits, NOW)


def test_a_row_says_where_it_is_since_when_and_what_is_usual() -> None:
    hangs = run(
        "hangs",
        current=("copy",),
        since=NOW - timedelta(minutes=4),
        node_seconds=3.0,
        typical_seconds=42.0,
        slow_seconds=60.0,
        stuck_at=NOW - timedelta(minutes=3),
    )
    assert now_cell(hangs, NOW) == ("copy 4m 00s, usually 3s", "bad")
    assert "".join(text for text, _ in elapsed_cell(hangs, NOW)) == "5m 00s!/42s"


async def stuck_runs(port: World) -> set[str]:
    running = await port.runs(RunQuery(statuses=("running",)))
    return {run.id for run in running if run.stuck_at is not None and run.stuck_at <= NOW}


async def test_a_run_becomes_stuck_by_time_alone(live: World) -> None:
    stuck = await stuck_runs(live)
    assert live.run_ids["hangs"] in stuck
    live.console_clock = FakeClock(NOW - timedelta(seconds=250))
    app = console(live)
    async with app.run_test(size=(80, 24)) as pilot:
        await keys("2")(pilot)
        table = app.screen.query_one("#runs", LineTable)
        note = app.screen.query_one(FilterBar)._note
        assert "stuck" not in str(note.content)
        live.console_clock.set_wall(NOW)
        app._tick()
        await keys()(pilot)
        assert {row.id for row in table.rows[: len(stuck)]} == stuck
        assert f"{len(stuck)} stuck" in str(note.content)


async def test_the_filter_completes_by_tab_and_knows_what_is_stuck(live: World) -> None:
    app = console(live)
    async with app.run_test(size=(80, 24)) as pilot:
        await keys("2", "slash", *"stat", "tab", *"stu", "tab")(pilot)
        bar = app.screen.query_one(FilterBar)
        assert bar.value == "status:stuck"
        table = app.screen.query_one("#runs", LineTable)
        assert {row.id for row in table.rows} == await stuck_runs(live)
        await keys("space", *"workflow:clo", "tab")(pilot)
        assert bar.value == "status:stuck workflow:close_quarter"
        await keys("tab")(pilot)
        assert app.focused is table


async def test_runs_that_began_long_ago_are_there_when_they_still_run(live: World) -> None:
    found = await newest_and_active(live, RunQuery(limit=5))
    active = await live.runs(RunQuery(statuses=("running", "queued", "waiting")))
    assert len(found) > 5
    assert {run.id for run in active} & {run.id for run in found[5:]}
    assert len({run.id for run in found}) == len(found)


async def test_what_does_not_want_to_go_is_killed_with_the_key_that_cancelled_it(live: World) -> None:
    app = console(live)
    run_id = live.run_ids["cancelling"]

    async def status() -> str:
        return (await live.run(run_id)).run.status

    async with app.run_test(size=(80, 24)) as pilot:
        await keys("2")(pilot)
        app.screen.query_one("#runs", LineTable).select(run_id)
        await keys()(pilot)
        assert await status() == "cancelling"
        assert app.screen.check_action("run_command", ("cancel",)) is False
        assert app.screen.check_action("run_command", ("kill",)) is True
        await keys("K")(pilot)
        await keys("ctrl+s")(pilot)
        assert [args[0] for name, args in live.calls if name == "cancel_run"] == [run_id]
        async with asyncio.timeout(PATIENCE):
            while await status() != "cancelled":
                await pilot.pause(0.01)
