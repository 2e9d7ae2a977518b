"""The graph of a run with the states of its nodes: in lanes, or as an outline if lanes do not fit.

The outline has one line per node, with branches and members indented. Loops and joins are references:
`↺ name` goes back to an ancestor, `→ name` goes to a node that is drawn elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from textual.binding import BindingType
from textual.content import Content
from textual.message import Message

from victor_engine.api import GraphInfo, GraphNode, NodeState, RunInfo
from victor_tui.keys import bindings
from victor_tui.text import clean, duration
from victor_tui.theme import Mark, node_mark, run_mark
from victor_tui.widgets.lanes import LaneRow, Layout, labels_of, lay_out
from victor_tui.widgets.lines import LineView

TONES = {
    "ok": "$text-success",
    "busy": "$text-primary",
    "wait": "$text-accent",
    "warn": "$text-warning",
    "bad": "$text-error",
    "dim": "$foreground-muted",
    "plain": "$foreground",
    "head": "bold",
}
TYPE_MARKS = {
    "agent": "agent",
    "compute": "",
    "condition": "?",
    "parallel": "∥",
    "map": "⇶",
    "transform": "=",
    "hitl": "person",
    "team": "team",
    "workflow": "⤷",
    "fail": "✗",
    "succeed": "✓",
}
_NAMES = 16
"""Minimum width of names beside lanes, in cells. With less space the outline is drawn."""
_MEASURED = 200
"""Maximum number of rows that are drawn to measure the width."""
_FACTS = 40
"""Estimated width of type, counts and times behind the name of a node, in cells."""


def toned(tone: str) -> str:
    """Return the style of a tone in content."""
    return TONES.get(tone, "$foreground")


@dataclass(frozen=True, slots=True)
class GraphRow:
    """One line of the outline: a node, or a reference to a node that is drawn elsewhere."""

    node_id: str
    lead: str  # the lines before the node
    label: str = ""
    kind: str = "next"
    back: bool = False
    reference: bool = False


def outline(graph: GraphInfo) -> list[GraphRow]:
    """Return the rows of the outline from the start node, with each node once."""
    edges: dict[str, list[tuple[str, str, str]]] = {node.id: [] for node in graph.nodes}
    for edge in graph.edges:
        edges.setdefault(edge.source, []).append((edge.target, edge.label, edge.kind))
    rows: list[GraphRow] = []
    parents: dict[str, str | None] = {}

    def comes_from(node_id: str | None, ancestor: str) -> bool:
        while node_id is not None:
            if node_id == ancestor:
                return True
            node_id = parents.get(node_id)
        return False

    # The stack of nodes to draw: node, predecessor, lead, lead below, label, kind.
    pending: list[tuple[str, str | None, str, str, str, str]] = []
    for node in reversed(graph.nodes):
        pending.append((node.id, None, "", "", "", "root"))
    pending.append((graph.start, None, "", "", "", "root"))
    while pending:
        node_id, before, lead, below, label, kind = pending.pop()
        if node_id in parents:
            if kind != "root":
                rows.append(GraphRow(node_id, lead, label, kind, comes_from(before, node_id), True))
            continue
        parents[node_id] = before
        rows.append(GraphRow(node_id, lead, label, "next" if kind == "root" else kind))
        out = edges.get(node_id, [])
        straight = [edge for edge in out if edge[2] == "next"]
        inner = [edge for edge in out if edge[2] != "next"]
        follow = straight[0] if len(straight) == 1 else None
        if follow is None:
            inner += straight
        else:
            pending.append((follow[0], node_id, below, below, follow[1], follow[2]))
        for index, (target, text, sort) in reversed(list(enumerate(inner))):
            last = index == len(inner) - 1 and follow is None
            corner, line = ("└", " ") if last else ("├", "│")
            pending.append((target, node_id, below + corner, below + line, text, sort))
    return rows


@dataclass(frozen=True, slots=True)
class Drawn:
    """The data of a run in its graph: states of nodes, taken branches, and child runs."""

    states: Mapping[str, NodeState]
    taken: Mapping[str, str]
    children: Mapping[str, RunInfo]
    now: datetime


class RunGraph(LineView):
    """Nodes with their states, in lanes or as an outline. Moving the cursor posts `Selected`."""

    show_cursor = True
    DEFAULT_CSS = """
    RunGraph > .lineview--cursor { background: $block-cursor-background; color: $block-cursor-foreground; }
    RunGraph > .lineview--cursor-blurred { background: $block-cursor-blurred-background; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"lineview--cursor", "lineview--cursor-blurred"}
    BINDINGS: ClassVar[list[BindingType]] = bindings("graph")

    class Selected(Message):
        """The cursor is on another node."""

        def __init__(self, node_id: str) -> None:
            super().__init__()
            self.node_id = node_id

    class Chosen(Message):
        """Enter was pressed on a node."""

        def __init__(self, node_id: str) -> None:
            super().__init__()
            self.node_id = node_id

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.rows: Sequence[GraphRow | LaneRow] = ()
        self.wants_lanes = True
        """Whether lanes are preferred to the outline."""
        self.follows = True
        """Whether the cursor follows the active node. Moving the cursor turns this off."""
        self._graph: GraphInfo | None = None
        self._layout: Layout | None = None
        self._outline: list[GraphRow] = []
        self._sources: dict[int, str] = {}
        self._named: dict[str, GraphNode] = {}
        self._drawn = Drawn({}, {}, {}, datetime.min)

    @property
    def selected(self) -> str | None:
        return self.rows[self.cursor].node_id if self.cursor < len(self.rows) else None

    @property
    def in_lanes(self) -> bool:
        return self._layout is not None and self.rows is self._layout.rows

    def show(
        self,
        graph: GraphInfo,
        states: Mapping[str, NodeState],
        taken: Mapping[str, str],
        now: datetime,
        children: Mapping[str, RunInfo] | None = None,
    ) -> None:
        """Draw the graph with the states of its nodes.

        `taken` maps nodes to the labels of taken branches, `children` maps ids to child runs.
        """
        if self._graph != graph:
            self._graph = graph
            self._named = {node.id: node for node in graph.nodes}
            self._layout = lay_out(graph)
            self._outline = outline(graph)
            self._sources = _sources(self._outline)
        self._drawn = Drawn(states, taken, children or {}, now)
        self._choose_rows()
        if self.follows:
            self._go_to_active(states)

    def _choose_rows(self) -> None:
        """Select lanes if they are preferred and leave space for names, else the outline."""
        layout = self._layout
        fits = layout is not None and layout.width + _NAMES <= max(self.size.width, _NAMES + 8)
        before = self.selected
        rows: Sequence[GraphRow | LaneRow] = self._outline
        if layout is not None and fits and self.wants_lanes:
            rows = layout.rows
        changed = rows is not self.rows
        self.rows = rows
        self.set_line_count(len(rows), self._width())
        if changed and before is not None:
            self.go_to(before)

    def _width(self) -> int:
        """Return the width of the widest row, estimated for a large graph."""
        if len(self.rows) <= _MEASURED:
            return max((self.line_at(index).cell_length for index in range(len(self.rows))), default=0)
        names = max(len(name) for name in self._named)
        lead = self._layout.width if self._layout is not None and self.in_lanes else _lead(self._outline)
        return lead + names + _FACTS

    def on_resize(self) -> None:
        if self._graph is not None:
            self._choose_rows()

    def toggle_lanes(self) -> None:
        """Switch between lanes and outline."""
        self.wants_lanes = not self.wants_lanes
        self._choose_rows()

    # --- drawing ------------------------------------------------------------------------------

    def line_at(self, index: int) -> Content:
        row = self.rows[index]
        return self._lane_line(row) if isinstance(row, LaneRow) else self._outline_line(index, row)

    def _outline_line(self, index: int, row: GraphRow) -> Content:
        parts: list[tuple[str, str]] = [(row.lead, "$foreground-muted")]
        if row.label:
            chosen = self._drawn.taken.get(self._sources.get(index, "")) == row.label
            parts.append((f"{clean(row.label)} ", "bold $text-accent" if chosen else "$foreground-muted"))
        if row.reference:
            parts.append((f"{'↺' if row.back else '→'} {clean(row.node_id)}", "$foreground-muted"))
        else:
            mark = self._mark(row.node_id)
            parts += [(f"{mark.glyph} ", toned(mark.tone)), *self._facts(row.node_id)]
        return Content.assemble(*parts)

    def _lane_line(self, row: LaneRow) -> Content:
        parts: list[tuple[str, str]] = [(row.rails, "$text-accent")]
        if row.node_id is None:
            parts.append((row.cells, "$foreground-muted"))
            for number, (words, chosen) in enumerate(labels_of(row.edges, self._drawn.taken)):
                parts.append((" · " if number else " ", "$foreground-muted"))
                parts.append((clean(words), "bold $text-accent" if chosen else "$foreground-muted"))
            return Content.assemble(*parts)
        at = 2 * row.lane
        mark = self._mark(row.node_id)
        parts += [
            (row.cells[:at], "$foreground-muted"),
            (mark.glyph, toned(mark.tone)),
            (row.cells[at + 1 :], "$foreground-muted"),
            *self._facts(row.node_id),
        ]
        for edge in row.back:
            sign = "⟲" if edge.target == edge.source else "↺"
            words = clean("/".join(edge.labels))
            parts.append((f" {sign} {words}".rstrip(), "$text-accent"))
        return Content.assemble(*parts)

    def _mark(self, node_id: str) -> Mark:
        state = self._drawn.states.get(node_id)
        return node_mark(state.status if state is not None else "pending")

    def _facts(self, node_id: str) -> list[tuple[str, str]]:
        """Return the name of a node, its type, counts, duration and child run."""
        node, state = self._named[node_id], self._drawn.states.get(node_id)
        reached = state is not None and state.status not in ("pending", "skipped")
        parts = [(clean(node_id), "bold" if reached else "$foreground-muted")]
        sort = TYPE_MARKS.get(node.type, node.type)
        if sort:
            parts.append((f" {sort}", "$foreground-muted"))
        if node.handler:
            parts.append((f" {node.handler}", "$text-accent"))
        if state is None or not reached:
            return parts
        if state.iteration > 1:
            parts.append((f" ×{state.iteration}", "$text-accent"))
        if state.items:
            parts.append((f" {state.items.get('succeeded', 0)} items done", "$text-accent"))
            if bad := state.items.get("failed", 0):
                parts.append((f" {bad} failed", "$text-error"))
        elif state.attempts > 1:
            parts.append((f" ↻{state.attempts - 1}", "$text-warning"))
        if state.started_at is not None:
            took = ((state.finished_at or self._drawn.now) - state.started_at).total_seconds()
            parts.append((f" {duration(took)}", "$foreground-muted"))
        child = self._drawn.children.get(state.child_run or "")
        if child is not None:
            mark = run_mark(child.status)
            parts.append((f" {mark.glyph} {child.id}", toned(mark.tone)))
            parts.append((f" {clean(', '.join(child.current))}", "$foreground-muted"))
        return parts

    # --- moving -------------------------------------------------------------------------------

    def go_to(self, node_id: str) -> bool:
        """Move the cursor to a node. Return False if the node is not drawn."""
        for index, row in enumerate(self.rows):
            if row.node_id == node_id and not getattr(row, "reference", False):
                self.move_to(index)
                return True
        return False

    def _go_to_active(self, states: Mapping[str, NodeState]) -> None:
        for wanted in (("running", "waiting", "retrying"), ("failed", "interrupted")):
            for row in self.rows:
                state = states.get(row.node_id) if row.node_id is not None else None
                if state is not None and state.status in wanted and self.go_to(state.node_id):
                    return

    def follow(self) -> None:
        """Follow the active node again."""
        self.follows = True
        self._go_to_active(self._drawn.states)

    def action_choose(self) -> None:
        if self.selected is not None:
            self.post_message(self.Chosen(self.selected))

    def action_move(self, by: int) -> None:
        self.follows = False
        index = self.cursor + by
        while 0 <= index < len(self.rows) and self.rows[index].node_id is None:
            index += by
        if 0 <= index < len(self.rows):
            self.move_to(index)

    def action_page(self, by: int) -> None:
        self.follows = False
        super().action_page(by)
        self._to_node(by)

    def action_edge(self, side: int) -> None:
        self.follows = False
        super().action_edge(side)
        self._to_node(-side)

    def _to_node(self, by: int) -> None:
        """Move from a row between nodes to the next node in this direction, or in the other."""
        for way in (by, -by):
            index = self.cursor
            while 0 <= index < len(self.rows) and self.rows[index].node_id is None:
                index += way
            if 0 <= index < len(self.rows):
                self.move_to(index)
                return

    def watch_cursor(self, old: int, new: int) -> None:
        super().watch_cursor(old, new)
        node_id = self.selected
        if node_id is not None:
            self.post_message(self.Selected(node_id))


def _lead(rows: Sequence[GraphRow]) -> int:
    return max((len(row.lead) + len(row.label) + 3 for row in rows), default=0)


def _sources(rows: Sequence[GraphRow]) -> dict[int, str]:
    """Return for each row with a label the node that the branch starts from."""
    found: dict[int, str] = {}
    parents: dict[str, str] = {}
    for index, row in enumerate(rows):
        if row.label:
            found[index] = parents.get(row.lead[:-1], "")
        if not row.reference:
            parents[row.lead.rstrip("├└")] = row.node_id
    return found
