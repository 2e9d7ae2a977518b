"""Whether an open answer dialog accepts an answer, and the reason if it does not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, tzinfo
from typing import Any

from textual.widgets import Button

from victor_engine.api import RequestInfo, RequestStatus
from victor_tui.dialogs.base import Dialog
from victor_tui.inbox.question_view import decided_words, why_refused


class Availability:
    """The state of the request of one dialog: open, refused for the current user, or decided.

    An answer that is not in force yet can be undone, and then the dialog accepts an answer again.
    """

    def __init__(self, dialog: Dialog[Any]) -> None:
        self._dialog = dialog
        self.over = False
        """Whether the request is decided, or sent back by this dialog."""
        self.held = False
        """Whether its answer can still be undone."""
        self.refused = ""
        """The reason why the current user cannot answer."""

    @property
    def final(self) -> bool:
        """Whether the request is decided, and its answer cannot be undone any more."""
        return self.over and not self.held

    def show(self, request: RequestInfo, now: datetime, zone: tzinfo | None) -> None:
        """Disable the buttons that the state of the request does not allow, and show the reason."""
        if request.status != RequestStatus.OPEN:
            self.over, self.held = True, request.settles_at is not None
            words = decided_words(request, now, zone)
            self._dialog.show_error(f"{words} Your text stays here; esc closes.", "$warning")
            self._disable(lambda button: button.id != "leave")
            return
        if self.over:
            self.over = self.held = False
            self._dialog.show_error("The answer was undone. The request is open again.", "$warning")
            self._disable(lambda button: False)
            self._dialog.refresh_bindings()
        refused = why_refused(request) or self._dialog.console.access.refusal("submit", self._dialog) or ""
        if refused != self.refused:
            self.refused = refused
            self._dialog.show_error(refused, "$warning")
            self._disable(lambda button: bool(refused) and button.id != "leave")
            self._dialog.refresh_bindings()

    def _disable(self, matches: Callable[[Button], bool]) -> None:
        for button in self._dialog.query("#actions Button").results(Button):
            button.disabled = matches(button)
