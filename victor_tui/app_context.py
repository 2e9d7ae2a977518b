"""What the application is to the screens and dialogs that stand in it: the engine, the time, and ways to
other screens and dialogs. The application knows them all; they know only this."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, tzinfo
from typing import Literal, Protocol, TypeVar, cast

from victor_engine.api import EngineInfo, Port, RequestInfo
from victor_engine.clock import Clock, SystemClock
from victor_engine.errors import EngineUnavailableError, VictorError
from victor_engine.identity import current_actor
from victor_tui.feed import INTERVAL, Feed
from victor_tui.inbox.open_requests import PAGE
from victor_tui.key_queue import InOrder
from victor_tui.screen_lifecycle import Passing
from victor_tui.text import clean

T = TypeVar("T")
PassOn = Literal["reassign", "delegate", "push_back", "say"]
"""What can be done with a request other than answering it."""


class Navigator(Protocol):
    """The ways to other screens."""

    def open_run(self, run_id: str) -> None:
        """Show one run: its graph, state and log."""
        ...

    def show_runs(self, filter_text: str) -> None:
        """Go to the Runs screen with this filter."""
        ...

    def open_dead_letters(self) -> None:
        """Show the causes of failures that wait for somebody."""
        ...

    def open_timeline(self, schedule_id: str | None, *, instead: bool = False) -> None:
        """Show the next day of all schedules; with `instead`, in place of the current page."""
        ...

    def open_month(self, schedule_id: str | None, *, instead: bool = False) -> None:
        """Show a month of one schedule, or of all; with `instead`, in place of the current page."""
        ...

    def back_to_schedule(self, schedule_id: str) -> None:
        """Close a page of the Schedules screen and put the cursor on this schedule."""
        ...


class Dialogs(Protocol):
    """The dialogs that more than one screen opens. Each call needs a worker."""

    async def confirm(self, title: str, body: str, note: bool = True) -> str | None:
        """Ask before something is done; return the note (maybe empty), or None for no."""
        ...

    async def answer_request(self, request: RequestInfo) -> None:
        """Open the dialog of a request; the dialog sends the answer and shows conflicts itself."""
        ...

    async def pass_on(self, how: PassOn, request: RequestInfo) -> RequestInfo | None:
        """Hand a request on, send its run back, or ask back."""
        ...

    async def start_workflow(self, workflow: str, version: str | None = None) -> None:
        """Ask for the initial state, start a run, and show it."""
        ...


class Console(InOrder[str]):
    """An application on an engine. `connect` gives a port; it is called again after the engine went away.

    `navigator` and `dialogs` are made once, for this application.
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
    ) -> None:
        super().__init__()
        self.clock: Clock = clock or SystemClock()
        self.zone = zone
        """Zone in which instants are shown; None is the machine's."""
        self.user = current_actor.get().user
        """Who sits here, as the engine sees them."""
        self.lost = ""
        """Why the engine cannot be reached; empty while it can."""
        self.feed = Feed(connect, self.post_message, interval=interval)
        self.navigator = navigator(self)
        self.dialogs = dialogs(self)

    @property
    def port(self) -> Port:
        """The port in use; raises `EngineUnavailableError` before the first connection."""
        if self.feed.port is None:
            raise EngineUnavailableError("still connecting to the engine: try again in a moment")
        return self.feed.port

    @property
    def open_requests(self) -> list[RequestInfo]:
        """The open requests, as of the last refresh: all, or by urgency as many as one page holds."""
        return self.feed.snapshots.get("requests") or []

    @property
    def open_count(self) -> int:
        """How many requests are open, also those that are not held here."""
        here = len(self.open_requests)
        engine: EngineInfo | None = self.feed.snapshots.get("engine")
        return here if here < PAGE or engine is None else max(here, engine.open_requests)

    @property
    def held_answers(self) -> list[RequestInfo]:
        """Answers that their authors can still take back, the one that counts first first."""
        now = self.clock.now()
        held: list[RequestInfo] = self.feed.snapshots.get("held") or []
        return sorted(
            (request for request in held if request.settles_at is not None and request.settles_at > now),
            key=lambda request: request.settles_at or now,
        )

    @property
    def my_answer(self) -> RequestInfo | None:
        """The newest of one's own answers that can be taken back."""
        mine = [each for each in self.held_answers if each.answered_by and each.answered_by.user == self.user]
        return max(mine, key=lambda request: request.answered_at or self.clock.now(), default=None)

    # --- doing things -------------------------------------------------------------------------

    def report(self, error: VictorError) -> None:
        """Show an error with its remedy where it has one."""
        remedy = error.details.get("remedy")
        text = f"{error.message}\n{remedy}" if remedy else error.message
        self.notify(clean(text), title="That did not work", severity="error", timeout=10, markup=False)

    async def perform(self, action: Awaitable[T], done: str) -> T | None:
        """Await an action on the port; say that it is done, or what went wrong (then None)."""
        try:
            result = await action
        except VictorError as error:
            self.report(error)
            return None
        if done:
            self.notify(clean(done), timeout=4, markup=False)
        return result

    async def take_back(self, request: RequestInfo) -> None:
        """Take one's own answer back, while it does not count yet."""
        await self.perform(self.port.undo_answer(request.id), f"Taken back: {request.title} is asked again.")
        self.feed.mark_stale("requests", "held", "done")

    # --- what is shown ------------------------------------------------------------------------

    def show_mode(self, mode: str) -> None:
        """Close what is open on a main screen and go to another one."""
        while len(self.screen_stack) > 1:
            self.pop_screen()
        self.switch_mode(mode)

    def update_header(self) -> None:
        """Draw header and banner of the screen that is shown."""
        raise NotImplementedError


class InConsole(Passing):
    """Mix-in for the screens and dialogs of the console: the application, its engine and its time."""

    @property
    def console(self) -> Console:
        """Return the application that this is opened in."""
        return cast("Console", self.app)

    @property
    def port(self) -> Port:
        """Return the engine as the console sees it."""
        return self.console.port

    def now(self) -> datetime:
        """Return the engine's time as far as the console knows it, aware."""
        return self.console.clock.now()
