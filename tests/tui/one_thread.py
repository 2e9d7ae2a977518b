"""An event loop and a store that do everything in one thread, so that each run of a test takes the same order.

Threads finish in an order that depends on the machine. Here the work that is given to a thread is done by the
loop itself, in the order in which it was given, and the store commits in the loop. SQL, transactions and files
are the same as elsewhere.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import pytest

from victor_engine.clock import FakeClock
from victor_engine.store.db import MAX_GROUP, Store
from victor_engine.store.outage import Job

T = TypeVar("T")


class OneThreadLoop(asyncio.SelectorEventLoop):
    """An event loop without executors."""

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Call `func` in a later turn of the loop, and return a future for its result."""
        future: asyncio.Future[Any] = self.create_future()

        def call() -> None:
            if future.cancelled():
                return
            try:
                result = func(*args)
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)

        self.call_soon(call)
        return future

    async def idle(self) -> None:
        """Return when nothing is left to do but to wait for time, a person or a process."""
        while self._ready or self._is_timer_due():  # type: ignore[attr-defined]
            await asyncio.sleep(0)

    def _is_timer_due(self) -> bool:
        timers = self._scheduled  # type: ignore[attr-defined]
        return bool(timers) and timers[0].when() <= self.time()


async def idle() -> None:
    """Return when the running loop, a `OneThreadLoop`, has nothing left to do."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, OneThreadLoop), "this needs a loop without threads"
    await loop.idle()


class PatientClock(FakeClock):
    """A fake clock that lets the loop finish what it has to do before the time changes."""

    async def advance(self, seconds: float) -> None:
        """Advance the time by `seconds`. Wake one sleeper at a time, and wait until all is idle again."""
        target = self._mono + seconds
        await idle()
        while self._sleepers and self._sleepers[0][0] <= target:
            when, _, future = heapq.heappop(self._sleepers)
            if future.done():
                continue
            self._wall += timedelta(seconds=when - self._mono)
            self._mono = when
            future.set_result(None)
            await idle()
        self._wall += timedelta(seconds=target - self._mono)
        self._mono = target
        await idle()


@contextmanager
def stores_in_the_loop() -> Iterator[None]:
    """Let the stores that a `OneThreadLoop` starts commit in that loop, instead of in a thread."""
    start, submit, close = Store.start, Store._submit, Store.close

    def start_here(self: Store, *, patient: bool = False) -> None:
        loop = asyncio.get_running_loop()
        if not isinstance(loop, OneThreadLoop):
            start(self, patient=patient)
            return
        self._require_writer()
        self._patient, self._loop = patient, loop

    def submit_here(self: Store, transition: Any, **options: Any) -> asyncio.Future[Any]:
        future = submit(self, transition, **options)
        if isinstance(self._loop, OneThreadLoop):
            self._loop.call_soon(partial(_commit, self))
        return future

    async def close_here(self: Store) -> None:
        if isinstance(self._loop, OneThreadLoop) and not self._closed:
            _commit(self)
            await asyncio.sleep(0)
        await close(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "start", start_here)
        patch.setattr(Store, "_submit", submit_here)
        patch.setattr(Store, "close", close_here)
        yield


def _commit(store: Store) -> None:
    """Commit the jobs that are ready, as the thread of a store does."""
    group: list[Job] = []
    while not store._jobs.empty() and len(group) < MAX_GROUP:
        job = store._jobs.get()
        assert job is not None
        group.append(job)
    if not group:
        return
    if store._outage is None:
        store._commit_and_report(group)
    else:
        store._during(store._outage, group)


def run_in_one_thread(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine in a `OneThreadLoop` of its own."""
    with stores_in_the_loop(), asyncio.Runner(loop_factory=OneThreadLoop) as runner:
        return runner.run(main())
