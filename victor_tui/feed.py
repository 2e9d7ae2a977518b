"""The feed from the port to snapshots: one subscription, and refreshes of watched subjects only.

The feed connects, subscribes to events, and marks subjects as stale. Stale subjects that are watched are
loaded again, at most once per `interval`, with a message for each. When the connection is lost, the feed
posts a message and reconnects, with a growing delay.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, get_args

from textual.message import Message

from victor_engine.api import EventInfo, Port
from victor_engine.errors import EngineUnavailableError, PermissionDeniedError, StorageError, VictorError

Subject = Literal[
    "caller",
    "engine",
    "requests",
    "held",
    "inbox",
    "schedules",
    "runs",
    "past",
    "stats",
    "run",
    "events",
    "workflows",
    "aliases",
    "dead",
    "letters",
    "agenda",
    "grid",
]
"""The subjects that a screen can watch.

`caller` is the current user with its roles, `requests` is the queue of the user, `inbox` the listed page of requests,
`held` answers that can still be undone, `past` runs of the history, `stats` their statistics, `run` one run, `dead` the
causes of dead letters, `letters` the runs of one cause, `agenda` the fires in the visible spans, `grid` the nodes
of the newest runs of a workflow.
"""
Loader = Callable[[Port], Awaitable[Any]]
Sleep = Callable[[float], Awaitable[None]]

INTERVAL = 0.1
"""Minimum time in seconds between two refreshes."""
BACKOFF = (0.5, 1.0, 2.0, 5.0, 10.0)
"""Delays in seconds before each reconnect. The last one repeats."""

_STALE: tuple[tuple[str, frozenset[Subject]], ...] = (
    ("node.", frozenset({"runs", "past", "run", "grid"})),
    ("branch.", frozenset({"runs", "past", "run", "grid"})),
    (
        "run.",
        frozenset(
            {
                "runs",
                "past",
                "stats",
                "run",
                "engine",
                "schedules",
                "workflows",
                "aliases",
                "requests",
                "inbox",
                "dead",
                "letters",
                "grid",
            }
        ),
    ),
    ("request.", frozenset({"requests", "held", "inbox", "runs", "run", "grid", "engine"})),
    ("schedule.", frozenset({"schedules", "engine", "agenda"})),
    ("fire.", frozenset({"schedules", "runs", "engine", "agenda"})),
    ("version.", frozenset({"workflows", "aliases", "schedules"})),
    ("alias.", frozenset({"workflows", "aliases", "schedules"})),
    ("sla.", frozenset({"schedules", "runs", "run", "engine"})),
    ("backfill.", frozenset({"schedules", "runs", "engine", "agenda"})),
    ("engine.", frozenset({"engine", "schedules", "runs", "requests", "inbox"})),
    ("notify.", frozenset({"engine"})),
)
NOTIFIED = frozenset({"sla.breached", "request.reminded", "request.escalated"})
"""Kinds of events with a notification."""
_EVERYTHING: frozenset[Subject] = frozenset(get_args(Subject))


def stale_subjects(kind: str) -> frozenset[Subject]:
    """Return the subjects that an event of this kind makes stale: all subjects for an unknown kind."""
    for prefix, subjects in _STALE:
        if kind.startswith(prefix):
            return subjects | {"events"}
    return _EVERYTHING


@dataclass
class Refreshed(Message):
    """A subject was loaded again. `Feed.snapshots` has it."""

    subject: Subject

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, Refreshed) and message.subject == self.subject


@dataclass
class Connected(Message):
    """The feed has connected to the engine, for the first time or again."""

    port: Port


@dataclass
class Lost(Message):
    """The engine is unreachable. `retry_in` is in seconds; None means that the feed does not retry."""

    error: VictorError
    retry_in: float | None


@dataclass
class Happened(Message):
    """An event with a notification, independent of the visible screen."""

    event: EventInfo


@dataclass
class LoadFailed(Message):
    """Loading a subject failed, although the engine is reachable."""

    subject: Subject
    error: VictorError


class FeedReader:
    """The base of screens and dialogs that receive refreshes and ticks from the application.

    `ConsoleScreen` and `Dialog` inherit from it. All methods are optional.
    """

    def loaders(self) -> dict[Subject, Loader]:
        """Return the subjects that a screen needs while it is visible, with their loaders."""
        return {}

    def feed_refreshed(self, subject: Subject) -> None:
        """Handle a subject that was loaded again."""

    def show_banner(self, text: str) -> None:
        """Show the text of the banner; empty hides it."""

    def show_access(self) -> None:
        """Disable the buttons that the roles of the current user do not permit any more."""

    def tick(self) -> None:
        """Redraw the parts that depend on the time. Called every second."""


class Feed:
    """The snapshots of watched subjects. It refreshes them and posts messages."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[Port]],
        post: Callable[[Message], Any],
        *,
        interval: float = INTERVAL,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._connect = connect
        self._post = post
        self._interval = interval
        self._sleep = sleep
        self._loaders: dict[Subject, Loader] = {}
        self._watched: tuple[Subject, ...] = ()
        self._always: frozenset[Subject] = frozenset()
        self._stale: set[Subject] = set()
        self._wake = asyncio.Event()
        self._interval_timer: asyncio.Future[None] | None = None
        self._retry = asyncio.Event()
        self.port: Port | None = None
        self.snapshots: dict[Subject, Any] = {}

    def keep(self, subject: Subject, loader: Loader) -> None:
        """Refresh `subject` always, independent of the visible screen."""
        self._loaders[subject] = loader
        self._always |= {subject}
        self.mark_stale(subject)

    def watch(self, loaders: dict[Subject, Loader]) -> None:
        """Watch these subjects instead of the previous ones, and load them now in this order."""
        self._watched = tuple(loaders)
        self._loaders.update(loaders)
        self.mark_stale(*loaders)
        if self._interval_timer is not None:  # the user waits for these: skip the pause
            self._interval_timer.cancel()

    async def prefetch(self, loaders: dict[Subject, Loader]) -> None:
        """Load the subjects without a snapshot, so that a screen can draw before its first refresh.

        Errors are ignored here. They are reported when the screen loads the subject.
        """
        for subject, loader in loaders.items():
            if self.port is not None and subject not in self.snapshots:
                with suppress(VictorError):
                    found = await loader(self.port)
                    self.snapshots.setdefault(subject, found)

    def mark_stale(self, *subjects: Subject) -> None:
        """Mark subjects as stale. They are loaded again if they are watched."""
        self._stale.update(subjects)
        self._wake.set()

    async def run(self) -> None:
        """Connect, follow events and reconnect, until cancelled or until an error that a retry cannot solve."""
        tries = 0
        while True:
            try:
                port = await self._connect()
                self.port = port
                self._watch_silence(port)
                engine = await port.engine()
                self.snapshots["engine"] = engine
                self.snapshots["caller"] = await port.whoami()
                self._post(Connected(port))
                self._post(Refreshed("engine"))
                self.mark_stale(*_EVERYTHING)
                tries = 0
                await self._follow(port, engine.last_event)
                error: VictorError = EngineUnavailableError("the engine closed its event feed")
            except (EngineUnavailableError, StorageError, PermissionDeniedError) as problem:
                error = problem  # all are temporary: a role can be granted
            except VictorError as problem:
                self._post(Lost(problem, None))
                return
            await self._drop_port()
            delay = BACKOFF[min(tries, len(BACKOFF) - 1)]
            tries += 1
            self._post(Lost(error, delay))
            self._retry.clear()
            timer = asyncio.ensure_future(self._sleep(delay))
            now = asyncio.ensure_future(self._retry.wait())
            try:
                done, _ = await asyncio.wait({timer, now}, return_when=asyncio.FIRST_COMPLETED)
                if timer in done:
                    timer.result()
            finally:
                timer.cancel()
                now.cancel()

    def _watch_silence(self, port: Port) -> None:
        """Report an engine that does not answer as lost, until it answers or the connection ends."""
        from victor_engine.service.connect import watch_silence

        def report(text: str) -> None:
            if text:
                self._post(Lost(EngineUnavailableError(text), None))
            elif "caller" in self.snapshots:
                self._post(Connected(port))

        watch_silence(port, report)

    def retry(self) -> None:
        """Reconnect now if the feed waits for the next attempt."""
        self._retry.set()

    async def _drop_port(self) -> None:
        """Close the broken connection. `port` stays set, so that commands raise a useful error."""
        if self.port is not None:
            with suppress(EngineUnavailableError):
                await self.port.close()

    async def _follow(self, port: Port, after: int) -> None:
        """Refresh and listen until the connection breaks, or until a stop of the embedded engine is requested."""
        refresher = asyncio.create_task(self._refresh_loop(port), name="feed refresh")
        listener = asyncio.create_task(self._listen(port, after), name="feed events")
        tasks: list[asyncio.Task[Any]] = [refresher, listener]
        stop: asyncio.Event | None = getattr(port, "stop_requested", None)
        if stop is not None:
            tasks.append(asyncio.create_task(stop.wait(), name="feed stop"))
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _listen(self, port: Port, after: int) -> None:
        async for event in port.subscribe(after):
            self._note(event)

    def _note(self, event: EventInfo) -> None:
        self.mark_stale(*stale_subjects(event.kind))
        if event.kind in NOTIFIED:
            self._post(Happened(event))

    async def _refresh_loop(self, port: Port) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            done: set[Subject] = set()
            while (subject := self._next(done)) is not None:
                self._stale.discard(subject)
                done.add(subject)
                await self._load(port, subject)
            await self._pause()

    def _next(self, done: set[Subject]) -> Subject | None:
        """Return the next stale subject: the watched ones first, which can change between loads."""
        for subject in (*self._watched, *sorted(self._always)):
            if subject in self._stale and subject not in done:
                return subject
        return None

    async def _pause(self) -> None:
        """Wait for the interval, unless a screen is opened."""
        self._interval_timer = asyncio.ensure_future(self._sleep(self._interval))
        try:
            await asyncio.wait({self._interval_timer})
        finally:
            self._interval_timer.cancel()
            self._interval_timer = None

    async def _load(self, port: Port, subject: Subject) -> None:
        try:
            self.snapshots[subject] = await self._loaders[subject](port)
        except EngineUnavailableError:
            self._stale.add(subject)
            raise
        except VictorError as error:
            self._post(LoadFailed(subject, error))
        else:
            self._post(Refreshed(subject))
