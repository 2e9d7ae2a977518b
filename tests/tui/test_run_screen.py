"""One run on the fake port: graph, panes, log, controls; its picture at both sizes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.tui.conftest import console
from tests.tui.fake_port import FakePort
from tests.tui.test_snapshots import keys
from victor_engine.api import GraphEdge, GraphInfo, GraphNode
from victor_tui.screens.run import RunScreen
from victor_tui.widgets.graph import RunGraph, outline
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


def opened(run_id: str, pane: str) -> Any:
    """Open a run and go to a pane."""

    async def press(pilot: Any) -> None:
        await keys("2")(pilot)
        pilot.app.open_run(run_id)
        await keys(pane)(pilot)

    return press


@pytest.mark.parametrize(("run_id", "pane"), [("r00914", "t"), ("r00919", "s"), ("r00919", "l")])
@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
def test_picture(snap_compare: Any, size: tuple[int, int], run_id: str, pane: str) -> None:
    assert snap_compare(console(FakePort()), run_before=opened(run_id, pane), terminal_size=size)


async def test_panes_search_and_controls_by_keyboard() -> None:
    port = FakePort()
    app = console(port)
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
        assert log.line_count <= max(before, 1)
        await keys("t")(pilot)
        assert screen.query_one("#attempts", LineView).line_count == max(1, len(screen.detail.attempts))
        await keys("escape")(pilot)
        assert not isinstance(app.screen, RunScreen)
