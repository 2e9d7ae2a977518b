"""Graphs in lanes: every edge is drawn, branches lie side by side, joins and loops are marked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tui.world import graph_of
from victor_engine.api import GraphEdge, GraphInfo, GraphNode
from victor_tui.widgets.lanes import labels_of, lay_out, merged_edges, order


def graph(*edges: tuple[str, str]) -> GraphInfo:
    names = dict.fromkeys(name for edge in edges for name in edge)
    return GraphInfo(
        start=edges[0][0],
        nodes=tuple(GraphNode(id=name, type="compute", name="") for name in names),
        edges=tuple(GraphEdge(source=a, target=b) for a, b in edges),
    )


def drawn(found: GraphInfo) -> list[str]:
    layout = lay_out(found)
    assert layout is not None
    return [f"{row.rails}{row.cells}{row.node_id or ''}".rstrip() for row in layout.rows]


def test_branches_lie_side_by_side_and_join() -> None:
    found = graph(("a", "b"), ("a", "c"), ("b", "d"), ("c", "d"))
    assert drawn(found) == ["● a", "├─╮", "● │ b", "│ ● c", "├─╯", "● d"]


def test_a_loop_runs_on_a_rail_from_the_node_that_leads_back() -> None:
    found = graph(("a", "b"), ("b", "c"), ("c", "b"), ("c", "d"))
    assert drawn(found) == ["  ● a", "╭▸● b", "╰─● c", "  ● d"]


def test_a_loop_onto_itself_is_told_at_the_node() -> None:
    layout = lay_out(graph(("a", "b"), ("b", "b")))
    assert layout is not None
    assert layout.rails == 0
    assert [edge.target for row in layout.rows for edge in row.back] == ["b"]


def test_the_members_of_a_parallel_join_in_what_comes_after_it() -> None:
    assert drawn(graph_of("data_pipeline", "2.0.0"))[:6] == [
        "● fetch_all",
        "├─┬─╮",
        "● │ │ fetch_orders",
        "│ ● │ fetch_stock",
        "│ │ ● fetch_prices",
        "├─┴─╯",
    ]


def test_a_rail_crosses_the_lanes_between() -> None:
    shown = drawn(graph_of("deploy", "2.1.0"))
    assert "╰───┼─● fix_up" in shown
    assert any(line.startswith("╭▸● │ roll_out") for line in shown)


def test_labels_say_which_way_was_taken() -> None:
    layout = lay_out(graph_of("deploy", "2.1.0"))
    assert layout is not None
    labels = [labels_of(row.edges, {"health_check": "true"}) for row in layout.rows if row.edges]
    assert [("true", True), ("false", False)] in labels


def test_what_takes_too_many_lanes_is_not_drawn_in_lanes() -> None:
    assert lay_out(graph(*[("a", f"n{i}") for i in range(40)])) is None


def test_a_long_chain_is_laid_out() -> None:
    layout = lay_out(graph(*[(f"n{i}", f"n{i + 1}") for i in range(10_000)]))
    assert layout is not None
    assert len(layout.rows) == 10_001


@st.composite
def graphs(draw: st.DrawFn) -> GraphInfo:
    count = draw(st.integers(1, 8))
    pairs = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1))
    edges = draw(st.lists(pairs, max_size=14))
    return GraphInfo(
        start="n0",
        nodes=tuple(GraphNode(id=f"n{i}", type="compute", name="") for i in range(count)),
        edges=tuple(GraphEdge(source=f"n{a}", target=f"n{b}") for a, b in edges),
    )


@given(graphs())
def test_any_graph_has_each_node_once_and_edges_that_lead_down_or_back(found: GraphInfo) -> None:
    edges = merged_edges(found)
    nodes, back = order(found, edges)
    assert sorted(nodes) == sorted(node.id for node in found.nodes)
    place = {node: index for index, node in enumerate(nodes)}
    for edge in edges:
        if (edge.source, edge.target) in back:
            assert place[edge.target] <= place[edge.source]
        else:
            assert place[edge.source] < place[edge.target]
    layout = lay_out(found)
    if layout is None:
        return
    assert [row.node_id for row in layout.rows if row.node_id is not None] == nodes
    assert all(len(row.rails) == 2 * layout.rails for row in layout.rows)
    assert all(len(row.cells) <= 2 * layout.lanes for row in layout.rows)


def test_nothing_is_drawn_of_an_edge_to_a_node_that_is_not_there() -> None:
    broken = GraphInfo("a", (GraphNode("a", "compute", ""),), (GraphEdge("a", "gone"),))
    assert drawn(broken) == ["● a"]


@pytest.mark.parametrize("kind", ["next", "error"])
def test_several_edges_between_the_same_nodes_are_one(kind: str) -> None:
    found = GraphInfo(
        "a",
        (GraphNode("a", "condition", ""), GraphNode("b", "compute", "")),
        (GraphEdge("a", "b", "x", kind), GraphEdge("a", "b", "y", kind)),
    )
    (edge,) = merged_edges(found)
    assert edge.labels == ("x", "y")
