"""Calls of the functions of migrations (`custom` steps) in a worker process with a time limit.

A migration is planned in a thread that reads the store, or in a transaction. No function is called there, because it
could block it: a step whose function has not been called yet for its state fails. `settled` then calls the function
outside, and plans again with its result.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from victor_engine import jsonio
from victor_engine.versioning.migration_steps import FunctionFailedError, MigrationError, State
from victor_engine.work import migration_worker
from victor_engine.workers.jobs import Job, JobThreads
from victor_engine.workers.process import WorkerProcess

T = TypeVar("T")

WORKERS = 2
"""Number of concurrent worker processes. Further calls wait."""

LOSSES = 3
"""How often a function may exceed its limits in one operation before it is not called again."""

_MODULE = "victor_engine.work.migration_worker"

_Key = tuple[str, bytes]
"""A call: the reference of a function, and a state as JSON."""


class Calls:
    """The calls of functions in one operation: their results, and those that are missing."""

    def __init__(self) -> None:
        self.missing: dict[_Key, None] = {}
        self.results: dict[_Key, State | FunctionFailedError] = {}
        self.losses: Counter[str] = Counter()

    def load(self, reference: str) -> Callable[[State], State]:
        """Return a function that returns the result of an earlier call, or fails and notes that it is missing."""

        def recall(state: State) -> State:
            key = (reference, jsonio.dumps(state))
            if key not in self.results:
                self.missing[key] = None
                raise FunctionFailedError("the function has not been called yet")
            result = self.results[key]
            if isinstance(result, FunctionFailedError):
                raise result
            return result

        return recall

    def check(self) -> None:
        """Raise MigrationError if a call is missing, so that a transaction changes nothing."""
        if self.missing:
            raise MigrationError("functions of the migration have not been called yet; try again")


class MigrationFunctions:
    """The functions of the migrations of a workspace, and the processes in which they run."""

    def __init__(self, workspace: Path, trusted: Callable[[], bool]) -> None:
        self._workspace = str(workspace)
        self._trusted = trusted
        self._threads = JobThreads(WORKERS, "victor-migrations")

    async def settled(self, attempt: Callable[[Calls | None], Awaitable[T]]) -> T:
        """Return the result of `attempt` after all functions that it needs have been called.

        `attempt` is called until no call is missing. It gets None if the workspace is not trusted.
        """
        if not self._trusted():
            return await attempt(None)
        calls = Calls()
        while True:
            calls.missing.clear()
            try:
                result = await attempt(calls)
            except MigrationError:
                if not calls.missing:
                    raise
            else:
                if not calls.missing:
                    return result
            await self._call(calls)

    async def _call(self, calls: Calls) -> None:
        job = _Job(self._workspace, calls)
        await self._threads.run(job, job.run)

    async def close(self) -> None:
        """End all worker processes."""
        await self._threads.close()


class NoFunctions(MigrationFunctions):
    """No functions, because the workspace was not loaded."""

    def __init__(self) -> None:
        super().__init__(Path("/"), lambda: False)


class _Job(Job):
    """The missing calls of an operation. `run` is called in a thread."""

    def __init__(self, workspace: str, calls: Calls) -> None:
        super().__init__()
        self._workspace = workspace
        self._calls = calls
        self._missing = list(calls.missing)

    def run(self) -> None:
        try:
            for key in self._missing:
                self._calls.results[key] = self._result(*key)
        finally:
            self._drop()

    def _result(self, reference: str, state: bytes) -> State | FunctionFailedError:
        seconds = migration_worker.SECONDS
        if self._calls.losses[reference] >= LOSSES:
            return FunctionFailedError(
                f"{reference} was not called, because {LOSSES} calls exceeded the limits; correct the function"
            )
        try:
            process = self.hold(lambda: WorkerProcess(_MODULE))
        except OSError as error:
            return FunctionFailedError(f"cannot start a process for {reference}: {error.strerror or error}")
        if process is None:
            return FunctionFailedError(f"{reference} was not called, because the operation was cancelled")
        request = b'{"function":%s,"workspace":%s,"state":%s}' % (
            jsonio.dumps(reference),
            jsonio.dumps(self._workspace),
            state,
        )
        deadline = time.monotonic() + seconds
        answer = process.exchange(request, seconds)
        if answer is not None:
            try:
                found = jsonio.loads(answer)
                return FunctionFailedError(found["failure"]) if "failure" in found else dict(found["state"])
            except (ValueError, KeyError, TypeError):
                self._drop()
                return FunctionFailedError(f"the process of {reference} sent an invalid answer")
        self._calls.losses[reference] += 1
        in_time = time.monotonic() < deadline
        self._drop()
        if in_time:
            return FunctionFailedError(
                f"the process of {reference} ended before the function returned: it called `os._exit`, crashed, or "
                f"exceeded {seconds} seconds or 1 GiB of memory; correct the function"
            )
        return FunctionFailedError(
            f"{reference} did not return within {seconds} seconds, the limit for a function of a migration; "
            "correct the function, or prepare the data before the migration"
        )

    def _drop(self) -> None:
        process, _ = self.release()
        if process is not None:
            process.end()


__all__ = ["Calls", "MigrationFunctions", "NoFunctions"]
