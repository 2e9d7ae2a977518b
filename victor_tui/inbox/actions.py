"""The commands on requests of the list: the marked requests, or the request under the cursor."""

from __future__ import annotations

from collections.abc import Callable

from victor_engine.api import Answer, RequestCommand, RequestInfo, RequestQuery, request_refused
from victor_tui.base_screen import TableScreen
from victor_tui.inbox.answer_several_dialog import TogetherDialog, why_not_together
from victor_tui.text import clean
from victor_tui.widgets.table import LineTable


class RequestCommands:
    """The commands on the requests of one screen. `table` returns its table, `among` the query of its list."""

    def __init__(
        self,
        screen: TableScreen,
        table: Callable[[], LineTable[RequestInfo]],
        among: Callable[[], RequestQuery],
    ) -> None:
        self._among = among
        self._screen = screen
        self._table = table

    def allows(self, command: str) -> bool:
        """Return whether a command is available for the request under the cursor."""
        request: RequestInfo | None = self._screen.current
        # The key bar can ask before the screen is composed.
        if command == "answer_this" and self._screen.is_mounted and len(self._table().marked_rows) > 1:
            return True
        return request is not None and NEEDS[command](request)

    def start(self, command: str) -> None:
        """Execute a command in a worker of the screen."""
        self._screen.run_worker(self._do(command, self._screen.current), group="action")

    async def _do(self, command: str, request: RequestInfo) -> None:
        console = self._screen.console
        match command:
            case "answer_this":
                await self._open(request)
            case "undo":
                await console.answers.undo(request)
            case "claim":
                await console.perform(
                    console.port.claim(request.id), "Claimed: the others see that you work on it."
                )
                console.feed.mark_stale("requests", "inbox")
            case "release":
                await console.perform(console.port.release(request.id), "Released.")
                console.feed.mark_stale("requests", "inbox")
            case "reassign" | "delegate" | "push_back" | "say":
                await console.dialogs.forward(command, request)
            case "run":
                console.navigator.open_run(request.run_id)

    async def _open(self, request: RequestInfo) -> None:
        """Open the marked requests together, or the request under the cursor."""
        marked = self._table().marked_rows
        if len(marked) > 1:
            await self._decide_together(marked)
        else:
            await self._screen.console.dialogs.answer_request(request, self._among())

    async def _decide_together(self, requests: list[RequestInfo]) -> None:
        if problem := why_not_together(requests):
            self._screen.notify(
                clean(f"{problem[0].upper()}{problem[1:]}."), severity="warning", markup=False
            )
            return
        decided = await self._screen.console.push_screen_wait(TogetherDialog(requests))
        if decided is None:
            return
        verdict, comment = decided
        from victor_tui.dialogs.bulk import BulkDialog

        port, answer = self._screen.port, Answer(outcome=verdict, comment=comment)
        dialog = BulkDialog(
            verdict.capitalize(),
            requests,
            lambda each: port.answer(each.id, each.revision, answer),
            lambda each: f"{each.title}, run {each.run_id}",
            keeps_marks=True,
        )
        found = await self._screen.console.push_screen_wait(dialog)
        self._table().set_marks([each.id for each in found.failed_items])
        self._screen.console.feed.mark_stale("requests", "inbox", "held")


def _accepts(command: RequestCommand) -> Callable[[RequestInfo], bool]:
    return lambda request: request_refused(request, command) is None


def _can_say(request: RequestInfo) -> bool:
    return any(
        request_refused(request, command) is None for command in (RequestCommand.ASK, RequestCommand.REPLY)
    )


NEEDS: dict[str, Callable[[RequestInfo], bool]] = {
    "answer_this": _accepts(RequestCommand.ANSWER),
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
