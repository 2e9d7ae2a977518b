"""The side of a worker process: its limits, and the requests that it answers one after the other."""

from __future__ import annotations

import os
import resource
import select
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

from victor_engine import jsonio

MEMORY = 1 << 30
"""Bytes of address space that a worker process may have."""


class OverBudgetError(BaseException):
    """The work takes more processor time than it is given. Not an `Exception`: nothing may pass over it.

    `line` is the line of the file at which the work was, where that is known (from 1).
    """

    line = 0


class Channel:
    """Frames from and to the engine. Standard input and output are closed to everything else."""

    def __init__(self) -> None:
        self._requests = os.fdopen(os.dup(0), "rb")
        self._frames = os.fdopen(os.dup(1), "wb")
        empty = os.open(os.devnull, os.O_RDWR)
        os.dup2(empty, 0)
        os.dup2(empty, 1)

    def send(self, frame: Mapping[str, Any] | bytes) -> None:
        """Send one frame; bytes are JSON already."""
        self._frames.write(frame if isinstance(frame, bytes) else jsonio.dumps(frame))
        self._frames.write(b"\n")
        self._frames.flush()

    def receive(self, idle: float | None = None) -> bytes:
        """Return the next frame; empty at the end, or if none comes within `idle` seconds."""
        if idle is not None:
            ready = select.poll()
            ready.register(self._requests.fileno(), select.POLLIN)
            if not ready.poll(idle * 1000):
                return b""
        return self._requests.readline()


def serve(
    channel: Channel,
    answer: Callable[[bytes], Mapping[str, Any] | bytes],
    *,
    cpu_seconds: int,
    nice: int = 0,
    idle: float | None = None,
) -> None:
    """Answer requests until the engine closes the pipe, or sends nothing for `idle` seconds.

    The kernel ends the process at a request that takes more than `cpu_seconds`.
    """
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(nice)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    while line := channel.receive(idle):
        limit = int(_used()) + cpu_seconds + 1
        if hard != resource.RLIM_INFINITY:
            limit = min(limit, hard)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, hard))
        channel.send(answer(line))


def _used() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def memory() -> int:
    """Return the bytes of memory that this process has now.

    The greatest amount so far would include that of the process which started this one.
    """
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


@contextmanager
def budget(seconds: float) -> Iterator[None]:
    """Raise OverBudgetError in the block once it has used so many seconds of processor time."""

    def over(*_: Any) -> NoReturn:
        raise OverBudgetError

    before = signal.signal(signal.SIGPROF, over)
    # Again and again: a destructor or a callback of C may lose an exception.
    signal.setitimer(signal.ITIMER_PROF, seconds, 0.1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
