"""The layout of a graph in lanes: one row per node, branches side by side, joins, and loops.

The layout does not depend on states: it is computed once for a graph, and drawn with the current states.
Loops run on rails at the left, from the source (`╰`) up to the target (`╭▸`). All other edges run down: a
node with several edges forks its lane (`├─╮`), and a node with several incoming lanes joins them (`├─╯`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from victor_engine.api import GraphEdge, GraphInfo

MAX_LANES = 9
MAX_RAILS = 6
"""Above these numbers an outline is more readable."""

JOINED = "joined"
"""Kind of the edges from the members of a parallel, team or map node to its successors."""


@dataclass(frozen=True, slots=True)
class Edge:
    """The edge from a node to another. Several edges between the same nodes are one."""

    source: str
    target: str
    labels: tuple[str, ...] = ()
    kind: str = "next"


@dataclass(frozen=True, slots=True)
class LaneRow:
    """One row of a drawing.

    `cells` has two characters per lane, and `lane` is the lane of the node. Rows between nodes have no node.
    `edges` are the edges that start in the row, for their labels. `back` are the edges that lead back from its
    node, also to itself. `rails` has two characters per rail.
    """

    cells: str
    rails: str
    node_id: str | None = None
    lane: int = 0
    edges: tuple[Edge, ...] = ()
    back: tuple[Edge, ...] = ()


@dataclass(frozen=True, slots=True)
class Layout:
    """The rows of a drawing, and the maximum numbers of lanes and rails."""

    rows: tuple[LaneRow, ...]
    lanes: int
    rails: int

    @property
    def width(self) -> int:
        """Width before the names, in cells."""
        return 2 * (self.lanes + self.rails)


def merged_edges(graph: GraphInfo) -> list[Edge]:
    """Return the edges of a graph, merged by nodes, with edges from members to the successors of their node."""
    members = {edge.source for edge in graph.edges if edge.kind == "member"}
    ways: dict[tuple[str, str], tuple[list[str], str]] = {}

    def add(edge: GraphEdge, source: str, kind: str) -> None:
        labels, _ = ways.setdefault((source, edge.target), ([], kind))
        if edge.label and edge.label not in labels:
            labels.append(edge.label)

    inside: dict[str, list[str]] = {}
    for edge in graph.edges:
        if edge.kind == "member":
            inside.setdefault(edge.source, []).append(edge.target)
    for edge in graph.edges:
        if edge.source in members and edge.kind == "next":
            for member in inside[edge.source]:
                add(edge, member, JOINED)
        else:
            add(edge, edge.source, edge.kind)
    return [Edge(source, target, tuple(labels), kind) for (source, target), (labels, kind) in ways.items()]


def order(graph: GraphInfo, edges: Sequence[Edge]) -> tuple[list[str], set[tuple[str, str]]]:
    """Return the nodes in an order in which edges lead down, and the edges that lead back.

    The order is a depth-first search from the start. Unreachable nodes come last if their edges allow it.
    """
    out: dict[str, list[str]] = {node.id: [] for node in graph.nodes}
    for edge in edges:
        if edge.source in out and edge.target in out:
            out[edge.source].append(edge.target)
    done: list[str] = []
    state: dict[str, Literal["open", "done"]] = {}
    back: set[tuple[str, str]] = set()
    for root in (graph.start, *(node.id for node in graph.nodes)):
        if root in state or root not in out:
            continue
        state[root] = "open"
        stack = [(root, iter(reversed(out[root])))]
        while stack:
            node, targets = stack[-1]
            target = next(targets, None)
            if target is None:
                stack.pop()
                state[node] = "done"
                done.append(node)
            elif target not in state:
                state[target] = "open"
                stack.append((target, iter(reversed(out[target]))))
            elif state[target] == "open":
                back.add((node, target))
    reached = done[::-1]
    # Unreachable nodes are first in this order. They move to the end unless they lead to reachable nodes.
    first = reached.index(graph.start) if graph.start in reached else 0
    apart, walked = reached[:first], set(reached[first:])
    if any(target in walked for node in apart for target in out[node]):
        return reached, back
    return reached[first:] + apart, back


def lay_out(graph: GraphInfo) -> Layout | None:
    """Return the layout of a graph, or None if it needs too many lanes or rails."""
    edges = merged_edges(graph)
    nodes, back = order(graph, edges)
    forward: dict[str, list[Edge]] = {node: [] for node in nodes}
    backward: dict[str, list[Edge]] = {node: [] for node in nodes}
    for edge in edges:
        if edge.source in forward and edge.target in forward:
            (backward if (edge.source, edge.target) in back else forward)[edge.source].append(edge)
    pen = _Pen()
    for node in nodes:
        pen.draw(node, forward[node], backward[node])
        if pen.most > MAX_LANES:
            return None
    rails = _rails(pen.rows)
    if rails is None:
        return None
    count = max((len(each) // 2 for each in rails), default=0)
    touched = {edge.target for each in backward.values() for edge in each if edge.source != edge.target}
    touched |= {node for node, each in backward.items() if any(edge.target != node for edge in each)}
    rows = tuple(
        LaneRow(
            _reached(row) if row.node_id in touched else row.cells,
            rail,
            row.node_id,
            row.lane,
            row.edges,
            row.back,
        )
        for row, rail in zip(pen.rows, rails, strict=True)
    )
    return Layout(rows, pen.most, count)


def _reached(row: LaneRow) -> str:
    """Return the cells of a row with a line from the rail to the node, across the lanes between them."""
    cells = row.cells
    led = "".join("┼─" if cells[2 * lane] == "│" else "──" for lane in range(row.lane))
    return led + cells[2 * row.lane :]


@dataclass
class _Pen:
    """A state of the drawing. A lane has the node that it leads to, or None."""

    lanes: list[str | None] = field(default_factory=list)
    rows: list[LaneRow] = field(default_factory=list)
    most: int = 1

    def draw(self, node: str, forward: Sequence[Edge], backward: Sequence[Edge]) -> None:
        into = [place for place, target in enumerate(self.lanes) if target == node]
        if len(into) > 1:
            self._join(into)
        lane = into[0] if into else self._free()
        self.lanes[lane] = node
        cells = "".join("● " if place == lane else self._straight(place) for place in range(len(self.lanes)))
        self.rows.append(LaneRow(cells, "", node, lane, (), tuple(backward)))
        self.lanes[lane] = forward[0].target if forward else None
        self._fork(lane, forward)
        self._trim()

    def _free(self) -> int:
        """Return a free lane, or a new one."""
        for place, target in enumerate(self.lanes):
            if target is None:
                return place
        self.lanes.append(None)
        self.most = max(self.most, len(self.lanes))
        return len(self.lanes) - 1

    def _straight(self, place: int) -> str:
        return "│ " if self.lanes[place] is not None else "  "

    def _join(self, into: Sequence[int]) -> None:
        """Join the lanes into the first of them."""
        first, last = into[0], into[-1]
        cells = self._sideways(first, last, into[1:], "┴", "╯")
        for place in into[1:]:
            self.lanes[place] = None
        self.rows.append(LaneRow(cells, ""))
        self._trim()

    def _fork(self, lane: int, forward: Sequence[Edge]) -> None:
        """Fork the lane into one for each edge, in a row with their labels."""
        if len(forward) < 2:
            if forward and forward[0].labels:
                cells = "".join(self._straight(place) for place in range(len(self.lanes)))
                self.rows.append(LaneRow(cells, "", None, lane, tuple(forward)))
            return
        opened = []
        for edge in forward[1:]:
            place = next((i for i in range(lane + 1, len(self.lanes)) if self.lanes[i] is None), None)
            if place is None:
                self.lanes.append(None)
                place = len(self.lanes) - 1
                self.most = max(self.most, len(self.lanes))
            self.lanes[place] = edge.target
            opened.append(place)
        cells = self._sideways(lane, opened[-1], opened, "┬", "╮")
        self.rows.append(LaneRow(cells, "", None, lane, tuple(forward)))

    def _sideways(self, first: int, last: int, ends: Sequence[int], inner: str, outer: str) -> str:
        """Return a row with a line from lane `first` to `last`, with a corner at each of `ends`."""
        cells = ""
        for place in range(len(self.lanes)):
            along = first <= place < last
            if place == first:
                cells += "├─"
            elif place in ends:
                cells += (inner if along else outer) + ("─" if along else " ")
            elif along:
                cells += ("┼" if self.lanes[place] is not None else "─") + "─"
            else:
                cells += self._straight(place)
        return cells

    def _trim(self) -> None:
        while self.lanes and self.lanes[-1] is None:
            self.lanes.pop()


def _rails(rows: Sequence[LaneRow]) -> list[str] | None:
    """Return the rails of each row: one for each loop, the shortest loops innermost."""
    place = {row.node_id: index for index, row in enumerate(rows) if row.node_id is not None}
    spans = sorted(
        (
            (place[edge.target], index)
            for index, row in enumerate(rows)
            for edge in row.back
            if edge.target != edge.source
        ),
        key=lambda span: span[1] - span[0],
    )
    columns: list[list[tuple[int, int]]] = []
    for low, high in spans:
        free = next((column for column in columns if all(high < a or low > b for a, b in column)), None)
        if free is None:
            columns.append([(low, high)])
        else:
            free.append((low, high))
    if len(columns) > MAX_RAILS:
        return None
    drawn = [["  "] * len(columns) for _ in rows]
    for number, column in enumerate(columns):
        at = len(columns) - 1 - number  # the shortest loops are innermost
        for low, high in column:
            _rail(drawn, at, low, high)
    return ["".join(row) for row in drawn]


def _rail(drawn: Sequence[list[str]], at: int, low: int, high: int) -> None:
    for index in range(low, high + 1):
        if index in (low, high):
            drawn[index][at] = "╭" if index == low else "╰"
            drawn[index][at] += "▸" if index == low else "─"
            for inner in range(at + 1, len(drawn[index])):
                drawn[index][inner] = "┼─" if drawn[index][inner][0] == "│" else "──"
            if index == low and at + 1 < len(drawn[index]):
                drawn[index][at] = "╭─"
                drawn[index][-1] = drawn[index][-1][0] + "▸"
        else:
            drawn[index][at] = "│ "


def labels_of(edges: Sequence[Edge], taken: Mapping[str, str]) -> list[tuple[str, bool]]:
    """Return the labels of edges, each with whether the run took it. Error edges without a label get one."""
    found = []
    for edge in edges:
        words = "/".join(edge.labels) or ("on error" if edge.kind == "error" else "")
        if words:
            found.append((words, taken.get(edge.source) in edge.labels))
    return found
