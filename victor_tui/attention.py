"""Notifications of new requests and missed expectations: toast, bell, terminal title and desktop.

Events within a short time share one notification, and a newer notification replaces the older one, so that
many requests do not cover the screen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from textual.notifications import Notification, Notify

from victor_engine.api import EventInfo, RequestInfo, RequestStatus
from victor_engine.errors import VictorError
from victor_tui.inbox.queue import Queue
from victor_tui.inbox.urgency import urgency_order
from victor_tui.terminal_notifications import (
    RESTORE_TITLE,
    SAVE_TITLE,
    Desktop,
    find_desktop,
    terminal_title,
)
from victor_tui.text import clean
from victor_tui.textual_compat import remove_notification, write_to_terminal

if TYPE_CHECKING:
    from victor_tui.app_context import Console

_GATHER = 0.3
"""Time in seconds in which notifications of the same kind are combined."""
_MAX_NAMED = 3
"""Maximum number of requests or missed expectations that one toast names."""
_SECONDS = 8.0
"""Time in seconds for which a toast about requests stays."""
_BREACH_SECONDS = 12.0
_WORDS = {"request.opened": "asked", "request.reminded": "reminder", "request.escalated": "escalated"}
"""The first word of a line of a toast, by kind of event."""


def asks_user(request: RequestInfo) -> bool:
    """Return whether a request asks the current user: by name, through a group, or as anyone."""
    return bool(request.asked_as) or not request.assignees


class Announcer:
    """The notifications of one application."""

    def __init__(self, app: Console) -> None:
        self._app = app
        self._asked: dict[str, str] = {}
        """The requests of the next toast, with the kinds of their events."""
        self._unnamed = 0
        """The number of further requests that the next toast counts."""
        self._breaches: list[EventInfo] = []
        self._shown: Notification | None = None
        self._titled = False
        self.setting = "auto"
        """The setting `console.notify` of the configuration."""
        self.desktop = Desktop()

    async def detect_terminal(self, setting: str, env: Mapping[str, str]) -> None:
        """Detect how this terminal shows desktop notifications. Before this, it shows none."""
        self.setting = setting
        self.desktop = await find_desktop(setting, env)

    # --- requests -------------------------------------------------------------------------------

    def queue_changed(self, queue: Queue) -> None:
        """Notify the user of the requests that arrived, and show the number of the queue in the title."""
        arrived = queue.arrived
        self._unnamed += arrived.count - len(arrived.requests)
        for request in arrived.requests:
            self._add(request.id, "request.opened")
        self._set_title(queue.info.count)

    def happened(self, event: EventInfo) -> None:
        """Notify the user of an event."""
        if event.kind == "sla.breached":
            if not self._breaches:
                self._app.set_timer(_GATHER, self._announce_breaches)
            self._breaches.append(event)
        elif event.request_id is not None:
            self._add(event.request_id, event.kind)

    def _add(self, request_id: str, kind: str) -> None:
        if not self._asked:
            self._app.set_timer(_GATHER, self._start)
        self._asked[request_id] = kind

    def _start(self) -> None:
        if self._app.screen_stack:  # empty while the console is closing
            self._app.run_worker(self._announce_requests(), group="announce")

    async def _announce_requests(self) -> None:
        asked, self._asked = self._asked, {}
        unnamed, self._unnamed = self._unnamed, 0
        found = await self._load(asked)
        if not found or not self._app.screen_stack:  # decided, for other users, or the console is closing
            return
        found.sort(key=urgency_order)
        lines = [
            f"{_WORDS[asked[request.id]]}: {clean(request.workflow)} · {clean(request.title)}"
            for request in found[:_MAX_NAMED]
        ]
        count = len(found) + unnamed
        if count > _MAX_NAMED:
            lines.append(f"and {count - _MAX_NAMED} more")
        title = "◆ New request" if count == 1 else f"◆ {count} new requests"
        body = "\n".join(lines)
        if not self._app.screen.is_modal:
            lines.append("Press a to answer.")
        self._ring()
        self._app.session.tell("warning", title, body)
        self._replace_toast(Notification("\n".join(lines), title, "warning", _SECONDS))
        self._write(self.desktop.notification(title, body))

    async def _load(self, asked: Iterable[str]) -> list[RequestInfo]:
        """Return the requests that are still open and ask the user."""
        found = []
        for request_id in asked:
            try:
                request = await self._app.port.request(request_id)
            except VictorError:
                continue  # the feed reports a lost engine
            if request.status == RequestStatus.OPEN and asks_user(request):
                found.append(request)
        return found

    def _replace_toast(self, toast: Notification) -> None:
        if self._shown is not None:
            remove_notification(self._app, self._shown, refresh=False)
        self._shown = toast
        self._app.post_message(Notify(toast))

    def request_opened(self, request_id: str) -> None:
        """Remove the toast about requests, because the user has opened this request."""
        self._asked.pop(request_id, None)
        if self._shown is not None:
            remove_notification(self._app, self._shown)
            self._shown = None

    # --- expectations ---------------------------------------------------------------------------

    def _announce_breaches(self) -> None:
        """Show a toast with the missed expectations."""
        found, self._breaches = self._breaches, []
        if not self._app.screen_stack:  # the console is closing
            return
        lines = [
            f"{event.workflow or event.schedule_id or 'a run'}: {event.data.get('message', '')}"
            for event in found[:_MAX_NAMED]
        ]
        if len(found) > _MAX_NAMED:
            lines.append(f"and {len(found) - _MAX_NAMED} more")
        lines.append("Marked with ⚑ on the Schedules screen.")
        title = "⚑ Missed expectation" if len(found) == 1 else f"⚑ {len(found)} missed expectations"
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
            self._write(SAVE_TITLE)
            self._titled = True
        self._write(terminal_title(f"victor · {count} waiting" if count else "victor"))

    def restore_title(self) -> None:
        """Restore the title that the terminal had before the console."""
        if self._titled:
            self._write(RESTORE_TITLE)
            self._titled = False

    def _write(self, sequence: str) -> None:
        if sequence:
            write_to_terminal(self._app, sequence)
