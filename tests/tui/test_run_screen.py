"""The screen of one run: graph, panes, log, controls; its pictures at both sizes."""

from __future__ import annotations

from typing import Any

import pytest
from textual.widgets import Static

from tests.tui.conftest import console, until
from tests.tui.pictures import Pictures
from tests.tui.test_snapshots import keys
from tests.tui.world import World
from victor_engine.api import GraphEdge, GraphInfo, GraphNode
from victor_tui.inbox.answer_dialog import AnswerDialog
from victor_tui.runs.gantt import Gantt
from victor_tui.runs.log_view import LogLines
from victor_tui.runs.run_screen import RunScreen
from victor_tui.runs.state_pane import StatePane
from victor_tui.widgets.graph import RunGraph, outline
from victor_tui.widgets.json_view import ValueTree
from victor_tui.widgets.lines import LineView


def graph(start: str, *edges: tuple[str, str, str, str]) -> GraphInfo:
    names = dict.fromkeys([start, *(name for edge in edges for name in edge[:2])])
    return GraphInfo(
        start=start,
        nodes=tuple(GraphNode(id=name, type="compute", name="") for name in names),
        edges=tuple(GraphEdge(source=a, target=b, label=label, kind=kind) for a, b, label, kind in edges),
    )


def test_an_outline_draws_every_node_once_and_says_where_the_rest_leads() -> None:
    found = outline(
        graph(
            "a",
            ("a", "b", "", "next"),
            ("b", "c", "true", "branch"),
            ("b", "d", "false", "branch"),
            ("c", "a", "", "next"),
            ("d", "c", "", "next"),
        )
    )
    drawn = [(row.lead, row.node_id, row.label, row.reference, row.back) for row in found]
    assert drawn == [
        ("", "a", "", False, False),
        ("", "b", "", False, False),
        ("├", "c", "true", False, False),
        ("│", "a", "", True, True),
        ("└", "d", "false", False, False),
        (" ", "c", "", True, False),
    ]


def test_an_outline_of_a_parallel_indents_its_members_and_goes_on_below() -> None:
    found = outline(graph("p", ("p", "x", "", "member"), ("p", "y", "", "member"), ("p", "end", "", "next")))
    assert [(row.lead, row.node_id) for row in found] == [("", "p"), ("├", "x"), ("├", "y"), ("", "end")]


def test_a_graph_of_ten_thousand_nodes_in_a_row_is_drawn() -> None:
    edges = [(f"n{i}", f"n{i + 1}", "", "next") for i in range(10_000)]
    assert len(outline(graph("n0", *edges))) == 10_001
    nested = [(f"n{i}", f"n{i + 1}", "true", "branch") for i in range(2_000)]
    assert len(outline(graph("n0", *nested))) == 2_001


def opened(run_id: str, pane: str) -> Any:
    """Open a run and go to a pane."""

    async def press(pilot: Any) -> None:
        await keys("2")(pilot)
        pilot.app.navigator.open_run(run_id)
        await keys(pane)(pilot)

    return press


SCENES = {
    "attempts": ("failed", "t"),
    "state": ("failed", "s"),
    "log": ("failed", "l"),
    "graph": ("train", "g"),
    "outline": ("failed", "v"),
}
IN_16_COLOURS = "attempts", "state", "log"


async def test_picture(pictures: Pictures, live: World) -> None:
    async with pictures.console(live) as pilot:
        for name, (run, pane) in SCENES.items():
            await opened(live.run_ids[run], pane)(pilot)
            await pictures.at_both_sizes(pilot, "{}-" + name)
            await keys("escape")(pilot)


async def test_picture_in_16_colours(pictures: Pictures, live: World) -> None:
    async with pictures.console(live, "victor-ansi") as pilot:
        for name in IN_16_COLOURS:
            run, pane = SCENES[name]
            await opened(live.run_ids[run], pane)(pilot)
            await pictures.take(pilot, name)
            await keys("escape")(pilot)


