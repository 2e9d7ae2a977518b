"""The background of a question: what its answers lead to, its votes, its assignees before, and its run."""

from __future__ import annotations

from datetime import tzinfo
from typing import Any

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Button, Label, Static

from victor_engine.api import LogLine, RequestInfo, outcome_text, start_text, way_text
from victor_tui.dialogs.base import Dialog, DialogBody
from victor_tui.text import one_line, plain
from victor_tui.widgets.lines import LineView

_MOST_VOTES = 20
"""Maximum number of votes in the dialog. The head counts all."""


def background_lines(request: RequestInfo, zone: tzinfo | None) -> Content:
    """Return the ways of the answers, the votes with their comments, the handovers, and the start of the run."""
    lines = [_way(way_text(way)) for way in request.ways]
    votes = request.votes[-_MOST_VOTES:]
    if len(votes) < len(request.votes):
        lines.append(Content.styled(f"… {len(request.votes) - len(votes)} earlier votes", "$text-muted"))
    for vote in votes:
        text = one_line(outcome_text(vote.outcome, vote.value), 120)
        mark, style = ("✗", "$error") if vote.outcome == "rejected" else ("✓", "$success")
        lines.append(
            Content.assemble(
                (f"{mark} ", style),
                (one_line(vote.actor.user, 60), "bold"),
                f" {text}",
                (" (undone)" if vote.undone else "", "$warning"),
                (f" {vote.at.astimezone(zone):%H:%M}", "$text-muted"),
                f": {plain(vote.comment)}" if vote.comment else "",
            )
        )
    for change in request.handovers:
        words = f"{change.kind.replace('_', ' ')} to {', '.join(change.to)} by {change.actor.user}"
        when = f" {change.at.astimezone(zone):%H:%M}"
        note = f": {plain(change.note)}" if change.note else ""
        lines.append(Content.assemble((one_line(words, 200) + when, "$text-muted"), note))
    if request.started is not None:
        lines.append(Content.styled(one_line(start_text(request.started), 400), "$text-muted"))
    if request.log is not None:
        lines.append(
            Content.styled(f"ctrl+l shows the log of {one_line(request.log.node_id, 80)}", "$text-muted")
        )
    return Content("\n").join(lines)


def _way(text: str) -> Content:
    answers, _, rest = text.partition(" -> ")
    return Content.assemble((one_line(answers, 120), "bold"), (" -> ", "$text-muted"), one_line(rest, 400))


class Background(Static):
    """The background of a question. It has no height until the request is loaded."""

    DEFAULT_CSS = "Background { display: none; }"

    def show(self, request: RequestInfo, zone: tzinfo | None) -> None:
        lines = background_lines(request, zone)
        self.update(lines)
        self.display = bool(lines)


def bring_into_sight(screen: Screen[Any], body: DialogBody) -> None:
    """Scroll the body of a dialog to the focused field, if it is not in sight."""
    field = screen.focused
    if field is not None and body in field.ancestors and not body.region.contains_region(field.region):
        body.scroll_to_center(field, animate=False, origin_visible=True)
        screen.call_after_refresh(body.refresh)  # a key redraws only the field


class LogDialog(Dialog[None]):
    """The last log lines of the node before a question."""

    def __init__(self, title: str, lines: list[LogLine]) -> None:
        super().__init__()
        self._title = title
        self._lines = lines

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Static(Content.styled(one_line(self._title, 200), "bold"), id="head")
            with DialogBody(id="body", can_focus=False):
                yield LineView([self._drawn(line) for line in self._lines], id="log")
            yield Static(id="error")
            with Horizontal(id="actions"):
                yield Button("Close", id="leave", variant="primary", compact=True)
                yield Label("↑ ↓ scroll · esc close", classes="hint")

    @staticmethod
    def _drawn(line: LogLine) -> Content:
        return Content.styled(one_line(line.text, 2000), "$warning" if line.stream == "stderr" else "")

    def on_mount(self) -> None:
        view = self.query_one("#log", LineView)
        view.focus()
        self.call_after_refresh(view.scroll_end, animate=False)

    def on_button_pressed(self) -> None:
        self.action_leave()

    def action_submit(self) -> None:
        self.action_leave()
