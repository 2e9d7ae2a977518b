"""What is done with a request other than answering it: handing it on, sending its run back, asking back.

Each of these dialogs does what it says itself, so that a refusal is shown inside and nothing that was
typed is lost.
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


class PassingDialog(SendingDialog[RequestInfo | None]):
    """Dismisses with the request as it is afterwards, or None when it was left."""

    SENDS = "send"

    TITLE_WORDS = ""
    BUTTON = "Send"
    DONE = "Done"
    """How it is told afterwards."""

    def __init__(self, request: RequestInfo) -> None:
        super().__init__()
        self.request = request
        self._sending = False

    def compose(self) -> ComposeResult:
        request = self.request
        place = f"{request.workflow} · {request.node_id} · {request.title}"
        with Vertical(id="box"):
            head = Content.assemble((self.TITLE_WORDS, "bold"), "\n", (one_line(place, 200), "$text-muted"))
            yield Static(head, id="head")
            with DialogBody(id="body", can_focus=False):
                yield from self.compose_fields()
            yield Static(id="fault")
            with Horizontal(id="actions"):
                yield Button(self.BUTTON, id="send", variant="primary", compact=True)
                yield Button("Leave", id="leave", compact=True)
                yield Label(f"ctrl+s {self.BUTTON.lower()} · esc leave", classes="hint")

    def compose_fields(self) -> Iterator[Widget]:
        """The fields of this dialog."""
        yield from ()

    def action(self, port: Port) -> Awaitable[RequestInfo] | None:
        """What is sent; None after saying what is missing."""
        raise NotImplementedError

    def missing(self, text: str, field: str) -> None:
        """Say what is missing and go there."""
        self.fault(text)
        self.query_one(field).focus()

    def action_submit(self) -> None:
        if self._sending or self.request.status != RequestStatus.OPEN:
            return
        action = self.action(self.port)
        if action is not None:
            self._sending = True
            self.fault("")
            self._send(action)

    @work(group="send")
    async def _send(self, action: Awaitable[RequestInfo]) -> None:
        try:
            done = await action
        except ConflictError as error:
            self.fault(f"{error.message}. Your text stays here.", "$warning")
            await self._look_again()
        except VictorError as error:
            self.fault(error.message)
        else:
            self.dismiss(done)
        finally:
            self._sending = False

    def feed_refreshed(self, subject: Subject) -> None:
        if subject == "requests" and not self._sending:
            self._look()

    @work(group="look", exclusive=True)
    async def _look(self) -> None:
        """Say that the request was decided meanwhile; then nothing of this can be done with it."""
        await self._look_again()
        if self.request.status != RequestStatus.OPEN:
            words = decided_words(self.request, self.console.zone)
            self.fault(f"{words} Your text stays here; esc leaves.", "$warning")
            self.query_one("#send", Button).disabled = True

    async def _look_again(self) -> None:
        """After a conflict: the next try is about the request as it is now."""
        try:
            self.request = await self.port.request(self.request.id)
        except VictorError as error:
            self.fault(error.message)


def names_in(text: str) -> list[str]:
    """Users, groups and roles, parted by commas or blanks."""
    return [name for name in re.split(r"[,\s]+", text.strip()) if name]


class ReassignDialog(PassingDialog):
    """Other people are asked in the place of those who are."""

    TITLE_WORDS = "Reassign"
    BUTTON = "Reassign"
    DONE = "Reassigned"

    def compose_fields(self) -> Iterator[Widget]:
        now = ", ".join(self.request.assignees) or "anyone"
        yield Static(Content.styled(plain(f"Now for {now}."), "$text-muted"), classes="text")
        yield Label("To (users, groups, @roles)", classes="label")
        yield Input(id="to", placeholder="ana, group:ops, @lead", compact=True)
        yield Label("Note (they see it, and it goes into the audit trail)", classes="label")
        yield Input(id="note", compact=True)

    def on_mount(self) -> None:
        self.query_one("#to").focus()

    def action(self, port: Port) -> Awaitable[RequestInfo] | None:
        names, note = names_in(self.query_one("#to", Input).value), self.query_one("#note", Input).value
        if not names:
            self.missing("Say who is to be asked.", "#to")
            return None
        return self.hand_on(port, names, note)

    def hand_on(self, port: Port, names: list[str], note: str) -> Awaitable[RequestInfo] | None:
        return port.reassign(self.request.id, self.request.revision, names, note)


class DelegateDialog(ReassignDialog):
    """Somebody else answers in one's own place; the others stay asked."""

    TITLE_WORDS = "Delegate: somebody answers in your place"
    BUTTON = "Delegate"
    DONE = "Delegated"

    def hand_on(self, port: Port, names: list[str], note: str) -> Awaitable[RequestInfo] | None:
        if len(names) > 1:
            self.missing("One name: reassign (r) is for several.", "#to")
            return None
        return port.delegate(self.request.id, self.request.revision, names[0], note)


