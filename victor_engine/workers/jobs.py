"""Jobs in worker processes: each is run by a thread of a small pool, and can be ended from any thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from victor_engine.workers.process import WorkerProcess

T = TypeVar("T")


class Job:
    """The process of one job. A thread starts and drops it; `end` may be called in any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ended = False
        self._process: WorkerProcess | None = None

    def end(self) -> None:
        """Kill the process, and start none any more."""
        with self._lock:
            self._ended = True
            if self._process is not None:
                self._process.kill()

    def hold(self, start: Callable[[], WorkerProcess]) -> WorkerProcess | None:
        """Return the process of the job, started if there is none; None if the job was ended."""
        with self._lock:
            if self._ended:
                return None
            if self._process is None:
                self._process = start()
            return self._process

    def release(self) -> tuple[WorkerProcess | None, bool]:
        """Return the process, which the job does not hold any more, and whether the job was ended."""
        with self._lock:
            process, self._process = self._process, None
            return process, self._ended


class JobThreads:
    """The threads of the jobs of one owner. They start with the first job."""

    def __init__(self, workers: int, name: str) -> None:
        self._workers = workers
        self._name = name
        self._threads: ThreadPoolExecutor | None = None
        self._jobs: set[Job] = set()

    async def run(self, job: Job, work: Callable[..., T], *args: Any) -> T:
        """Return the result of `work`, which a thread calls. A cancellation ends the job."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self._workers, thread_name_prefix=self._name)
        self._jobs.add(job)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)
        except asyncio.CancelledError:
            job.end()
            raise
        finally:
            self._jobs.discard(job)

    async def close(self) -> None:
        """End all jobs and threads."""
        for job in self._jobs:
            job.end()
        threads, self._threads = self._threads, None
        if threads is not None:
            await asyncio.to_thread(threads.shutdown, cancel_futures=True)