async def test_panes_search_and_controls_by_keyboard(live: World) -> None:
    app = console(live)
    async with app.run_test(size=(100, 30)) as pilot:
        await keys("2", "enter")(pilot)
        screen = app.screen
        assert isinstance(screen, RunScreen)
        assert screen.detail is not None
        assert screen.query_one(RunGraph).rows
        await keys("l")(pilot)
        log = screen.query_one("#log", LineView)
        before = log.line_count
        await keys("slash", *"zzzz", "enter")(pilot)
        assert log.line_count == before
        await keys("t")(pilot)
        bars = [bar for bar in screen.query_one(Gantt).bars if bar.attempt is not None]
        assert [bar.attempt for bar in bars] == list(screen.detail.attempts)
        await keys("escape")(pilot)
        assert not isinstance(app.screen, RunScreen)


async def test_the_log_stays_where_one_reads_and_follows_again_at_its_end(live: World) -> None:
    app = console(live)
    async with app.run_test(size=(80, 14)) as pilot:
        await opened(live.run_ids["busy"], "l")(pilot)
        screen = app.screen
        assert isinstance(screen, RunScreen)
        log = screen.query_one(LogLines)
        assert log.follow
        assert log.scroll_offset.y == log.max_scroll_y > 0
        await keys("pageup")(pilot)
        place = log.scroll_offset.y
        assert not log.follow
        screen.tick()
        await keys()(pilot)
        assert log.scroll_offset.y == place
        await keys("end")(pilot)
        assert log.follow


async def test_colour_codes_of_a_program_are_not_shown_in_the_log(live: World) -> None:
    app = console(live)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(live.run_ids["busy"], "l")(pilot)
        log = app.screen.query_one(LogLines)
        shown = [log.line_at(index).plain for index in range(log.line_count)]
        assert any(line.endswith("retrying [connection] slow") for line in shown)
        assert not any("\x1b" in line or "␛" in line for line in shown)


async def test_matches_are_counted_and_gone_to_and_reading_stops_following(live: World) -> None:
    app = console(live)
    async with app.run_test(size=(80, 14)) as pilot:
        await opened(live.run_ids["busy"], "l")(pilot)
        screen = app.screen
        log = screen.query_one(LogLines)
        count = log.line_count
        await keys("slash", *"SLOW", "enter", "home")(pilot)
        assert log.line_count == count
        found = len(log.matches)
        assert found > 2
        facts = screen.query_one("#log-facts", Static)
        first = log.match
        await keys("n")(pilot)
        assert log.match == ((first or 0) + 1) % found
        assert f"of {found}" in str(facts.content)
        await keys("N")(pilot)
        assert log.match == first
        assert not log.follow
        assert log.line_at(log.matches[log.match or 0]).plain.startswith("▸")
        await keys("escape")(pilot)
        assert (log.search, log.matches) == ("", [])
        assert app.screen is screen


async def test_the_log_of_one_node_alone(live: World) -> None:
    app = console(live)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(live.run_ids["busy"], "g")(pilot)
        await keys("down", "l")(pilot)
        log = app.screen.query_one(LogLines)
        everything = log.line_count
        await keys("o")(pilot)
        shown = [log.line_at(index).plain for index in range(log.line_count)]
        assert 0 < len(shown) < everything
        nodes = {node for node in ("fetch_orders", "fetch_prices", "fetch_stock") if node in "".join(shown)}
        assert len(nodes) == 1, shown
        await keys("o")(pilot)
        assert log.line_count == everything


