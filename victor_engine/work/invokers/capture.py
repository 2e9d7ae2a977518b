"""What functions in the engine's own process print and log, sent to the attempt that they belong to.

Many attempts share the loop, so the attempt is a context variable: tasks and threads that a function
starts (`asyncio.to_thread`) inherit it, and whatever else this process prints is left alone.
"""

from __future__ import annotations

import asyncio
import contextvars
import io
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TextIO

from victor_engine.work.calls import CallContext
from victor_engine.work.invokers.results import LineSplitter


class _Receiver:
    """Takes what one call prints and logs, in whatever thread, line by line."""

    def __init__(self, context: CallContext, also_here: bool) -> None:
        self.also_here = also_here
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._lock = threading.Lock()
        self._lines = {stream: LineSplitter(partial(self.line, stream)) for stream in ("stdout", "stderr")}

    def write(self, stream: str, text: str) -> None:
        with self._lock:
            self._lines[stream].feed(text.encode("utf-8", "backslashreplace"))

    def line(self, stream: str, text: str) -> None:
        if threading.get_ident() == self._thread:
            self._context.log(stream, text)
            return
        # A thread that goes on after its loop has ended has nobody left to hear it.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._context.log, stream, text)

    def close(self) -> None:
        with self._lock:
            for lines in self._lines.values():
                lines.close()


_current: contextvars.ContextVar[_Receiver | None] = contextvars.ContextVar("victor_call", default=None)


class _Routed(io.TextIOBase):
    """`sys.stdout` or `sys.stderr` while calls are received: each call's text goes to its own attempt."""

    def __init__(self, stream: str, original: TextIO) -> None:
        self._stream = stream
        self.original = original

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.original.encoding

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self.original.isatty()

    def fileno(self) -> int:
        return self.original.fileno()

    def write(self, text: str) -> int:
        receiver = _current.get()
        if receiver is None:
            return self.original.write(text)
        receiver.write(self._stream, text)
        if receiver.also_here:
            self.original.write(text)
        return len(text)

    def flush(self) -> None:
        self.original.flush()


class _Route:
    """Puts `_Routed` in place of the process's streams for as long as at least one call is received."""

    def __init__(self) -> None:
        self._users = 0
        self._placed: list[tuple[str, _Routed]] = []

    def enter(self) -> None:
        self._users += 1
        if self._users > 1:
            return
        for name in ("stdout", "stderr"):
            original = getattr(sys, name)
            if original is not None:
                routed = _Routed(name, original)
                setattr(sys, name, routed)
                self._placed.append((name, routed))

    def leave(self) -> None:
        self._users -= 1
        if self._users:
            return
        for name, routed in self._placed:
            # Somebody may have put a stream of their own in its place meanwhile.
            if getattr(sys, name) is routed:
                setattr(sys, name, routed.original)
        self._placed.clear()


_ROUTE = _Route()


class _CallHandler(logging.Handler):
    """Sends what a function in the loop logs to its own attempt."""

    def emit(self, record: logging.LogRecord) -> None:
        receiver = _current.get()
        if receiver is not None:
            for line in self.format(record).splitlines():
                receiver.line("log", line)


_HANDLER = _CallHandler()
_HANDLER.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))


@contextmanager
def receiving(context: CallContext, *, also_here: bool = False) -> Iterator[None]:
    """Let what is printed and logged inside the block, also in threads that it starts, go to the
    attempt's log; with `also_here` what is printed goes to this process's streams as well."""
    receiver = _Receiver(context, also_here)
    token = _current.set(receiver)
    _ROUTE.enter()
    try:
        yield
    finally:
        _ROUTE.leave()
        _current.reset(token)
        receiver.close()


def capture_logging(module: str) -> None:
    """Let the loggers of a workspace's module reach the log of the attempt, from INFO on."""
    root = logging.getLogger()
    if _HANDLER not in root.handlers:
        root.addHandler(_HANDLER)
    logger = logging.getLogger(module.partition(".")[0])
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)
