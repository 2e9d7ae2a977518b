"""The commands on requests of the list: the marked requests, or the request under the cursor."""

from __future__ import annotations

from collections.abc import Callable

from textual.binding import Binding, BindingType

from victor_engine.api import Answer, RequestCommand, RequestInfo, request_refused
from victor_engine.errors import VictorError
from victor_tui.base_screen import TableScreen
from victor_tui.inbox.answer_several_dialog import TogetherDialog, Verdict, why_not_together
from victor_tui.text import clean
from victor_tui.widgets.table import LineTable

APPROVAL_KINDS = ("approval", "confirmation")


REQUEST_BINDINGS: list[BindingType] = [
    Binding(
        "a,enter",
        "request('answer_this')",
        "Answer",
        id="inbox.answer",
        tooltip="Open this request",
    ),
    Binding(
        "y",
        "request('approve')",
        "Approve",
        id="inbox.approve",
        tooltip="Approve this request, or the marked requests",
    ),
    Binding(
        "x",
        "request('reject')",
        "Reject",
        id="inbox.reject",
        tooltip="Reject this request, or the marked requests",
    ),
    Binding(
        "u",
        "request('undo')",
        "Undo",
        id="inbox.undo",
        tooltip="Undo your answer while this is possible",
    ),
    Binding(
        "c",
        "request('claim')",
        "Claim",
        id="inbox.claim",
        tooltip="Show the others that you work on it",
        show=False,
    ),
    Binding(
        "c",
        "request('release')",
        "Release",
        id="inbox.release",
        tooltip="Give up your claim",
        show=False,
    ),
    Binding(
        "r",
        "request('reassign')",
        "Reassign",
        id="inbox.reassign",
        tooltip="Give this request to other people",
        show=False,
    ),
    Binding(
        "d",
        "request('delegate')",
        "Delegate",
        id="inbox.delegate",
        tooltip="Let another person answer in your place",
        show=False,
    ),
    Binding(
        "b",
        "request('push_back')",
        "Back",
        id="inbox.back",
        tooltip="Send the run back to an earlier node",
        show=False,
    ),
    Binding(
        "m",
        "request('say')",
        "Ask/reply",
        id="inbox.say",
        tooltip="Ask the requester, or reply to the question",
        show=False,
    ),
    Binding("l", "request('run')", "Run", id="inbox.run", tooltip="Open the run of this request", show=False),
]


class RequestCommands:
    """The commands on the requests of one screen. `table` returns its table."""

    def __init__(self, screen: TableScreen, table: Callable[[], LineTable[RequestInfo]]) -> None:
        self._screen = screen
        self._table = table

    def allows(self, command: str) -> bool:
        """Return whether a command is available for the request under the cursor."""
        request: RequestInfo | None = self._screen.current
        return request is not None and NEEDS[command](request)

    def start(self, command: str) -> None:
        """Execute a command in a worker of the screen."""
        self._screen.run_worker(self._do(command, self._screen.current), group="action")

    async def _do(self, command: str, request: RequestInfo) -> None:
        console = self._screen.console
        match command:
            case "answer_this":
                await console.dialogs.answer_request(request)
            case "approve":
                await self._decide("approved")
            case "reject":
                await self._decide("rejected")
            case "undo":
                await console.undo_answer(request)
            case "claim":
                await console.perform(
                    console.port.claim(request.id), "Claimed: the others see that you work on it."
                )
                console.feed.mark_stale("requests")
            case "release":
                await console.perform(console.port.release(request.id), "Released.")
                console.feed.mark_stale("requests")
            case "reassign" | "delegate" | "push_back" | "say":
                await console.dialogs.forward(command, request)
            case "run":
                console.navigator.open_run(request.run_id)

    async def _decide(self, verdict: Verdict) -> None:
        marked = self._table().marked_rows
        if len(marked) > 1:
            await self._decide_together(verdict, marked)
            return
        request: RequestInfo = marked[0] if marked else self._screen.current
        if request.require_comment:
            await self._screen.console.dialogs.answer_request(request)
            return
        body = f"{clean(request.title)}\n{clean(request.workflow)} {request.version}, run {request.run_id}"
        word = "Approve" if verdict == "approved" else "Reject"
        note = await self._screen.console.dialogs.confirm(f"{word}?", body)
        if note is None:
            return
        sent = self._screen.port.answer(request.id, request.revision, Answer(outcome=verdict, comment=note))
        await self._screen.console.perform(sent, f"{verdict.capitalize()}: {request.title}")
        self._screen.console.feed.mark_stale("requests", "held")

    async def _decide_together(self, verdict: Verdict, requests: list[RequestInfo]) -> None:
        if problem := why_not_together(requests):
            self._screen.notify(
                clean(f"{problem[0].upper()}{problem[1:]}."), severity="warning", markup=False
            )
            return
        comment = await self._screen.console.push_screen_wait(TogetherDialog(verdict, requests))
        if comment is None:
            return
        from victor_tui.dialogs.results import Result, ResultsDialog

        results, failed = [], []
        for request in requests:
            answer = Answer(outcome=verdict, comment=comment)
            name = f"{request.title}, run {request.run_id}"
            try:
                await self._screen.port.answer(request.id, request.revision, answer)
            except VictorError as error:
                results.append(Result(name, error.message))
                failed.append(request.id)
            else:
                results.append(Result(name))
        self._table().set_marks(failed)
        self._screen.console.feed.mark_stale("requests", "held")
        await self._screen.console.push_screen_wait(ResultsDialog(verdict.capitalize(), results))


def _accepts(command: RequestCommand) -> Callable[[RequestInfo], bool]:
    return lambda request: request_refused(request, command) is None


def _can_decide(request: RequestInfo) -> bool:
    return (
        request_refused(request, RequestCommand.ANSWER) is None
        and request.kind in APPROVAL_KINDS
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
"""The condition of each command: the rule of the engine, and that the command has an effect."""
