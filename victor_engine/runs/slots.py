"""Places: which runs are at work in this engine, and which wait for a free place."""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from victor_engine.api import NodeOverride
from victor_engine.runs.stored_effects import EmbeddedEffects

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Live:
    """A run that has a task in this engine."""

    task: asyncio.Task[None] = field(init=False)
    effects: EmbeddedEffects | None = None
    begun: bool = False  # it has come to its walk
    walking: bool = False  # and is at it
    holds: bool = True  # a place: until all that it does is to wait, and again from when it goes on
    cancelling: bool = False
    pausing: bool = False
    rested: asyncio.Event = field(default_factory=asyncio.Event)  # has come to wait for a person
    parking: bool = False  # let go of, for its row in the store is about to change
    overrides: dict[str, NodeOverride] = field(default_factory=dict)
    hurried: set[str] = field(default_factory=set)  # nodes to retry at once, said before it had effects

    def interrupt(self) -> None:
        """Break off its walk, if it is at it; what becomes of the run then is for its task to see to."""
        if self.walking:
            self.task.cancel()

    def stop(self) -> None:
        """Break it off before or in its walk; after it the run's end is on its way to the store."""
        if self.walking or not self.begun:
            self.task.cancel()

    def walks_no_more(self) -> None:
        """Its walk is over, or was broken off: its task goes on."""
        self.walking = False
        while self.task.cancelling():
            self.task.uncancel()

    @property
    def rests(self) -> bool:
        """Whether nothing of it is at work: it waits, or rests until a next attempt is due."""
        effects = self.effects
        return effects is not None and effects.idle + effects.resting >= effects.strands


class Places:
    """At most `limit` runs at work at once; higher priority first, then in order of creation.

    `drive(key, again)` is the task of a run; `again` says that it has been at work before.
    """

    def __init__(self, drive: Callable[[int, bool], Coroutine[Any, Any, None]], limit: int) -> None:
        self.limit = limit
        self.live: dict[int, Live] = {}
        self._drive = drive
        self._queue: list[tuple[int, int, bool]] = []
        self._queued: set[int] = set()
        self._once_more: dict[int, int] = {}
        self._held: set[int] = set()
        self._returning: dict[int, tuple[Live, list[asyncio.Future[None]]]] = {}
        self.taken = 0
        self._open = False
        self._draining = False

    def open(self) -> None:
        """Take up runs from now on. What is committed before is found at the start."""
        self._open = True

    def close(self) -> None:
        """Nothing is taken up from now on."""
        self._open = False

    def enqueue(self, key: int, priority: int = 0, again: bool = False) -> None:
        """Let a committed run be taken up as soon as there is a place."""
        if key in self._queued or not self._open:
            return
        if key in self._held:
            self._once_more[key] = priority
            return
        if key in self.live:
            # Its task is on its way out: it has committed the run's end, not yet left.
            self._once_more[key] = priority
            return
        self._queued.add(key)
        heapq.heappush(self._queue, (-priority, key, again))
        self.dispatch()

    def hold(self, key: int) -> None:
        """Do not take a run up, whoever asks for it, until it is released: its row is about to change."""
        self._held.add(key)

    def release(self, key: int) -> None:
        self._held.discard(key)
        if key not in self.live and (priority := self._once_more.pop(key, None)) is not None:
            self.enqueue(key, priority, True)

    def forget(self, key: int) -> None:
        """A run that waited for a place no longer does."""
        if key in self._queued:
            self._queued.discard(key)
            self._queue = [entry for entry in self._queue if entry[1] != key]
            heapq.heapify(self._queue)

    def give_back(self, live: Live) -> None:
        """A strand of a run has come to wait. A run of which nothing else is at work holds no place."""
        if live.holds and live.effects is not None and live.effects.idle >= live.effects.strands:
            live.holds = False
            self.taken -= 1
            self.dispatch()

    def over(self, key: int) -> None:
        """The end of a run is committed: whoever hears of it may start the next one in its place."""
        live = self.live.get(key)
        if live is not None and live.holds:
            live.holds = False
            self.taken -= 1
            self.dispatch()

    async def come_back(self, live: Live) -> None:
        """Return when a run that waited may be at work again: it needs a place as any other does.

        Those that have begun come before those that have not.
        """
        if live.holds:
            return
        if self.taken < self.limit and not self._returning:
            live.holds = True
            self.taken += 1
            return
        free: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._returning.setdefault(id(live), (live, []))[1].append(free)
        await free

    def _let_back(self) -> None:
        while self._returning:
            key, (live, strands) = next(iter(self._returning.items()))
            waiting = [strand for strand in strands if not strand.done()]  # others were cancelled meanwhile
            if waiting and not live.holds:
                if self.taken >= self.limit:
                    return
                live.holds = True
                self.taken += 1
            del self._returning[key]
            for strand in waiting:
                strand.set_result(None)

    def dispatch(self) -> None:
        """Start what waits while there are free places."""
        self._let_back()
        while self._open and self._queue and self.taken < self.limit:
            entry = self._next()
            if entry is None:
                return
            _, key, again = entry
            self._queued.discard(key)
            self.taken += 1
            self._drive_on(key, again)

    def _drive_on(self, key: int, again: bool) -> None:
        live = self.live[key] = Live()
        live.task = asyncio.create_task(self._driven(live, key, again), name=f"victor-run-{key}")

    async def _driven(self, live: Live, key: int, again: bool) -> None:
        try:
            await self._drive(key, again)
        except Exception as error:
            log.error("run %s: the engine could not go on with it", key, exc_info=error)
        finally:
            self._gone(live, key)

    def _next(self) -> tuple[int, int, bool] | None:
        """The queued run that is taken up next; while draining, only one that has begun before."""
        if not self._draining:
            return heapq.heappop(self._queue) if self._queue else None
        begun = [entry for entry in self._queue if entry[2]]
        if not begun:
            return None
        entry = min(begun)
        self._queue.remove(entry)
        heapq.heapify(self._queue)
        return entry

    def drain(self, draining: bool) -> None:
        """Take up no run that has not begun; or do so again."""
        self._draining = draining
        self.dispatch()

    def forget_all(self) -> None:
        """Everything was stopped, and some of it before it began."""
        for live in self.live.values():
            self.taken -= live.holds
        self.live.clear()

    def _gone(self, live: Live, key: int) -> None:
        """Nothing is done for a run any more: its place is free."""
        if self.live.pop(key, None) is None:
            return
        self.taken -= live.holds
        priority = self._once_more.pop(key, None)
        if priority is not None:
            self.enqueue(key, priority, True)
        self.dispatch()