async def test_the_state_before_and_after_each_attempt_and_what_it_changed(live: World) -> None:
    app = console(live)
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(live.run_ids["failed"], "g")(pilot)
        screen = app.screen
        pane = screen.query_one(StatePane)
        await keys("up", "up")(pilot)
        await until(pilot, lambda: pane.around is not None and pane.around.attempt.node_id == "build")
        assert pane.around is not None
        assert pane.around.attempt.node_id == "build"
        head = screen.query_one("#state-head", Static)
        assert "after build" in str(head.content)
        await keys("s", "b")(pilot)
        assert "before build" in str(head.content)
        tree = screen.query_one(ValueTree)
        assert not any("build" in tree.line_at(i).plain for i in range(tree.line_count))
        await keys("b")(pilot)
        changes = screen.query_one("#state-changes", LineView)
        assert "+ build" in changes.line_at(0).plain
        await keys("greater_than_sign")(pilot)
        assert pane.around.attempt.node_id == "approval_gate"
        assert screen.query_one(RunGraph).selected == "approval_gate"
        await keys("t", "home", "enter")(pilot)
        assert screen.view.pane == "state"
        assert pane.around.attempt.node_id == "build"


async def test_lanes_give_way_to_an_outline_on_demand_and_the_node_stays(live: World) -> None:
    app = console(live)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(live.run_ids["failed"], "g")(pilot)
        shown = app.screen.query_one(RunGraph)
        assert shown.in_lanes
        assert shown.selected == "roll_out"
        await keys("v")(pilot)
        assert not shown.in_lanes
        assert shown.selected == "roll_out"
        await keys("v", "down")(pilot)
        assert shown.selected == "health_check"
        await keys("F")(pilot)
        assert shown.size.width > 70
        await keys("F")(pilot)
        assert shown.size.width < 40


async def test_a_child_run_is_shown_at_its_node_and_opened_from_it(live: World) -> None:
    app = console(live)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(live.run_ids["train"], "g")(pilot)
        shown = app.screen.query_one(RunGraph)
        assert shown.selected == "ship"
        assert f"● {live.run_ids['child']} roll_out" in shown.line_at(shown.cursor).plain
        await keys("enter")(pilot)
        assert isinstance(app.screen, RunScreen)
        assert app.screen.run_id == live.run_ids["child"]
        await keys("P")(pilot)
        assert app.screen.run_id == live.run_ids["train"]


async def test_the_gantt_zooms_and_moves_and_its_scale_with_it(live: World) -> None:
    app = console(live)
    async with app.run_test(size=(120, 30)) as pilot:
        await opened(live.run_ids["failed"], "t")(pilot)
        gantt = app.screen.query_one(Gantt)
        whole = gantt.window
        await keys("home", "down", "z", "z")(pilot)
        assert gantt.window.seconds == pytest.approx(whole.seconds / 4)
        assert "╵" in str(app.screen.query_one("#gantt-scale", Static).content)
        start = gantt.window.start
        await keys("right")(pilot)
        assert gantt.window.start > start
        await keys("W")(pilot)
        assert gantt.window == whole


async def test_a_answers_what_this_run_asks_and_not_what_is_most_urgent(live: World) -> None:
    app = console(live)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(live.run_ids["review"], "a")(pilot)
        await until(pilot, lambda: isinstance(app.screen, AnswerDialog))
        dialog = app.screen
        assert isinstance(dialog, AnswerDialog)
        assert dialog.request.run_id == live.run_ids["review"]


async def test_errors_of_others_cannot_reach_the_terminal(live: World) -> None:
    error = "red \x1b[2J [b]not bold[/b]\nnext"
    run_id = await live.start("wild", "host_health", do={"collect": "fail"}, error=error)
    for name in ("hangs", "busy"):  # make room for it and for the one that is queued
        await live.cancel_run(live.run_ids[name])
    await live.until(lambda: _has_failed(live, run_id))
    app = console(live)
    async with app.run_test(size=(120, 24)) as pilot:
        await opened(run_id, "t")(pilot)
        bars = app.screen.query_one(Gantt)
        shown = [bars.line_at(index).plain for index in range(bars.line_count)]
        shown.append(str(app.screen.query_one("#gantt-facts", Static).content))
        shown.append(str(app.screen.query_one("#run-head", Static).content))
        assert "[b]not bold[/b]" in shown[-1]
        assert not set("".join(shown)) & {"\x1b", "\x07"}


async def _has_failed(port: World, run_id: str) -> bool:
    return (await port.run(run_id)).run.status == "failed"
