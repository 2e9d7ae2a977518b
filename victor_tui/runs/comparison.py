"""The lines of a comparison of two runs: outcome, times, nodes, input, state and definition."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime, tzinfo
from typing import Any

from textual.content import Content

from victor_engine.api import ComparedRun, NodeComparison, NodeFacts, RunComparison, ValueChange
from victor_tui.text import clean, duration, fit, full
from victor_tui.theme import node_mark, run_mark
from victor_tui.widgets.graph import toned

_NAME = 20
"""Width of the labels in cells."""
_DELTA = 10
_MOST = 300
"""Maximum number of listed changes of one value."""
_SIGNIFICANT = 0.1
"""Minimum difference in seconds of a marked duration."""

_OWN = frozenset({"run", "began"})
"""Facts that always differ. They are not marked as differences."""

Side = tuple[str, str]
"""Text and tone of one side."""


def comparison_lines(
    found: RunComparison, width: int, zone: tzinfo | None, now: datetime, only_different: bool = False
) -> list[Content]:
    """Return the lines of a comparison, `width` cells wide. The left run is the older one."""
    column = max(12, (width - _NAME - _DELTA - 3) // 2)
    lines = [_head("", column, ("older", "dim"), ("newer", "dim"))]
    for name, left, right, delta in _facts(found.left, found.right, zone):
        differs = left[0] != right[0] and name not in _OWN
        if differs or name in _OWN or not only_different:
            lines.append(_head(name, column, left, right, delta, differs))
    lines += _section("Nodes", _nodes(found.nodes, column, only_different))
    lines += _section(_counted("Input", found.input), _changes(found.input, width))
    lines += _section(_counted("State", found.state), _changes(found.state, width))
    if found.definition:
        rows = [Content.styled(f"  {clean(line)}", _sign_style(line)) for line in found.definition[:_MOST]]
        lines += _section("Definition", rows)
    return lines


def _section(title: str, rows: Sequence[Content]) -> list[Content]:
    return [Content(""), Content.styled(f" {title}", "bold"), *rows]


def _counted(title: str, changes: Sequence[ValueChange]) -> str:
    if not changes:
        return f"{title}: the same"
    return f"{title}: {len(changes)} {'difference' if len(changes) == 1 else 'differences'}"


def _head(name: str, column: int, left: Side, right: Side, delta: str = "", differs: bool = False) -> Content:
    return Content.assemble(
        ("≠" if differs else " ", "$text-warning"),
        (fit(clean(name), _NAME - 1), "$foreground-muted"),
        (fit(clean(left[0]), column), toned(left[1])),
        " ",
        (fit(clean(right[0]), column), toned(right[1])),
        " ",
        (fit(delta, _DELTA, "right"), "$text-warning" if differs else "$foreground-muted"),
    )


def _facts(
    left: ComparedRun, right: ComparedRun, zone: tzinfo | None
) -> Iterator[tuple[str, Side, Side, str]]:
    one, other = left.run, right.run
    yield "run", (one.id, "plain"), (other.id, "plain"), ""
    if one.workflow != other.workflow:
        yield "workflow", (one.workflow, "plain"), (other.workflow, "plain"), ""
    marks = run_mark(one.status), run_mark(other.status)
    yield "outcome", (marks[0].text, marks[0].tone), (marks[1].text, marks[1].tone), ""
    if one.error is not None or other.error is not None:
        words = [f"{e.node_id or ''} {e.type}: {e.message}" if e else "–" for e in (one.error, other.error)]
        yield "error", (words[0], "bad"), (words[1], "bad"), ""
    yield "version", (one.version, "plain"), (other.version, "plain"), ""
    yield "started by", (f"{one.trigger}, {one.started_by}", "plain"), (
        f"{other.trigger}, {other.started_by}", "plain"), ""  # fmt: skip
    yield "began", (full(one.created_at, zone), "plain"), (full(other.created_at, zone), "plain"), ""
    yield "took", (duration(left.seconds), "plain"), (duration(right.seconds), "plain"), delta(
        left.seconds, right.seconds)  # fmt: skip
    for name, a, b in (
        ("nodes done", one.nodes_done, other.nodes_done),
        ("retries", one.retries, other.retries),
        ("log lines", left.log_lines, right.log_lines),
    ):
        yield name, (f"{a:,}", "plain"), (f"{b:,}", "plain"), f"{b - a:+,}" if b != a else ""


def delta(left: float | None, right: float | None) -> str:
    """Return the difference of two durations: `+2m 10s`, `−3s`."""
    if left is None or right is None or abs(right - left) < _SIGNIFICANT:
        return ""
    return f"{'+' if right > left else '−'}{duration(abs(right - left))}"


def _nodes(nodes: Sequence[NodeComparison], column: int, only_different: bool) -> list[Content]:
    lines = []
    for node in nodes:
        left, right = _node(node.left), _node(node.right)
        times = [side.seconds if side is not None else None for side in (node.left, node.right)]
        change = delta(*times)
        statuses = [side.status if side is not None else "" for side in (node.left, node.right)]
        attempts = [side.attempts if side is not None else 0 for side in (node.left, node.right)]
        differs = statuses[0] != statuses[1] or attempts[0] != attempts[1]
        if differs or change or not only_different:
            lines.append(_head(node.node_id, column, left, right, change, differs))
    return lines or [Content.styled("  no difference between the nodes", "$foreground-muted")]


def _node(facts: NodeFacts | None) -> Side:
    if facts is None:
        return "–", "dim"
    mark = node_mark(facts.status)
    loops = f" ×{facts.iterations}" if facts.iterations > 1 else ""
    retries = facts.attempts - facts.iterations
    again = f" ↻{retries}" if retries > 0 else ""
    return f"{mark.text} {duration(facts.seconds)}{loops}{again}", mark.tone


def change_lines(changes: Sequence[ValueChange], width: int) -> list[Content]:
    """Return the lines of the differences of a JSON value: path, old value, new value."""
    return _changes(changes, width)


def _changes(changes: Sequence[ValueChange], width: int) -> list[Content]:
    lines = []
    for change in changes[:_MOST]:
        path = clean(change.path)
        if change.kind == "changed":
            lines.append(Content.assemble(("  ~ ", "$text-warning"), (path, "bold")))
            lines.append(Content.styled(f"    − {_value(change.old, width)}", "$text-error"))
            lines.append(Content.styled(f"    + {_value(change.new, width)}", "$text-success"))
        else:
            sign, value, style = (
                ("+", change.new, "$text-success")
                if change.kind == "added"
                else ("−", change.old, "$text-error")
            )
            lines.append(
                Content.assemble((f"  {sign} ", style), (path, "bold"), (f" {_value(value, width)}", style))
            )
    if len(changes) > _MOST:
        lines.append(Content.styled(f"  and {len(changes) - _MOST} more", "$foreground-muted"))
    return lines


def _value(value: Any, width: int) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return clean(text[: max(width * 4, 400)])


def _sign_style(line: str) -> str:
    return {"+": "$text-success", "-": "$text-error", "~": "$text-warning"}.get(line[:1], "$foreground")
