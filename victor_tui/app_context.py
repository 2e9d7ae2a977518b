"""The interface of the application for its screens and dialogs: engine, time, navigation and dialogs.

The application imports the screens. The screens import only this module.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, cast

from textual.notifications import SeverityLevel
from textual.timer import Timer, TimerCallback

from victor_engine.api import (
    DEFAULT_UNDO_SECONDS,
    UNDOABLE_KINDS,
    EngineInfo,
    Port,
    QueueInfo,
    RequestInfo,
    RequestQuery,
    RequestStatus,
    counted_text,
    outcome_text,
)
from victor_engine.clock import Clock, SystemClock
from victor_engine.errors import EngineUnavailableError, VictorError
from victor_engine.identity import current_actor
from victor_tui.access import Access
from victor_tui.config import console_settings
from victor_tui.feed import INTERVAL, Feed
from victor_tui.inbox.queue import Queue
from victor_tui.journal import Session
from victor_tui.key_queue import KeyQueueApp
from victor_tui.screen_lifecycle import ManagedScreen
from victor_tui.text import clean
from victor_tui.textual_compat import always_fired
from victor_tui.themes.choice import ThemeChoice

T = TypeVar("T")
Forwarding = Literal["reassign", "delegate", "push_back", "say"]
"""The commands that forward a request instead of answering it."""


class Navigator(Protocol):
    """The navigation to other screens."""

    def open_run(self, run_id: str) -> None:
        """Open the screen of one run."""
        ...

    def show_runs(self, filter_text: str) -> None:
        """Go to the Runs screen, and set its filter."""
        ...

    def show_history(self, filter_text: str) -> None:
        """Go to the History screen, and set its filter."""
        ...

    def show_schedule(self, schedule_id: str) -> None:
        """Go to the Schedules screen, and show only this schedule."""
        ...

    def show_version(self, workflow: str, version: str | None) -> None:
        """Go to the Versions screen, and show only this workflow, with the cursor on a version."""
        ...

    def open_grid(self, workflow: str) -> None:
        """Open the grid of the newest runs of a workflow."""
        ...

    def open_dead_letters(self) -> None:
        """Open the screen of dead letters."""
        ...

    def open_timeline(self, schedule_id: str | None, *, instead: bool = False) -> None:
        """Open the timeline of all schedules; with `instead`, in place of the current screen."""
        ...

    def open_month(self, schedule_id: str | None, *, instead: bool = False) -> None:
        """Open the month of one schedule, or of all; with `instead`, in place of the current screen."""
        ...

    def back_to_schedule(self, schedule_id: str) -> None:
        """Go back to the Schedules screen, and move the cursor to this schedule."""
        ...


class Dialogs(Protocol):
    """The dialogs that several screens open. Each call needs a worker."""

    async def confirm(self, title: str, body: str, note: bool = True) -> str | None:
        """Ask for a confirmation. Return the note, which can be empty, or None for no."""
        ...

    async def answer_request(self, request: RequestInfo, among: RequestQuery | None = None) -> None:
        """Open the dialog of a request. The dialog sends the answer and shows conflicts.

        `among` is the list in which the dialog goes to the next and the previous request; None is the user's queue.
        """
        ...

    async def forward(self, how: Forwarding, request: RequestInfo) -> RequestInfo | None:
        """Reassign or delegate a request, send its run back, or ask the requester."""
        ...

    async def start_workflow(self, workflow: str, version: str | None = None) -> None:
        """Ask for the initial state, start a run, and open it."""
        ...


class Console(KeyQueueApp[str]):
    """An application on an engine. `connect` returns a port, and is called again after the connection is lost.

    `navigator` and `dialogs` are factories that are called once.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Port]],
        *,
        navigator: Callable[[Console], Navigator],
        dialogs: Callable[[Console], Dialogs],
        clock: Clock | None = None,
        zone: tzinfo | None = None,
        interval: float = INTERVAL,
        theme: str | None = None,
    ) -> None:
        super().__init__()
        self.themes = ThemeChoice(self, theme)
        self.clock: Clock = clock or SystemClock()
        self.zone = zone
        """The display time zone; None is the zone of the machine."""
        self.user = current_actor.get().user
        """The current user."""
        self.lost = ""
        """The reason why the engine is unreachable; empty while it is connected."""
        self.lost_at = self.clock.now()
        """The time until which the data of the screens was current, while the engine is unreachable."""
        self.feed = Feed(connect, self.post_message, interval=interval)
        self.access = Access(
            lambda: self.feed.snapshots.get("caller"), lambda: self.feed.snapshots.get("engine")
        )
        self.session = Session(lambda: self.clock.now())
        """The messages and actions of this console, and the visited screens."""
        self.answers = Answers(self)
        self.first_shown: Callable[[Any], None] = lambda screen: None
        """Called with a screen with a table when it is mounted."""
        self.leaving: Callable[[Any], None] = lambda screen: None
        """Called with the current screen before another main screen is shown."""
        self.navigator = navigator(self)
        self.dialogs = dialogs(self)

    @property
    def port(self) -> Port:
        """The current port. Raises `EngineUnavailableError` before the first connection."""
        if self.feed.port is None:
            raise EngineUnavailableError("not connected to the engine yet: try again in a moment")
        return self.session.recorded(self.feed.port)

    @property
    def queue(self) -> QueueInfo:
        """The queue of the current user at the last refresh."""
        loaded: Queue | None = self.feed.snapshots.get("requests")
        return loaded.info if loaded is not None else QueueInfo(0)

    def set_timer(
        self,
        delay: float,
        callback: TimerCallback | None = None,
        *,
        name: str | None = None,
        pause: bool = False,
    ) -> Timer:
        """Call `callback` once after `delay` seconds, also if the machine is busy."""
        return always_fired(super().set_timer(delay, callback, name=name, pause=pause))

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: SeverityLevel = "information",
        timeout: float | None = None,
        markup: bool = True,
    ) -> None:
        """Show a message, and keep it for the list of messages."""
        self.session.tell(severity, title, message)
        super().notify(message, title=title, severity=severity, timeout=timeout, markup=markup)

    # --- commands -----------------------------------------------------------------------------

    def report(self, error: VictorError) -> None:
        """Show an error, with its remedy if it has one."""
        remedy = error.details.get("remedy")
        text = f"{error.message}\n{remedy}" if remedy else error.message
        self.notify(clean(text), title="Error", severity="error", timeout=10, markup=False)

    async def perform(self, action: Awaitable[T], done: str) -> T | None:
        """Await a command on the port. Show `done`, or show the error and return None."""
        try:
            result = await action
        except VictorError as error:
            self.report(error)
            return None
        if done:
            self.notify(clean(done), timeout=4, markup=False)
        return result

    # --- screens ------------------------------------------------------------------------------

    def show_mode(self, mode: str) -> None:
        """Close the screens above the main screen, and switch to another main screen."""
        while len(self.screen_stack) > 1:
            self.pop_screen()
        self.leaving(self.screen)
        self.switch_mode(mode)

    def update_header(self) -> None:
        """Draw header and banner of the current screen."""
        raise NotImplementedError


