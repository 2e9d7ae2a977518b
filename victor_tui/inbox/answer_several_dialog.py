"""The dialog that answers several requests of one node together, after a list of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Input, Label, Static

from victor_engine.api import RequestInfo, RequestStatus
from victor_tui.dialogs.base import DialogBody, Held, SendingDialog
from victor_tui.text import one_line, plural
from victor_tui.widgets.lines import LineView

Verdict = Literal["approved", "rejected"]


def why_not_together(requests: Sequence[RequestInfo]) -> str:
    """Return the reason why these requests cannot be answered together; empty if they can."""
    if any(request.status != RequestStatus.OPEN for request in requests):
        return "some of the marked requests are already decided"
    if any(request.kind not in ("approval", "confirmation") or request.choices for request in requests):
        return "only approvals and confirmations can be answered together"
    nodes = {(request.workflow, request.node_id) for request in requests}
    if len(nodes) > 1:
        names = ", ".join(sorted(f"{workflow} · {node}" for workflow, node in nodes))
        return f"only requests of one node can be answered together; these are of {names}"
    return ""


def differences(requests: Sequence[RequestInfo]) -> list[str]:
    """Return the keys of the context in which the requests differ and whose values are scalars."""
    shared = set.intersection(*(set(request.context) for request in requests)) if requests else set()
    return [
        key
        for key in requests[0].context
        if key in shared
        and not any(isinstance(request.context[key], dict | list) for request in requests)
        and any(request.context[key] != requests[0].context[key] for request in requests)
    ]


class TogetherDialog(SendingDialog[str | None], Held[str | None]):
    """A list of the requests. Dismisses with the comment, which can be empty, or None for no."""

    SENDS = "yes"

    def __init__(self, verdict: Verdict, requests: Sequence[RequestInfo]) -> None:
        super().__init__(classes="-danger" if verdict == "rejected" else "")
        self.requests = list(requests)
        self._word = "Approve" if verdict == "approved" else "Reject"
        self._variant: Literal["success", "error"] = "success" if verdict == "approved" else "error"
        self._needs_comment = any(request.require_comment for request in requests)

    def compose(self) -> ComposeResult:
        first = self.requests[0]
        title = f"{self._word} {plural(len(self.requests), 'request')}?"
        scope = f"{first.workflow} · {first.node_id}: these requests only"
        with Vertical(id="box"):
            head = Content.assemble((title, "bold"), "\n", (one_line(scope, 200), "$text-muted"))
            yield Static(head, id="head")
            with DialogBody(id="body", can_focus=False):
                yield LineView(list(self._lines()), id="together")
                needed = " (required)" if self._needs_comment else ""
                yield Label(f"Comment for each request{needed}", classes="label")
                yield Input(id="comment", compact=True)
            yield Static(id="error")
            with Horizontal(id="actions"):
                yield Button(f"{self._word} all", id="yes", variant=self._variant, compact=True)
                yield Button("Cancel", id="leave", compact=True)
                yield Label(f"ctrl+s {self._word.lower()} all · esc cancel", classes="hint")

    def _lines(self) -> list[Content]:
        keys = differences(self.requests)
        return [
            Content.assemble(
                (f"{request.run_id}  ", "$text-muted"),
                (one_line(request.title, 120), "bold"),
                *(
                    (f"  {one_line(key, 40)}={one_line(str(request.context[key]), 60)}", "$primary")
                    for key in keys
                ),
            )
            for request in self.requests
        ]

    def on_mount(self) -> None:
        self.query_one("#comment" if self._needs_comment else "#together").focus()

    def entered(self) -> None:
        self.show_error("ctrl+s sends.", "$warning")

    def action_submit(self) -> None:
        comment = self.query_one("#comment", Input).value
        if self._needs_comment and not comment.strip():
            self.show_error("A comment is required.")
            self.query_one("#comment").focus()
            return
        self.dismiss(comment)
