"""A graph laid out in lanes: one row a node, branches side by side, joins, and loops as marked edges.

The layout knows nothing of states: it is made once for a graph, and drawn with the states of the
moment. Loops run on rails at the left, from the node that leads back (`╰`) up to the one that it leads
to (`╭▸`). Everything else runs down: a node that branches forks its lane (`├─╮`), a node that several
lanes lead to joins them (`├─╯`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from victor_engine.api import GraphEdge, GraphInfo

MOST_LANES = 9
MOST_RAILS = 6
"""Beyond so many a drawing says less than an outline."""

JOINED = "joined"
"""Kind of the edges from the members of a parallel or team to what comes after it."""


@dataclass(frozen=True, slots=True)
class Edge:
    """One way from a node to another; several edges between the same two are one."""

    source: str
    target: str
    labels: tuple[str, ...] = ()
    kind: str = "next"


@dataclass(frozen=True, slots=True)
class LaneRow:
    """One row of a drawing.

    `cells` are two characters a lane, the node's own lane marked by `lane`; rows between nodes have no
    node. `edges` are the edges that the row begins, for their labels; `back` those that lead back from its
    node, also to itself. `rails` are two characters each.
    """

    cells: str
    rails: str
    node_id: str | None = None
    lane: int = 0
    edges: tuple[Edge, ...] = ()
    back: tuple[Edge, ...] = ()


@dataclass(frozen=True, slots=True)
class Layout:
    """The rows of a drawing, the widest number of lanes, and how many rails there are."""

    rows: tuple[LaneRow, ...]
    lanes: int
    rails: int

    @property
    def width(self) -> int:
        """Cells before the names."""
        return 2 * (self.lanes + self.rails)


def merged_edges(graph: GraphInfo) -> list[Edge]:
    """The edges of a graph, those between the same two nodes as one, members leading to what follows."""
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
    """The nodes so that edges lead down, and the edges that lead back.

    From the start in depth, as the run walks; nodes that nothing leads to come last where edges allow it.
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
    # What nothing leads to was found last, and stands first: it belongs below if it leads nowhere else.
    first = reached.index(graph.start) if graph.start in reached else 0
    apart, walked = reached[:first], set(reached[first:])
    if any(target in walked for node in apart for target in out[node]):
        return reached, back
    return reached[first:] + apart, back


def lay_out(graph: GraphInfo) -> Layout | None:
    """The drawing of a graph; None where it would take too many lanes or rails to be read."""
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
        if pen.most > MOST_LANES:
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
    """The cells of a row whose node a rail leads to, through the lanes before it."""
    cells = row.cells
    led = "".join("┼─" if cells[2 * place] == "│" else "──" for place in range(row.lane))
    return led + cells[2 * row.lane :]


@dataclass
class _Pen:
    """Draws node after node; a lane holds the node that it leads to, or nothing."""

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
        """A lane that leads nowhere; a new one if all lead somewhere."""
        for place, target in enumerate(self.lanes):
            if target is None:
                return place
        self.lanes.append(None)
        self.most = max(self.most, len(self.lanes))
        return len(self.lanes) - 1

    def _straight(self, place: int) -> str:
        return "│ " if self.lanes[place] is not None else "  "

    def _join(self, into: Sequence[int]) -> None:
        """The lanes run together into the first of them."""
        first, last = into[0], into[-1]
        cells = self._sideways(first, last, into[1:], "┴", "╯")
        for place in into[1:]:
            self.lanes[place] = None
        self.rows.append(LaneRow(cells, ""))
        self._trim()

    def _fork(self, lane: int, forward: Sequence[Edge]) -> None:
        """The lane splits into as many as there are edges; the row carries their labels."""
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
        """A row with a line from lane `first` to `last`, with a corner at each of `ends`."""
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
    """What is drawn at the left of each row: a rail for each loop, the shortest ones innermost."""
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
    if len(columns) > MOST_RAILS:
        return None
    drawn = [["  "] * len(columns) for _ in rows]
    for number, column in enumerate(columns):
        at = len(columns) - 1 - number  # the first, shortest ones are innermost
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
    """The labels of edges, each with whether the run took it; those without one have a word for their kind."""
    found = []
    for edge in edges:
        words = "/".join(edge.labels) or ("on error" if edge.kind == "error" else "")
        if words:
            found.append((words, taken.get(edge.source) in edge.labels))
    return found