class Answers:
    """The answers of the current user, and those that can still be undone."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @property
    def held(self) -> list[RequestInfo]:
        """The answers that can still be undone, in the order in which they become final."""
        now = self._console.clock.now()
        held: list[RequestInfo] = self._console.feed.snapshots.get("held") or []
        return sorted(
            (request for request in held if request.settles_at is not None and request.settles_at > now),
            key=lambda request: request.settles_at or now,
        )

    @property
    def mine(self) -> RequestInfo | None:
        """The newest answer of the current user that can be undone, or None."""
        own = [each for each in self.held if each.answered_by and each.answered_by.user == self._console.user]
        return max(own, key=lambda request: request.answered_at or self._console.clock.now(), default=None)

    async def undo_window(self, request: RequestInfo) -> float:
        """Return the undo window for an answer to a request, by `console.undo`; 0 if its node sets one, or for none.

        The configuration is read at each answer, so that a change needs no restart.
        """
        if request.kind not in UNDOABLE_KINDS or request.undo_window is not None:
            return 0.0
        engine: EngineInfo = self._console.feed.snapshots["engine"]
        try:
            return (await asyncio.to_thread(console_settings, Path(engine.workspace))).undo
        except VictorError as error:
            self._console.report(error)
            return DEFAULT_UNDO_SECONDS

    def announce(self, request: RequestInfo) -> None:
        """Show the answer that the current user gave. The banner shows for how long it can be undone."""
        decided = request.status != RequestStatus.OPEN
        text = (
            outcome_text(request.outcome, request.answer)
            if decided
            else counted_text(request, self._console.user)
        )
        self._console.notify(clean(f"{text[0].upper()}{text[1:]}: {request.title}"), timeout=4, markup=False)

    async def undo(self, request: RequestInfo) -> None:
        """Undo an answer of the current user that is not final yet."""
        await self._console.perform(
            self._console.port.undo_answer(request.id), f"Answer undone: {request.title} is open again."
        )
        self._console.feed.mark_stale("requests", "held", "inbox")


class InConsole(ManagedScreen):
    """A mix-in for screens and dialogs, with the application, its port and its time."""

    @property
    def console(self) -> Console:
        """The application."""
        return cast("Console", self.app)

    @property
    def port(self) -> Port:
        """The port of the engine."""
        return self.console.port

    def now(self) -> datetime:
        """Return the current time, aware."""
        return self.console.clock.now()
