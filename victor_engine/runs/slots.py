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
class ActiveRun:
    """A run that has a task in this engine."""

    task: asyncio.Task[None] = field(init=False)
    effects: EmbeddedEffects | None = None
    begun: bool = False  # it has come to its walk
    walking: bool = False  # and is at it
    holds_slot: bool = True  # a place: until all that it does is to wait, and again from when it goes on
    cancelling: bool = False
    pausing: bool = False
    became_idle: asyncio.Event = field(default_factory=asyncio.Event)  # has come to wait for a person
    detached: bool = False  # let go of, for its row in the store is about to change
    overrides: dict[str, NodeOverride] = field(default_factory=dict)
    skip_retry_wait: set[str] = field(
        default_factory=set
    )  # nodes to retry at once, said before it had effects

    def interrupt(self) -> None:
        """Break off its walk, if it is at it; what becomes of the run then is for its task to see to."""
        if self.walking:
            self.task.cancel()

    def stop(self) -> None:
        """Break it off before or in its walk; after it the run's end is on its way to the store."""
        if self.walking or not self.begun:
            self.task.cancel()

    def end_walk(self) -> None:
        """Its walk is over, or was broken off: its task goes on."""
        self.walking = False
        while self.task.cancelling():
            self.task.uncancel()

    @property
    def is_idle(self) -> bool:
        """Whether nothing of it is at work: it waits, or idle until a next attempt is due."""
        effects = self.effects
        return effects is not None and effects.idle + effects.awaiting_retry >= effects.strands


class Slots:
    """At most `limit` runs at work at once; higher priority first, then in order of creation.

    `drive(key, again)` is the task of a run; `again` says that it has been at work before.
    """

    def __init__(self, drive: Callable[[int, bool], Coroutine[Any, Any, None]], limit: int) -> None:
        self.limit = limit
        self.live: dict[int, ActiveRun] = {}
        self._drive = drive
        self._queue: list[tuple[int, int, bool]] = []
        self._queued: set[int] = set()
        self._requeue: dict[int, int] = {}
        self._held: set[int] = set()
        self._reacquiring: dict[int, tuple[ActiveRun, list[asyncio.Future[None]]]] = {}
        self.in_use = 0
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
            self._requeue[key] = priority
            return
        if key in self.live:
            # Its task is on its way out: it has committed the run's end, not yet left.
            self._requeue[key] = priority
            return
        self._queued.add(key)
        heapq.heappush(self._queue, (-priority, key, again))
        self.dispatch()

    def hold(self, key: int) -> None:
        """Do not take a run up, whoever asks for it, until it is released: its row is about to change."""
        self._held.add(key)

    def release(self, key: int) -> None:
        self._held.discard(key)
        if key not in self.live and (priority := self._requeue.pop(key, None)) is not None:
            self.enqueue(key, priority, True)

    def dequeue(self, key: int) -> None:
        """A run that waited for a place no longer does."""
        if key in self._queued:
            self._queued.discard(key)
            self._queue = [entry for entry in self._queue if entry[1] != key]
            heapq.heapify(self._queue)

    def release_slot(self, live: ActiveRun) -> None:
        """A strand of a run has come to wait. A run of which nothing else is at work holds no place."""
        if live.holds_slot and live.effects is not None and live.effects.idle >= live.effects.strands:
            live.holds_slot = False
            self.in_use -= 1
            self.dispatch()

    def run_completed(self, key: int) -> None:
        """The end of a run is committed: whoever hears of it may start the next one in its place."""
        live = self.live.get(key)
        if live is not None and live.holds_slot:
            live.holds_slot = False
            self.in_use -= 1
            self.dispatch()

    async def reacquire_slot(self, live: ActiveRun) -> None:
        """Return when a run that waited may be at work again: it needs a place as any other does.

        Those that have begun come before those that have not.
        """
        if live.holds_slot:
            return
        if self.in_use < self.limit and not self._reacquiring:
            live.holds_slot = True
            self.in_use += 1
            return
        free: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._reacquiring.setdefault(id(live), (live, []))[1].append(free)
        await free

    def _readmit(self) -> None:
        while self._reacquiring:
            key, (live, strands) = next(iter(self._reacquiring.items()))
            waiting = [strand for strand in strands if not strand.done()]  # others were cancelled meanwhile
            if waiting and not live.holds_slot:
                if self.in_use >= self.limit:
                    return
                live.holds_slot = True
                self.in_use += 1
            del self._reacquiring[key]
            for strand in waiting:
                strand.set_result(None)

    def dispatch(self) -> None:
        """Start what waits while there are free places."""
        self._readmit()
        while self._open and self._queue and self.in_use < self.limit:
            entry = self._next()
            if entry is None:
                return
            _, key, again = entry
            self._queued.discard(key)
            self.in_use += 1
            self._drive_on(key, again)

    def _drive_on(self, key: int, again: bool) -> None:
        live = self.live[key] = ActiveRun()
        live.task = asyncio.create_task(self._run_driver(live, key, again), name=f"victor-run-{key}")

    async def _run_driver(self, live: ActiveRun, key: int, again: bool) -> None:
        try:
            await self._drive(key, again)
        except Exception as error:
            log.error("run %s: the engine could not go on with it", key, exc_info=error)
        finally:
            self._finished(live, key)

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

    def clear(self) -> None:
        """Everything was stopped, and some of it before it began."""
        for live in self.live.values():
            self.in_use -= live.holds_slot
        self.live.clear()

    def _finished(self, live: ActiveRun, key: int) -> None:
        """Nothing is done for a run any more: its place is free."""
        if self.live.pop(key, None) is None:
            return
        self.in_use -= live.holds_slot
        priority = self._requeue.pop(key, None)
        if priority is not None:
            self.enqueue(key, priority, True)
        self.dispatch()
