"""The slots of an engine: its active runs, and the queue of runs that wait for a free slot."""

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
    begun: bool = False  # its walk has started
    walking: bool = False  # its walk is executing
    holds_slot: bool = True  # False while all its strands wait
    cancelling: bool = False
    pausing: bool = False
    became_idle: asyncio.Event = field(default_factory=asyncio.Event)  # set when a strand starts to wait
    detached: bool = False  # its task ends without a change of the run, because its row is about to change
    overrides: dict[str, NodeOverride] = field(default_factory=dict)
    skip_retry_wait: set[str] = field(
        default_factory=set
    )  # nodes to retry immediately, set before the run had effects

    def interrupt(self) -> None:
        """Cancel the walk if it is executing. The task decides how the run continues."""
        if self.walking:
            self.task.cancel()

    def stop(self) -> None:
        """Cancel the task before or during the walk. After the walk the end of the run is being committed."""
        if self.walking or not self.begun:
            self.task.cancel()

    def end_walk(self) -> None:
        """Mark the walk as over. The task continues, so pending cancellations of it are cleared."""
        self.walking = False
        while self.task.cancelling():
            self.task.uncancel()

    @property
    def is_idle(self) -> bool:
        """Whether all strands wait, or are between two attempts."""
        effects = self.effects
        return effects is not None and effects.idle + effects.awaiting_retry >= effects.strands


class Slots:
    """At most `limit` active runs. The queue is in order of priority (higher first), then of creation.

    `drive(key, again)` is the task of a run; `again` is True if the run was active before.
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

    @property
    def queued(self) -> int:
        """The number of runs that wait for a slot."""
        return len(self._queue)

    def open(self) -> None:
        """Claim runs from now on. Runs that were committed before are found at the start."""
        self._open = True

    def close(self) -> None:
        """Claim no more runs."""
        self._open = False

    def enqueue(self, key: int, priority: int = 0, again: bool = False) -> None:
        """Claim a committed run as soon as a slot is free."""
        if key in self._queued or not self._open:
            return
        if key in self._held:
            self._requeue[key] = priority
            return
        if key in self.live:
            # The task has committed the end of the run and is about to return.
            self._requeue[key] = priority
            return
        self._queued.add(key)
        heapq.heappush(self._queue, (-priority, key, again))
        self.dispatch()

    def hold(self, key: int) -> None:
        """Do not claim a run until it is released, because its row is about to change."""
        self._held.add(key)

    def release(self, key: int) -> None:
        """Allow claims of a run again, and queue it if that was requested in the mean time."""
        self._held.discard(key)
        if key not in self.live and (priority := self._requeue.pop(key, None)) is not None:
            self.enqueue(key, priority, True)

    def dequeue(self, key: int) -> None:
        """Remove a run from the queue."""
        if key in self._queued:
            self._queued.discard(key)
            self._queue = [entry for entry in self._queue if entry[1] != key]
            heapq.heapify(self._queue)

    def release_slot(self, live: ActiveRun) -> None:
        """Release the slot of a run if all its strands wait."""
        if live.holds_slot and live.effects is not None and live.effects.idle >= live.effects.strands:
            live.holds_slot = False
            self.in_use -= 1
            self.dispatch()

    def run_completed(self, key: int) -> None:
        """Release the slot of a run whose end is committed, so that a subscriber can start the next run."""
        live = self.live.get(key)
        if live is not None and live.holds_slot:
            live.holds_slot = False
            self.in_use -= 1
            self.dispatch()

    async def reacquire_slot(self, live: ActiveRun) -> None:
        """Return when a run that waited has a slot again.

        Runs that have begun come before runs that have not.
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
            waiting = [strand for strand in strands if not strand.done()]  # the others were cancelled
            if waiting and not live.holds_slot:
                if self.in_use >= self.limit:
                    return
                live.holds_slot = True
                self.in_use += 1
            del self._reacquiring[key]
            for strand in waiting:
                strand.set_result(None)

    def dispatch(self) -> None:
        """Start queued runs while slots are free."""
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
            log.error("run %s: the engine could not continue it", key, exc_info=error)
        finally:
            self._finished(live, key)

    def _next(self) -> tuple[int, int, bool] | None:
        """Return the next queued run. While the engine drains, only a run that has begun before."""
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
        """Start or stop draining: claim only runs that have begun before."""
        self._draining = draining
        self.dispatch()

    def clear(self) -> None:
        """Remove the runs whose tasks were stopped, some of them before they began."""
        for live in self.live.values():
            self.in_use -= live.holds_slot
        self.live.clear()

    def _finished(self, live: ActiveRun, key: int) -> None:
        """Release the slot of a run whose task has returned."""
        if self.live.pop(key, None) is None:
            return
        self.in_use -= live.holds_slot
        priority = self._requeue.pop(key, None)
        if priority is not None:
            self.enqueue(key, priority, True)
        self.dispatch()
