"""Telling the operator that somebody is waited for: toast, bell, the terminal's title, the desktop.

What happens within a moment shares one announcement, and a newer announcement takes the place of the
older, so that a crowd of questions never covers what the operator is doing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from textual.notifications import Notification, Notify

from victor_engine.api import EventInfo, RequestInfo
from victor_tui.inbox.open_requests import PAGE
from victor_tui.inbox.urgency import urgency_order
from victor_tui.terminal_notifications import (
    GIVE_BACK_TITLE,
    KEEP_TITLE,
    Desktop,
    find_desktop,
    terminal_title,
)
from victor_tui.text import clean
from victor_tui.textual_compat import remove_notification, write_to_terminal

if TYPE_CHECKING:
    from victor_tui.app_context import Console

_GATHER = 0.3
"""Seconds in which announcements of the same kind are gathered into one."""
_TOLD_AT_ONCE = 3
"""Requests or broken promises that one toast names."""
_SECONDS = 8.0
"""How long a toast about requests stays."""
_BREACH_SECONDS = 12.0
_WORDS = {"request.opened": "asked", "request.reminded": "reminder", "request.escalated": "escalated"}
"""How a line of a toast begins, by what happened to the request."""


def asks_me(request: RequestInfo) -> bool:
    """Whether whoever sits at this console is asked: by name, through a group, or as anyone."""
    return bool(request.asked_as) or not request.assignees


class Announcer:
    """Announces for `app`. It knows which requests were open before, so that each rings once."""

    def __init__(self, app: Console) -> None:
        self._app = app
        self._known: set[str] | None = None
        self._cut = False  # whether there were more than are known
        self._newest: datetime | None = None  # when the newest of the known was asked
        self._asked: dict[str, str] = {}
        """Requests to be announced with the next toast, and what happened to each."""
        self._breaches: list[EventInfo] = []
        self._shown: Notification | None = None
        self._titled = False
        self.setting = "auto"
        """`console.notify` of the configuration."""
        self.desktop = Desktop()

    async def learn_terminal(self, setting: str, env: Mapping[str, str]) -> None:
        """Find out how this terminal notifies; until then it is not used for that."""
        self.setting = setting
        self.desktop = await find_desktop(setting, env)

    # --- requests -------------------------------------------------------------------------------

    def requests_changed(self, requests: Sequence[RequestInfo], count: int | None = None) -> None:
        """These are open now, of `count` in all (None: they are all): ring for the new ones that ask whoever sits here."""
        ids = {request.id for request in requests}
        if self._known is not None:
            for request in requests:
                # Where not all are held, an old one may come into sight as another is answered.
                moved_up = self._cut and self._newest is not None and request.created_at <= self._newest
                if request.id not in self._known and not moved_up and asks_me(request):
                    self._ask(request.id, "request.opened")
        self._known = ids
        self._cut = len(ids) >= PAGE
        newest = max((request.created_at for request in requests), default=None)
        if newest is not None and (self._newest is None or newest > self._newest):
            self._newest = newest
        self._set_title(len(ids) if count is None else count)

    def happened(self, event: EventInfo) -> None:
        """Something of which the operator is told at once."""
        if event.kind == "sla.breached":
            if not self._breaches:
                self._app.set_timer(_GATHER, self._announce_breaches)
            self._breaches.append(event)
        elif event.request_id is not None:
            self._ask(event.request_id, event.kind)

    def _ask(self, request_id: str, kind: str) -> None:
        if not self._asked:
            self._app.set_timer(_GATHER, self._announce_requests)
        self._asked[request_id] = kind

    def _announce_requests(self) -> None:
        asked, self._asked = self._asked, {}
        if not self._app.screen_stack:  # the console ends
            return
        found = [request for request in self._app.open_requests if request.id in asked and asks_me(request)]
        if not found:  # they were decided, or are others' to answer
            return
        found.sort(key=urgency_order)
        lines = [
            f"{_WORDS[asked[request.id]]}: {clean(request.workflow)} · {clean(request.title)}"
            for request in found[:_TOLD_AT_ONCE]
        ]
        if len(found) > _TOLD_AT_ONCE:
            lines.append(f"and {len(found) - _TOLD_AT_ONCE} more")
        title = "◆ Somebody waits for you" if len(found) == 1 else f"◆ {len(found)} wait for you"
        body = "\n".join(lines)
        if not self._app.screen.is_modal:
            lines.append("Press a to answer.")
        self._ring()
        self._replace_toast(Notification("\n".join(lines), title, "warning", _SECONDS))
        self._write(self.desktop.notification(title, body))

    def _replace_toast(self, toast: Notification) -> None:
        if self._shown is not None:
            remove_notification(self._app, self._shown, refresh=False)
        self._shown = toast
        self._app.post_message(Notify(toast))

    def looks_at(self, request_id: str) -> None:
        """The operator has this request open: take the toast about requests away, and announce it no more."""
        self._asked.pop(request_id, None)
        if self._shown is not None:
            remove_notification(self._app, self._shown)
            self._shown = None

    # --- promises -------------------------------------------------------------------------------

    def _announce_breaches(self) -> None:
        """Say which promises were just broken; many at once share a toast."""
        found, self._breaches = self._breaches, []
        if not self._app.screen_stack:  # the console ends
            return
        lines = [
            f"{event.workflow or event.schedule_id or 'a run'}: {event.data.get('message', '')}"
            for event in found[:_TOLD_AT_ONCE]
        ]
        if len(found) > _TOLD_AT_ONCE:
            lines.append(f"and {len(found) - _TOLD_AT_ONCE} more")
        lines.append("Marked with ⚑ on the Schedules screen.")
        title = "⚑ A promise was not kept" if len(found) == 1 else f"⚑ {len(found)} promises were not kept"
        self._ring()
        text = "\n".join(clean(line) for line in lines)
        self._app.notify(text, title=title, severity="error", timeout=_BREACH_SECONDS, markup=False)
        self._write(self.desktop.notification(title, "\n".join(lines[:-1])))

    # --- the terminal ---------------------------------------------------------------------------

    def _ring(self) -> None:
        if self.setting != "none":
            self._app.bell()

    def _set_title(self, count: int) -> None:
        if not self._titled:
            self._write(KEEP_TITLE)
            self._titled = True
        self._write(terminal_title(f"victor · {count} waiting" if count else "victor"))

    def give_back_title(self) -> None:
        """The terminal gets the title that it had before the console."""
        if self._titled:
            self._write(GIVE_BACK_TITLE)
            self._titled = False

    def _write(self, sequence: str) -> None:
        if sequence:
            write_to_terminal(self._app, sequence)
