"""The dialogs that several screens open. They are imported on first use."""

from __future__ import annotations

from collections.abc import Callable

from victor_engine.api import RequestInfo, RequestQuery, unreachable_text
from victor_engine.errors import VictorError
from victor_tui.app_context import Console, Forwarding
from victor_tui.text import clean


class SharedDialogs:
    """The shared dialogs of one application. `on_request_opened` gets the id of each opened request."""

    def __init__(self, console: Console, on_request_opened: Callable[[str], None]) -> None:
        self._console = console
        self._on_request_opened = on_request_opened

    async def confirm(self, title: str, body: str, note: bool = True) -> str | None:
        """Ask for a confirmation. Return the note, which can be empty, or None for no."""
        from victor_tui.dialogs.confirm import ConfirmDialog

        given: str | None = await self._console.push_screen_wait(ConfirmDialog(title, body, note=note))
        return given

    async def answer_request(self, request: RequestInfo, among: RequestQuery | None = None) -> None:
        """Open the dialog of a request, and then of each request to which the user goes from it."""
        from victor_tui.inbox.answer_dialog import AnswerDialog
        from victor_tui.inbox.open_view import OpenView

        console = self._console
        following: RequestInfo | None = request
        with console.key_queue.hold():
            while following is not None:
                self._on_request_opened(following.id)
                dialog = AnswerDialog(following, among)
                async with OpenView(console, following):
                    answered = await console.push_screen_wait(dialog)
                following = dialog.following
                if answered is not None:
                    console.answers.announce(answered)
        console.feed.mark_stale("requests", "inbox", "held")

    async def forward(self, how: Forwarding, request: RequestInfo) -> RequestInfo | None:
        """Reassign or delegate a request, send its run back, or ask the requester."""
        from victor_tui.inbox.forward_dialogs import dialog_for

        console = self._console
        with console.key_queue.hold():
            try:
                found = await console.port.request(request.id)
                dialog = dialog_for(how, found)
            except VictorError as error:
                console.report(error)
                return None
            done = await console.push_screen_wait(dialog)
        if done is not None:
            console.notify(f"{dialog.DONE}: {clean(done.title)}", timeout=4, markup=False)
            if how in ("reassign", "delegate") and (warning := unreachable_text(done)):
                console.notify(f"Warning: {clean(warning)}.", severity="warning", timeout=10, markup=False)
        console.feed.mark_stale("requests", "inbox", "held")
        return done

    async def start_workflow(self, workflow: str, version: str | None = None) -> None:
        """Ask for the inputs or the initial state, start a run, and open it."""
        from victor_tui.dialogs.start_run import TriggerDialog

        console = self._console
        with console.key_queue.hold():
            try:
                schema = (await console.port.definition(workflow, version)).inputs
            except VictorError as error:
                console.report(error)
                return
            found = await console.push_screen_wait(TriggerDialog(workflow, {}, schema))
        if found is None:
            return
        state, note = found
        run = await console.perform(
            console.port.start_run(workflow, version, state, note), f"Started {workflow}."
        )
        if run is not None:
            console.navigator.open_run(run.id)
