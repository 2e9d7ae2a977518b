"""The worker's side of a worker process: its limits, and the loop that answers requests one after the other."""

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
"""The maximum address space of a worker process, in bytes."""


class OverBudgetError(BaseException):
    """The work exceeds its processor time. It is not an `Exception`, so that no handler suppresses it.

    `line` is the current line of the file (from 1), or 0 if it is not known.
    """

    line = 0


class Channel:
    """The frames from and to the engine. Other code cannot use standard input and output."""

    def __init__(self) -> None:
        self._requests = os.fdopen(os.dup(0), "rb")
        self._frames = os.fdopen(os.dup(1), "wb")
        empty = os.open(os.devnull, os.O_RDWR)
        os.dup2(empty, 0)
        os.dup2(empty, 1)

    def send(self, frame: Mapping[str, Any] | bytes) -> None:
        """Send one frame. Bytes must be JSON text."""
        self._frames.write(frame if isinstance(frame, bytes) else jsonio.dumps(frame))
        self._frames.write(b"\n")
        self._frames.flush()

    def receive(self, idle: float | None = None) -> bytes:
        """Return the next frame, empty at the end of the input or if none arrives within `idle` seconds."""
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

    The kernel kills the process if a request takes more than `cpu_seconds` of processor time.
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
    """Return the resident memory of this process, in bytes.

    The maximum so far (`ru_maxrss`) would include that of the parent process.
    """
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


@contextmanager
def budget(seconds: float) -> Iterator[None]:
    """Raise OverBudgetError in the block when it has used so many seconds of processor time."""

    def over(*_: Any) -> NoReturn:
        raise OverBudgetError

    before = signal.signal(signal.SIGPROF, over)
    # Repeat every 0.1 s, because a destructor or a C callback may lose an exception.
    signal.setitimer(signal.ITIMER_PROF, seconds, 0.1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
