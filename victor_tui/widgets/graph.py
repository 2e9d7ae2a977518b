"""The graph of a run as an outline: one line a node, branches and members indented under theirs.

Loops and joins are shown where they lead back or together: `↺ name` goes back to a node above that
is being walked, `→ name` on to one that is drawn elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from textual.content import Content
from textual.message import Message

from victor_engine.api import GraphInfo, NodeState
from victor_tui.text import clean, duration
from victor_tui.theme import node_mark
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
    "transform": "=",
    "hitl": "person",
    "team": "team",
}


def toned(tone: str) -> str:
    """The style that a tone has in content."""
    return TONES.get(tone, "$foreground")


@dataclass(frozen=True, slots=True)
class GraphRow:
    """One line: a node, or a reference to one that is drawn elsewhere."""

    node_id: str
    lead: str  # what is drawn before it: the lines of the outline
    label: str = ""
    kind: str = "next"
    back: bool = False
    reference: bool = False


def outline(graph: GraphInfo) -> list[GraphRow]:
    """The rows of a graph, from its start, each node once."""
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

    # What is still to draw, the next one last: node, the node before it, lead, lead below, label, kind.
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


class RunGraph(LineView):
    """Nodes with their states. Moving the cursor posts `Selected`."""

    show_cursor = True
    DEFAULT_CSS = """
    RunGraph > .lineview--cursor { background: $block-cursor-background; color: $block-cursor-foreground; }
    RunGraph > .lineview--cursor-blurred { background: $block-cursor-blurred-background; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"lineview--cursor", "lineview--cursor-blurred"}

    class Selected(Message):
        """The cursor is on another node."""

        def __init__(self, node_id: str) -> None:
            super().__init__()
            self.node_id = node_id

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.rows: list[GraphRow] = []
        self._graph: GraphInfo | None = None
        self._followed = True

    @property
    def selected(self) -> str | None:
        return self.rows[self.cursor].node_id if self.rows else None

    def show(
        self, graph: GraphInfo, states: Mapping[str, NodeState], taken: Mapping[str, str], now: datetime
    ) -> None:
        """Draw the graph with what became of each node; `taken` is the branch label that a node took."""
        if self._graph != graph:
            self._graph = graph
            self.rows = outline(graph)
        names = {node.id: node for node in graph.nodes}
        parents: dict[str, str] = {}
        lines = []
        for row in self.rows:
            node = names[row.node_id]
            parts: list[tuple[str, str]] = [(row.lead, "$foreground-muted")]
            if row.label:
                source = parents.get(row.lead[:-1], "")
                chosen = taken.get(source) == row.label
                parts.append((f"{clean(row.label)} ", "bold $text-accent" if chosen else "$foreground-muted"))
            if row.reference:
                parts.append((f"{'↺' if row.back else '→'} {clean(row.node_id)}", "$foreground-muted"))
            else:
                parts += self._node(node.id, TYPE_MARKS.get(node.type, node.type), states.get(node.id), now)
                parents[row.lead.rstrip("├└")] = node.id
            lines.append(Content.assemble(*parts))
        self.set_lines(lines)
        if self._followed:
            self._go_to_live(states)

    @staticmethod
    def _node(node_id: str, sort: str, state: NodeState | None, now: datetime) -> list[tuple[str, str]]:
        mark = node_mark(state.status if state is not None else "pending")
        parts = [(f"{mark.glyph} ", toned(mark.tone))]
        reached = state is not None and state.status not in ("pending", "skipped")
        parts.append((clean(node_id), "bold" if reached else "$foreground-muted"))
        if sort:
            parts.append((f" {sort}", "$foreground-muted"))
        if state is None or not reached:
            return parts
        if state.iteration > 1:
            parts.append((f" ×{state.iteration}", "$text-accent"))
        if state.attempts > 1:
            parts.append((f" ↻{state.attempts - 1}", "$text-warning"))
        if state.started_at is not None:
            end = state.finished_at or now
            parts.append((f" {duration((end - state.started_at).total_seconds())}", "$foreground-muted"))
        return parts

    def _go_to_live(self, states: Mapping[str, NodeState]) -> None:
        """Until somebody moves it, the cursor stands on what is at work, or on what went wrong."""
        for wanted in (("running", "waiting", "retrying"), ("failed", "interrupted")):
            for index, row in enumerate(self.rows):
                state = states.get(row.node_id)
                if not row.reference and state is not None and state.status in wanted:
                    self.move_to(index)
                    return

    def action_move(self, by: int) -> None:
        self._followed = False
        super().action_move(by)

    def watch_cursor(self, old: int, new: int) -> None:
        super().watch_cursor(old, new)
        if self.rows and new < len(self.rows):
            self.post_message(self.Selected(self.rows[new].node_id))
