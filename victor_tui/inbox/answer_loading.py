"""The loading of the request of an open answer dialog."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Protocol

from msgspec.structs import replace
from textual.widgets import Static

from victor_engine.api import RequestInfo
from victor_engine.errors import EngineUnavailableError, VictorError
from victor_tui.dialogs.base import Dialog
from victor_tui.inbox.availability import Availability
from victor_tui.inbox.background import Background
from victor_tui.inbox.drafts import DraftKeeper
from victor_tui.inbox.question_view import head_lines, message_lines


class OpenRequest(Protocol):
    """The request of a dialog, its state and its draft."""

    request: RequestInfo
    available: Availability
    draft: DraftKeeper


def draw_head(dialog: Dialog[Any], request: RequestInfo) -> None:
    """Draw the head of a dialog: the countdown of its request and the other users."""
    dialog.query_one("#head", Static).update(head_lines(request, dialog.now()))


class Loading:
    """The loading of the request again, and the mark for other users that it is open here."""

    def __init__(self, dialog: Dialog[Any], opened: OpenRequest) -> None:
        self._dialog = dialog
        self._opened = opened
        self._renewing = False

    def load(self) -> None:
        """Load the request again, and show its changes."""
        self._dialog.run_worker(self._load(), group="look", exclusive=True)

    def renew(self) -> None:
        """Show other users that the request is still open here, and draw their names."""
        if not self._renewing:
            self._renewing = True
            self._dialog.run_worker(self._renew(), group="renew")

    async def _renew(self) -> None:
        dialog, opened = self._dialog, self._opened
        with suppress(VictorError):  # the console shows a lost engine
            found = await dialog.port.view_request(opened.request.id)
            if found.viewers != opened.request.viewers:
                opened.request = replace(opened.request, viewers=found.viewers)
                draw_head(dialog, opened.request)
        self._renewing = False

    async def _load(self) -> None:
        dialog, opened = self._dialog, self._opened
        try:
            found = await dialog.port.request(opened.request.id)
        except EngineUnavailableError:
            return  # the console shows this error
        except VictorError as error:
            dialog.show_error(error.message)
            return
        before, opened.request = opened.request, found
        if found != before:
            draw_head(dialog, opened.request)
            messages = dialog.query_one("#messages", Static)
            messages.update(message_lines(found))
            messages.display = bool(found.messages)
        dialog.query_one(Background).show(found, dialog.console.zone)
        opened.available.show(found, dialog.now(), dialog.console.zone)
        if opened.available.final:
            opened.draft.end(found)
