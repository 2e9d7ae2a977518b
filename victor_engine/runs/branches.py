"""Concurrent branches of a run: the branches of a parallel, the members of a team, the workers of a map."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from victor_engine.graph_walk.effects import Done
from victor_engine.graph_walk.stopwatch import Stopwatch
from victor_engine.runs.evaluation_note import Note
from victor_engine.runs.external_waits import ExternalWaits, RunPausedError


class Branches:
    """Runs branches as tasks, at most `most` at once. `show_waiting` commits that all strands of the run wait."""

    def __init__(
        self,
        effects: ExternalWaits,
        stopwatch: Stopwatch,
        show_waiting: Callable[[], Awaitable[None]],
        note: Note,
        branches: Sequence[Callable[[], Awaitable[Done]]],
        most: int | None,
    ) -> None:
        self._effects = effects
        self._stopwatch = stopwatch
        self._show_waiting = show_waiting
        self._note = note
        self._branches = branches
        self._most = most or len(branches)
        self._tasks: list[asyncio.Future[Done]] = []
        self._pending: set[asyncio.Future[Done]] = set()

    async def join(
        self, wanted: int, tolerate: int, limit: float | None
    ) -> list[Done | BaseException | None]:
        """Return the results of the branches; see `Effects.join`."""
        effects, tasks = self._effects, self._tasks
        self._start()
        effects.strands += len(tasks) - 1
        good = bad = 0
        watch = asyncio.ensure_future(self._reach_limit(limit)) if limit is not None else None
        try:
            while self._pending and good < wanted and bad <= tolerate:
                waited: set[asyncio.Future[Any]] = {*self._pending, *([] if watch is None else [watch])}
                done, _ = await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
                if watch is not None and watch in done:
                    break
                before = len(self._pending)
                self._pending -= done
                failed = sum(task.cancelled() or task.exception() is not None for task in done)
                good, bad = good + len(done) - failed, bad + failed
                decided = good >= wanted or bad > tolerate
                if not decided and not effects.pausing:
                    self._start()
                effects.strands -= before - max(len(self._pending), 1)
                if any(
                    not task.cancelled() and isinstance(task.exception(), RunPausedError) for task in done
                ):
                    raise RunPausedError
                if not decided:
                    await self._continue()
        finally:
            rest = [task for task in (*self._pending, watch) if task is not None]
            for task in rest:
                task.cancel()
            if rest:
                await asyncio.gather(*rest, return_exceptions=True)
            effects.strands -= max(len(self._pending) - 1, 0)
        ended = [None if task.cancelled() else task.exception() or task.result() for task in tasks]
        return [*ended, *[None] * (len(self._branches) - len(ended))]

    def _start(self) -> None:
        """Start branches, in order, while fewer than the maximum are active."""
        memory = self._effects.services.quarantine.memory
        while len(self._tasks) < len(self._branches) and len(self._pending) < self._most:
            branch = self._branches[len(self._tasks)]
            self._tasks.append(asyncio.ensure_future(memory.strand(self._note, branch)))
            self._pending.add(self._tasks[-1])

    async def _continue(self) -> None:
        """Show that the run waits, if its active branches do, and pause it before the next branch if requested."""
        effects = self._effects
        if self._pending and effects.idle >= effects.strands:
            # The active branches are done, and the other branches wait.
            await self._show_waiting()
        if self._pending:
            effects.stop_if_pausing()
        elif len(self._tasks) < len(self._branches):
            raise RunPausedError

    async def _reach_limit(self, limit: float) -> None:
        """Return after `limit` seconds of active time. Waits for people do not count."""
        stopwatch = self._stopwatch
        end = stopwatch.seconds + limit
        while (left := end - stopwatch.seconds) > 0:
            await self._effects.clock.sleep(left)
