"""What is done to requests from the list: to the marked ones where that makes sense, else to one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import ClassVar

from textual import work
from textual.binding import Binding, BindingType

from victor_engine.api import Answer, RequestCommand, RequestInfo, request_refused
from victor_engine.errors import VictorError
from victor_tui.dialogs.together import TogetherDialog, Verdict, why_not_together
from victor_tui.screens.base import TableScreen
from victor_tui.text import clean
from victor_tui.widgets.table import LineTable

YES_NO = ("approval", "confirmation")


class InboxActions(TableScreen):
    """The actions of the inbox; `current` is the request under the cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "a,enter", "answer_this", "Answer", id="inbox.answer", tooltip="Open the dialog of this request"
        ),
        Binding(
            "y", "approve", "Approve", id="inbox.approve", tooltip="Approve this one, or all that are marked"
        ),
        Binding(
            "x", "reject", "Reject", id="inbox.reject", tooltip="Reject this one, or all that are marked"
        ),
        Binding(
            "u", "undo", "Take back", id="inbox.undo", tooltip="Take your answer back while it does not count"
        ),
        Binding(
            "c", "claim", "Claim", id="inbox.claim", tooltip="Tell the others that you look at it", show=False
        ),
        Binding(
            "c", "release", "Release", id="inbox.release", tooltip="Let somebody else look at it", show=False
        ),
        Binding(
            "r", "reassign", "Reassign", id="inbox.reassign", tooltip="Let other people be asked", show=False
        ),
        Binding(
            "d",
            "delegate",
            "Delegate",
            id="inbox.delegate",
            tooltip="Let somebody answer in your place",
            show=False,
        ),
        Binding(
            "b",
            "push_back",
            "Back",
            id="inbox.back",
            tooltip="Send the run back to an earlier node",
            show=False,
        ),
        Binding(
            "m",
            "say",
            "Ask/reply",
            id="inbox.say",
            tooltip="Ask the requester, or reply to what was asked",
            show=False,
        ),
        Binding("l", "run", "Its run", id="inbox.run", tooltip="Open the run that asks", show=False),
    ]

    @property
    def requests_table(self) -> LineTable[RequestInfo]:
        table: LineTable[RequestInfo] = self.query_one("#requests", LineTable)
        return table

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        request: RequestInfo | None = self.current
        needs = NEEDS.get(action)
        if needs is None:
            return True
        return request is not None and needs(request)

    # --- answering ------------------------------------------------------------------------------

    @work(group="action")
    async def action_answer_this(self) -> None:
        await self.console.dialogs.answer_request(self.current)

    @work(group="action")
    async def on_line_table_chosen(self, message: LineTable.Chosen) -> None:
        request: RequestInfo = message.row
        if request_refused(request, RequestCommand.ANSWER) is None:
            await self.console.dialogs.answer_request(request)

    @work(group="action")
    async def action_approve(self) -> None:
        await self._decide("approved")

    @work(group="action")
    async def action_reject(self) -> None:
        await self._decide("rejected")

    async def _decide(self, verdict: Verdict) -> None:
        marked = self.requests_table.marked_rows
        if len(marked) > 1:
            await self._decide_together(verdict, marked)
            return
        request: RequestInfo = marked[0] if marked else self.current
        if request.require_comment:
            await self.console.dialogs.answer_request(request)
            return
        body = f"{clean(request.title)}\n{clean(request.workflow)} {request.version}, run {request.run_id}"
        word = "Approve" if verdict == "approved" else "Reject"
        note = await self.console.dialogs.confirm(f"{word}?", body)
        if note is None:
            return
        sent = self.port.answer(request.id, request.revision, Answer(outcome=verdict, comment=note))
        await self.console.perform(sent, f"{verdict.capitalize()}: {request.title}")
        self.console.feed.mark_stale("requests", "held")

    async def _decide_together(self, verdict: Verdict, requests: list[RequestInfo]) -> None:
        if problem := why_not_together(requests):
            self.notify(clean(f"{problem[0].upper()}{problem[1:]}."), severity="warning", markup=False)
            return
        comment = await self.app.push_screen_wait(TogetherDialog(verdict, requests))
        if comment is None:
            return
        from victor_tui.dialogs.results import Result, ResultsDialog

        results, failed = [], []
        for request in requests:
            answer = Answer(outcome=verdict, comment=comment)
            name = f"{request.title}, run {request.run_id}"
            try:
                await self.port.answer(request.id, request.revision, answer)
            except VictorError as error:
                results.append(Result(name, error.message))
                failed.append(request.id)
            else:
                results.append(Result(name))
        self.requests_table.set_marks(failed)
        self.console.feed.mark_stale("requests", "held")
        await self.app.push_screen_wait(ResultsDialog(verdict.capitalize(), results))

    # --- everything else ------------------------------------------------------------------------

    @work(group="action")
    async def action_undo(self) -> None:
        await self.console.take_back(self.current)

    @work(group="action")
    async def action_claim(self) -> None:
        await self._act(self.port.claim(self.current.id), "Claimed: the others see that you look at it.")

    @work(group="action")
    async def action_release(self) -> None:
        await self._act(self.port.release(self.current.id), "Released.")

    async def _act(self, action: Awaitable[RequestInfo], done: str) -> None:
        await self.console.perform(action, done)
        self.console.feed.mark_stale("requests")

    @work(group="action")
    async def action_reassign(self) -> None:
        await self.console.dialogs.pass_on("reassign", self.current)

    @work(group="action")
    async def action_delegate(self) -> None:
        await self.console.dialogs.pass_on("delegate", self.current)

    @work(group="action")
    async def action_push_back(self) -> None:
        await self.console.dialogs.pass_on("push_back", self.current)

    @work(group="action")
    async def action_say(self) -> None:
        await self.console.dialogs.pass_on("say", self.current)

    def action_run(self) -> None:
        self.console.navigator.open_run(self.current.run_id)


def _accepts(command: RequestCommand) -> Callable[[RequestInfo], bool]:
    return lambda request: request_refused(request, command) is None


def _can_decide(request: RequestInfo) -> bool:
    return (
        request_refused(request, RequestCommand.ANSWER) is None
        and request.kind in YES_NO
        and not request.choices
    )


def _can_say(request: RequestInfo) -> bool:
    return any(
        request_refused(request, command) is None for command in (RequestCommand.ASK, RequestCommand.REPLY)
    )


NEEDS: dict[str, Callable[[RequestInfo], bool]] = {
    "answer_this": _accepts(RequestCommand.ANSWER),
    "approve": _can_decide,
    "reject": _can_decide,
    "undo": _accepts(RequestCommand.UNDO),
    "claim": lambda q: request_refused(q, RequestCommand.CLAIM) is None and q.claimed_by is None,
    "release": lambda q: request_refused(q, RequestCommand.RELEASE) is None and q.claimed_by is not None,
    "reassign": _accepts(RequestCommand.REASSIGN),
    "delegate": _accepts(RequestCommand.DELEGATE),
    "push_back": _accepts(RequestCommand.PUSH_BACK),
    "say": _can_say,
    "run": lambda q: True,
}
"""What a request must be for an action on it. What it accepts is what the engine accepts."""
