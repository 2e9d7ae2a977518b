"""The dialogs that reassign or delegate a request, send its run back, or ask the requester.

Each dialog sends its command itself, so that it can show an error without losing the input.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Iterator
from typing import Literal

from textual import work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Button, Input, Label, OptionList, Static, TextArea
from textual.widgets.option_list import Option

from victor_engine.api import Port, RequestCommand, RequestInfo, RequestStatus, request_refused
from victor_engine.errors import ConflictError, UsageError, VictorError
from victor_tui.dialogs.base import DialogBody, SendingDialog
from victor_tui.feed import Subject
from victor_tui.inbox.question_view import decided_words
from victor_tui.text import one_line, plain


class ForwardDialog(SendingDialog[RequestInfo | None]):
    """A dialog that dismisses with the changed request, or None."""

    SENDS = "send"

    TITLE_WORDS = ""
    BUTTON = "Send"
    DONE = "Done"
    """The word of the notification after the command."""

    def __init__(self, request: RequestInfo) -> None:
        super().__init__()
        self.request = request
        self._sending = False

    def compose(self) -> ComposeResult:
        request = self.request
        subtitle = f"{request.workflow} · {request.node_id} · {request.title}"
        with Vertical(id="box"):
            head = Content.assemble(
                (self.TITLE_WORDS, "bold"), "\n", (one_line(subtitle, 200), "$text-muted")
            )
            yield Static(head, id="head")
            with DialogBody(id="body", can_focus=False):
                yield from self.compose_fields()
            yield Static(id="error")
            with Horizontal(id="actions"):
                yield Button(self.BUTTON, id="send", variant="primary", compact=True)
                yield Button("Cancel", id="leave", compact=True)
                yield Label(f"ctrl+s {self.BUTTON.lower()} · esc cancel", classes="hint")

    def compose_fields(self) -> Iterator[Widget]:
        """Yield the fields of this dialog."""
        yield from ()

    def action(self, port: Port) -> Awaitable[RequestInfo] | None:
        """Return the command to send, or None after showing an error."""
        raise NotImplementedError

    def missing(self, text: str, field: str) -> None:
        """Show what is missing, and focus the field."""
        self.show_error(text)
        self.query_one(field).focus()

    def action_submit(self) -> None:
        if self._sending or self.request.status != RequestStatus.OPEN:
            return
        action = self.action(self.port)
        if action is not None:
            self._sending = True
            self.show_error("")
            self._send(action)

    @work(group="send")
    async def _send(self, action: Awaitable[RequestInfo]) -> None:
        try:
            done = await action
        except ConflictError as error:
            self.show_error(f"{error.message}. Your text stays here.", "$warning")
            await self._reload()
        except VictorError as error:
            self.show_error(error.message)
        else:
            self.dismiss(done)
        finally:
            self._sending = False

    def feed_refreshed(self, subject: Subject) -> None:
        if subject == "requests" and not self._sending:
            self._check_open()

    @work(group="look", exclusive=True)
    async def _check_open(self) -> None:
        """Load the request. If it is decided, show this and disable sending."""
        await self._reload()
        if self.request.status != RequestStatus.OPEN:
            words = decided_words(self.request, self.now(), self.console.zone)
            self.show_error(f"{words} Your text stays here; esc closes.", "$warning")
            self.query_one("#send", Button).disabled = True

    async def _reload(self) -> None:
        """Load the current request, so that the next attempt uses its revision."""
        try:
            self.request = await self.port.request(self.request.id)
        except VictorError as error:
            self.show_error(error.message)


def names_in(text: str) -> list[str]:
    """Return the users, groups and roles of a text, separated by commas or spaces."""
    return [name for name in re.split(r"[,\s]+", text.strip()) if name]


class ReassignDialog(ForwardDialog):
    """Assign the request to other people."""

    METHOD = "reassign"
    TITLE_WORDS = "Reassign"
    BUTTON = "Reassign"
    DONE = "Reassigned"

    def compose_fields(self) -> Iterator[Widget]:
        now = ", ".join(self.request.assignees) or "anyone"
        yield Static(Content.styled(plain(f"Currently assigned to {now}."), "$text-muted"), classes="text")
        yield Label("New assignees (users, groups, @roles)", classes="label")
        yield Input(id="to", placeholder="ana, group:ops, @lead", compact=True)
        yield Label("Note (shown to them, and in the audit trail)", classes="label")
        yield Input(id="note", compact=True)

    def on_mount(self) -> None:
        self.query_one("#to").focus()

    def action(self, port: Port) -> Awaitable[RequestInfo] | None:
        names, note = names_in(self.query_one("#to", Input).value), self.query_one("#note", Input).value
        if not names:
            self.missing("Enter at least one user, group or role.", "#to")
            return None
        return self.send_names(port, names, note)

    def send_names(self, port: Port, names: list[str], note: str) -> Awaitable[RequestInfo] | None:
        return port.reassign(self.request.id, self.request.revision, names, note)


class DelegateDialog(ReassignDialog):
    """Let another person answer in the place of the user. Other assignees stay."""

    METHOD = "delegate"
    TITLE_WORDS = "Delegate: another person answers in your place"
    BUTTON = "Delegate"
    DONE = "Delegated"

    def send_names(self, port: Port, names: list[str], note: str) -> Awaitable[RequestInfo] | None:
        if len(names) > 1:
            self.missing("Enter one name. To ask several people, use reassign (r).", "#to")
            return None
        return port.delegate(self.request.id, self.request.revision, names[0], note)


class PushBackDialog(ForwardDialog):
    """Send the run back to a node that it has visited, with a comment."""

    METHOD = "push_back"
    TITLE_WORDS = "Send the run back to an earlier node"
    BUTTON = "Send back"
    DONE = "Sent back"

    def compose_fields(self) -> Iterator[Widget]:
        yield Label("To", classes="label")
        nodes = [Option(Content(one_line(node, 120))) for node in self.request.can_go_back_to]
        yield OptionList(*nodes, id="nodes", compact=True)
        yield Label("Required changes (the node finds this text in its state)", classes="label")
        yield TextArea(id="comment", compact=True)

    def on_mount(self) -> None:
        nodes = self.query_one("#nodes", OptionList)
        nodes.highlighted = len(self.request.can_go_back_to) - 1  # usually the previous step
        (nodes if len(self.request.can_go_back_to) > 1 else self.query_one("#comment")).focus()

    def on_option_list_option_selected(self) -> None:
        self.query_one("#comment").focus()

    def action(self, port: Port) -> Awaitable[RequestInfo] | None:
        index, text = (
            self.query_one("#nodes", OptionList).highlighted,
            self.query_one("#comment", TextArea).text,
        )
        if index is None:
            self.missing("Choose a node.", "#nodes")
            return None
        if not text.strip():
            self.missing("Describe the required changes.", "#comment")
            return None
        return port.push_back(
            self.request.id, self.request.revision, self.request.can_go_back_to[index], text
        )


class SayDialog(ForwardDialog):
    """Ask the requester a question, or reply to an open question."""

    METHOD = "ask_requester"

    def __init__(self, request: RequestInfo) -> None:
        super().__init__(request)
        self._reply = request.held_since is not None
        self.TITLE_WORDS = (
            "Reply to the question" if self._reply else f"Ask {one_line(request.requested_by, 60)}"
        )
        self.BUTTON = "Reply" if self._reply else "Ask"
        self.DONE = "Replied" if self._reply else "Asked"

    def compose_fields(self) -> Iterator[Widget]:
        for message in self.request.messages:
            sign = "?" if message.kind == "question" else "↳"
            who = one_line(message.actor.user, 60)
            line = Content.assemble((f"{sign} {who}  ", "bold"), (plain(message.text), ""))
            yield Static(line, classes="text remark")
        held = (
            "The deadline continues with the remaining time."
            if self._reply
            else "The deadline is paused until the reply."
        )
        yield Label(f"{'Reply' if self._reply else 'Question'}. {held}", classes="label")
        yield TextArea(id="text", compact=True)

    def on_mount(self) -> None:
        self.query_one("#text").focus()

    def action(self, port: Port) -> Awaitable[RequestInfo] | None:
        text = self.query_one("#text", TextArea).text
        if not text.strip():
            self.missing("Enter a text first.", "#text")
            return None
        if self._reply:
            return port.reply(self.request.id, text)
        return port.ask_requester(self.request.id, text)


COMMANDS = {
    "reassign": (RequestCommand.REASSIGN,),
    "delegate": (RequestCommand.DELEGATE,),
    "push_back": (RequestCommand.PUSH_BACK,),
    "say": (RequestCommand.ASK, RequestCommand.REPLY),
}
"""The commands of each dialog. The engine must accept one of them."""


def dialog_for(
    how: Literal["reassign", "delegate", "push_back", "say"], request: RequestInfo
) -> ForwardDialog:
    """Return the dialog for a command on `request`. Raises UsageError if the engine would refuse it."""
    reasons = [request_refused(request, command) for command in COMMANDS[how]]
    if all(reasons):
        raise UsageError(f"this request {reasons[0]}")
    if how == "push_back" and not request.can_go_back_to:
        raise UsageError("this run has no earlier node to go back to")
    kinds = {
        "reassign": ReassignDialog,
        "delegate": DelegateDialog,
        "push_back": PushBackDialog,
        "say": SayDialog,
    }
    return kinds[how](request)