class PushBackDialog(PassingDialog):
    """The run goes back to a node that it has been at, with a comment for the work there."""

    TITLE_WORDS = "Send the run back to an earlier node"
    BUTTON = "Send back"
    DONE = "Sent back"

    def compose_fields(self) -> Iterator[Widget]:
        yield Label("To", classes="label")
        nodes = [Option(Content(one_line(node, 120))) for node in self.request.can_go_back_to]
        yield OptionList(*nodes, id="nodes", compact=True)
        yield Label("What is to be different (needed; the rerun finds it in its state)", classes="label")
        yield TextArea(id="comment", compact=True)

    def on_mount(self) -> None:
        nodes = self.query_one("#nodes", OptionList)
        nodes.highlighted = len(self.request.can_go_back_to) - 1  # the step before is meant most often
        (nodes if len(self.request.can_go_back_to) > 1 else self.query_one("#comment")).focus()

    def on_option_list_option_selected(self) -> None:
        self.query_one("#comment").focus()

    def action(self, port: Port) -> Awaitable[RequestInfo] | None:
        place, text = (
            self.query_one("#nodes", OptionList).highlighted,
            self.query_one("#comment", TextArea).text,
        )
        if place is None:
            self.missing("Choose a node.", "#nodes")
            return None
        if not text.strip():
            self.missing("Say what is to be different.", "#comment")
            return None
        return port.push_back(
            self.request.id, self.request.revision, self.request.can_go_back_to[place], text
        )


class SayDialog(PassingDialog):
    """A question to whoever wants the answer, or the reply to one that is open."""

    def __init__(self, request: RequestInfo) -> None:
        super().__init__(request)
        self._reply = request.held_since is not None
        self.TITLE_WORDS = (
            "Reply to what was asked" if self._reply else f"Ask {one_line(request.requested_by, 60)}"
        )
        self.BUTTON = "Reply" if self._reply else "Ask"
        self.DONE = "Replied" if self._reply else "Asked back"

    def compose_fields(self) -> Iterator[Widget]:
        for message in self.request.messages:
            sign = "?" if message.kind == "question" else "↳"
            who = one_line(message.actor.user, 60)
            said = Content.assemble((f"{sign} {who}  ", "bold"), (plain(message.text), ""))
            yield Static(said, classes="text said")
        held = (
            "The deadline goes on with what is left of it."
            if self._reply
            else "The deadline stands still until then."
        )
        yield Label(f"{'Reply' if self._reply else 'Question'}. {held}", classes="label")
        yield TextArea(id="text", compact=True)

    def on_mount(self) -> None:
        self.query_one("#text").focus()

    def action(self, port: Port) -> Awaitable[RequestInfo] | None:
        text = self.query_one("#text", TextArea).text
        if not text.strip():
            self.missing("There is nothing to send yet.", "#text")
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
"""What each way sends; one of the commands must be accepted."""


def dialog_for(
    how: Literal["reassign", "delegate", "push_back", "say"], request: RequestInfo
) -> PassingDialog:
    """The dialog that does this with `request`. UsageError says why nothing can be done."""
    reasons = [request_refused(request, command) for command in COMMANDS[how]]
    if all(reasons):
        raise UsageError(f"this request {reasons[0]}")
    if how == "push_back" and not request.can_go_back_to:
        raise UsageError("there is no earlier node that this run can go back to")
    kinds = {
        "reassign": ReassignDialog,
        "delegate": DelegateDialog,
        "push_back": PushBackDialog,
        "say": SayDialog,
    }
    return kinds[how](request)
