"""Port to frozen snapshots: one subscription, and refreshes of only what is looked at.

The feed connects, subscribes to events, and marks subjects as stale. A subject that somebody
watches is loaded again, at most once per `interval`, and announced by a small message. When the
engine goes away it says so and tries again, waiting longer each time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, get_args

from textual.message import Message

from victor_engine.api import EventInfo, Port
from victor_engine.errors import EngineUnavailableError, StorageError, VictorError

Subject = Literal[
    "engine",
    "requests",
    "held",
    "done",
    "found",
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
]
"""What a screen can watch. `done` are decided requests, `found` those that fit a filter, `held` answers that can still be
taken back, `past` runs in the history, `stats` how they fared, `run` is one run,
`dead` causes of dead letters, `letters` the runs of one cause, `agenda` what fires in the shown spans."""
Loader = Callable[[Port], Awaitable[Any]]
Sleep = Callable[[float], Awaitable[None]]

INTERVAL = 0.1
"""Seconds between two refreshes of the same console: at most ten a second."""
BACKOFF = (0.5, 1.0, 2.0, 5.0, 10.0)
"""Seconds to wait before each further try to reach the engine; the last one repeats."""

_STALE: tuple[tuple[str, frozenset[Subject]], ...] = (
    ("node.", frozenset({"runs", "past", "run"})),
    ("branch.", frozenset({"runs", "past", "run"})),
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
                "found",
                "dead",
                "letters",
            }
        ),
    ),
    ("request.", frozenset({"requests", "held", "done", "found", "runs", "run", "engine"})),
    ("schedule.", frozenset({"schedules", "engine", "agenda"})),
    ("fire.", frozenset({"schedules", "runs", "engine", "agenda"})),
    ("version.", frozenset({"workflows", "aliases", "schedules"})),
    ("alias.", frozenset({"workflows", "aliases", "schedules"})),
    ("sla.", frozenset({"schedules", "runs", "run", "engine"})),
    ("backfill.", frozenset({"schedules", "runs", "engine", "agenda"})),
    ("engine.", frozenset({"engine", "schedules", "runs", "requests", "found"})),
    ("notify.", frozenset({"engine"})),
)
TOLD = frozenset({"sla.breached", "request.reminded", "request.escalated"})
"""Kinds of events that are announced."""
_EVERYTHING: frozenset[Subject] = frozenset(get_args(Subject))


def stale_subjects(kind: str) -> frozenset[Subject]:
    """What an event of this kind makes out of date; an unknown kind spares nothing."""
    for prefix, subjects in _STALE:
        if kind.startswith(prefix):
            return subjects | {"events"}
    return _EVERYTHING


@dataclass
class Refreshed(Message):
    """A subject was loaded again; `Feed.snapshots` holds it."""

    subject: Subject

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, Refreshed) and message.subject == self.subject


@dataclass
class Connected(Message):
    """The engine was reached, for the first time or again."""

    port: Port


@dataclass
class Lost(Message):
    """The engine cannot be reached. `retry_in` is in seconds; None means that it is hopeless."""

    error: VictorError
    retry_in: float | None


@dataclass
class Happened(Message):
    """An event of which the operator is told at once, whatever is on the screen."""

    event: EventInfo


@dataclass
class LoadFailed(Message):
    """A subject could not be loaded, although the engine answers."""

    subject: Subject
    error: VictorError


class FeedReader:
    """A screen or dialog that the app tells what is new and that a second has passed.

    It registers by having this class among its bases: `ConsoleScreen` and `Dialog` do. Each method may stay as it is.
    """

    def loaders(self) -> dict[Subject, Loader]:
        """Return the subjects that a screen needs while it is visible, and how they are loaded."""
        return {}

    def feed_refreshed(self, subject: Subject) -> None:
        """Take up a subject that was loaded again."""

    def show_banner(self, text: str) -> None:
        """Show what concerns the whole console; empty if nothing does."""

    def tick(self) -> None:
        """Draw again what depends on the time."""


class Feed:
    """Keeps snapshots of the watched subjects up to date and posts messages about it."""

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
        self._rest: asyncio.Future[None] | None = None
        self._retry = asyncio.Event()
        self.port: Port | None = None
        self.snapshots: dict[Subject, Any] = {}

    def keep(self, subject: Subject, loader: Loader) -> None:
        """Keep `subject` fresh whatever screen is visible."""
        self._loaders[subject] = loader
        self._always |= {subject}
        self.mark_stale(subject)

    def watch(self, loaders: dict[Subject, Loader]) -> None:
        """The visible screen needs these, in this order and now; what it needed before is no longer refreshed."""
        self._watched = tuple(loaders)
        self._loaders.update(loaders)
        self.mark_stale(*loaders)
        if self._rest is not None:  # somebody waits for these: the pause is for what changes by itself
            self._rest.cancel()

    async def prefetch(self, loaders: dict[Subject, Loader]) -> None:
        """Load what is not known at all yet, so that a screen has something to show until it is loaded anew.

        What goes wrong is said when somebody looks.
        """
        for subject, loader in loaders.items():
            if self.port is not None and subject not in self.snapshots:
                with suppress(VictorError):
                    found = await loader(self.port)
                    self.snapshots.setdefault(subject, found)

    def mark_stale(self, *subjects: Subject) -> None:
        """Load these again if they are watched."""
        self._stale.update(subjects)
        self._wake.set()

    async def run(self) -> None:
        """Connect, follow, reconnect, until cancelled or until trying again is hopeless."""
        tries = 0
        while True:
            try:
                port = await self._connect()
                self.port = port
                engine = await port.engine()
                self.snapshots["engine"] = engine
                self._post(Connected(port))
                self._post(Refreshed("engine"))
                self.mark_stale(*_EVERYTHING)
                tries = 0
                await self._follow(port, engine.last_event)
                error: VictorError = EngineUnavailableError("the engine closed its event feed")
            except (EngineUnavailableError, StorageError) as problem:
                error = problem  # both pass: an engine comes back, and so does room on a disk
            except VictorError as problem:
                self._post(Lost(problem, None))
                return
            await self._drop_port()
            delay = BACKOFF[min(tries, len(BACKOFF) - 1)]
            tries += 1
            self._post(Lost(error, delay))
            self._retry.clear()
            rest = asyncio.ensure_future(self._sleep(delay))
            now = asyncio.ensure_future(self._retry.wait())
            try:
                done, _ = await asyncio.wait({rest, now}, return_when=asyncio.FIRST_COMPLETED)
                if rest in done:
                    rest.result()
            finally:
                rest.cancel()
                now.cancel()

    def retry(self) -> None:
        """Try to connect now, where the next try is waited for."""
        self._retry.set()

    async def _drop_port(self) -> None:
        """Let the broken connection go; `port` stays set, so that actions say what is wrong."""
        if self.port is not None:
            with suppress(EngineUnavailableError):
                await self.port.close()

    async def _follow(self, port: Port, after: int) -> None:
        """Refresh and listen until the feed breaks, or an engine in this process is told to stop."""
        refresher = asyncio.create_task(self._refresh_for_ever(port), name="feed refresh")
        listener = asyncio.create_task(self._listen(port, after), name="feed events")
        tasks: list[asyncio.Task[Any]] = [refresher, listener]
        told: asyncio.Event | None = getattr(port, "stop_requested", None)
        if told is not None:
            tasks.append(asyncio.create_task(told.wait(), name="feed stop"))
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
        if event.kind in TOLD:
            self._post(Happened(event))

    async def _refresh_for_ever(self, port: Port) -> None:
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
        """What is loaded next: what the visible screen needs, which may have become another one meanwhile."""
        for subject in (*self._watched, *sorted(self._always)):
            if subject in self._stale and subject not in done:
                return subject
        return None

    async def _pause(self) -> None:
        """Let some time pass, unless a screen is opened."""
        self._rest = asyncio.ensure_future(self._sleep(self._interval))
        try:
            await asyncio.wait({self._rest})
        finally:
            self._rest.cancel()
            self._rest = None

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
