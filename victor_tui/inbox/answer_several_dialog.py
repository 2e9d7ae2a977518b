"""The dialog that answers several requests of one node together, after a list of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Button, Input, Label, Static

from victor_engine.api import RequestInfo, RequestStatus, question_text
from victor_tui.dialogs.base import DialogBody, Held, SendingDialog
from victor_tui.inbox.distinctions import common_text, distinctions
from victor_tui.keys import bindings
from victor_tui.text import one_line, plain, plural
from victor_tui.widgets.choices import PICKED, UNPICKED

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


class Listed(VerticalScroll, can_focus=True):
    """A list that knows whether each of its lines was on the screen."""

    _seen = 0
    _width = 0

    @property
    def all_seen(self) -> bool:
        """Whether the list was scrolled to its end in its present width."""
        self._look()
        return self._seen >= self.virtual_size.height

    def on_mount(self) -> None:
        self.watch(self, "scroll_y", self._look, init=False)

    def on_resize(self) -> None:
        self.call_after_refresh(self._look)

    def _look(self) -> None:
        if self.size.width != self._width:  # the lines wrap anew
            self._width, self._seen = self.size.width, 0
        top = round(self.scroll_y)
        if top <= self._seen:
            self._seen = max(self._seen, top + self.size.height)


class TogetherDialog(SendingDialog[tuple[Verdict, str] | None], Held[tuple[Verdict, str] | None]):
    """A list of the requests. Dismisses with the verdict and the comment, which can be empty, or None for no."""

    SENDS = "yes"
    METHOD = "answer"
    BINDINGS: ClassVar[list[BindingType]] = bindings("together")

    def __init__(self, requests: Sequence[RequestInfo]) -> None:
        super().__init__()
        self.requests = list(requests)
        self.selected: Verdict | None = None
        self._needs_comment = any(request.require_comment for request in requests)

    def compose(self) -> ComposeResult:
        first = self.requests[0]
        title = f"Answer {plural(len(self.requests), 'request')}"
        scope = f"{first.workflow} · {first.node_id}: these requests only"
        with Vertical(id="box"):
            head = Content.assemble((title, "bold"), "\n", (one_line(scope, 200), "$text-muted"))
            yield Static(head, id="head")
            with DialogBody(id="body", can_focus=False):
                with Listed(id="together"):
                    yield Static(self._lines(), classes="text")
                needed = " (required)" if self._needs_comment else ""
                yield Label(f"Comment for each request{needed}", classes="label")
                yield Input(id="comment", compact=True)
            yield Static(id="error")
            with Horizontal(id="actions"):
                yield Button(self._label("approved"), id="approved", variant="success", compact=True)
                yield Button(self._label("rejected"), id="rejected", variant="error", compact=True)
                yield Button("Send", id="yes", variant="primary", compact=True)
                yield Label("← → select · ctrl+s send · esc", classes="hint")

    def _label(self, outcome: str) -> str:
        word = "Approve all" if outcome == "approved" else "Reject all"
        return f"{PICKED if self.selected == outcome else UNPICKED}{word}"

    def _lines(self) -> Content:
        """Return the question without what differs, and a line for each request with what differs."""
        found = distinctions(self.requests)
        lines = [
            Content.styled(
                one_line(common_text([question_text(each) for each in self.requests]), 400), "$text-muted"
            )
        ]
        lines += [
            Content.assemble(
                (f"{request.run_id}  ", "$text-muted"),
                (plain(text) if text else "the same question in another run", "bold"),
            )
            for request, text in zip(self.requests, found, strict=True)
        ]
        return Content("\n").join(lines)

    def on_mount(self) -> None:
        self.query_one("#comment" if self._needs_comment else "#together").focus()

    def entered(self) -> None:
        self.show_error("ctrl+s sends.", "$warning")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "select" or not isinstance(self.focused, Input)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        match event.button.id:
            case "approved" | "rejected" as outcome:
                self.action_select(outcome)
            case _:
                super().on_button_pressed(event)

    def action_select(self, outcome: Verdict) -> None:
        """Select the outcome that ctrl+s sends."""
        self.selected = outcome
        self.show_error("")
        for button in self.query("#approved, #rejected").results(Button):
            button.label = self._label(button.id or "")

    def action_submit(self) -> None:
        comment = self.query_one("#comment", Input).value
        if not self.query_one(Listed).all_seen:
            self.show_error(
                "Scroll through all requests first: ↓ or page down. Nothing was sent.", "$warning"
            )
            self.query_one(Listed).focus()
        elif self.selected is None:
            self.show_error("Select an answer first: ← or → outside a field, or tab and enter.", "$warning")
            self.query_one("#together").focus()
        elif self._needs_comment and not comment.strip():
            self.show_error("A comment is required.")
            self.query_one("#comment").focus()
        else:
            self.dismiss((self.selected, comment))
