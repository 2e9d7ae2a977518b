"""The decisions on requests, delivered to the runs that wait for them, and the deadlines of requests."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime

from victor_engine.clock import Clock
from victor_engine.errors import VictorError
from victor_engine.graph_walk.stopwatch import first_of
from victor_engine.people.requests import Decision, decision_of, due_requests, next_deadline, run_timers
from victor_engine.store.db import Store

log = logging.getLogger(__name__)

DEADLINE_POLL = 30.0
"""Maximum seconds between two looks at the deadlines, because the wall clock may be set."""


class Decisions:
    """Delivers committed decisions to the waiting runs, and applies the deadlines of requests."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store = store
        self.clock = clock
        self._waiters: dict[str, asyncio.Future[Decision]] = {}
        self._kick = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the task that watches deadlines."""
        self._watch = asyncio.create_task(self._watch_deadlines(), name="victor-deadlines")

    async def stop(self) -> None:
        """Stop the task that watches deadlines."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)

    def deadlines_changed(self) -> None:
        """Check the deadlines again, after a commit that changed them."""
        self._kick.set()

    async def wait(self, request_id: str) -> Decision:
        """Wait for the decision on a request, and return it."""
        future: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()
        self._waiters[request_id] = future
        try:
            # The answer may have been committed between the commit of the request and this read, also by a
            # command line that wrote while no engine was running.
            decision = await self.store.read(lambda connection: decision_of(connection, request_id))
            return decision if decision is not None else await future
        finally:
            self._waiters.pop(request_id, None)

    def deliver(self, request_id: str, decision: Decision) -> None:
        """Deliver a committed decision to the run that waits for it."""
        future = self._waiters.get(request_id)
        if future is not None and not future.done():
            future.set_result(decision)

    async def _watch_deadlines(self) -> None:
        while True:
            self._kick.clear()
            try:
                due = await self.store.read(lambda c: due_requests(c, self.clock.now()))
                for request_id in due:
                    decision = await self.store.persist(
                        lambda tx, request_id=request_id: run_timers(tx, request_id)  # type: ignore[misc]
                    )
                    if decision is not None:
                        self.deliver(request_id, decision)
                upcoming = await self.store.read(next_deadline)
            except VictorError as error:
                log.error("the deadlines of requests could not be applied, the next try follows: %s", error)
                upcoming = None
            await self._sleep_or_kick(upcoming)

    async def _sleep_or_kick(self, until: datetime | None) -> None:
        seconds = DEADLINE_POLL
        if until is not None:
            seconds = min(max((until - self.clock.now()).total_seconds(), 0.0), DEADLINE_POLL)
        await first_of(self.clock.sleep(seconds), self._kick.wait())
