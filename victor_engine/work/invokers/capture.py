"""Captures the output and log records of functions in the process of the engine, for the logs of their attempts.

Many attempts share the loop, so the attempt is a context variable: tasks and threads that a function
starts (`asyncio.to_thread`) inherit it. Other output of this process is not captured.
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
    """Receives the output and log records of one call, from any thread, line by line."""

    def __init__(self, context: CallContext, also_print: bool) -> None:
        self.also_print = also_print
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
        # A thread may continue after its loop has ended; then its output has no receiver.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._context.log, stream, text)

    def close(self) -> None:
        with self._lock:
            for lines in self._lines.values():
                lines.close()


_current: contextvars.ContextVar[_Receiver | None] = contextvars.ContextVar("victor_call", default=None)


class _Routed(io.TextIOBase):
    """`sys.stdout` or `sys.stderr` during calls: the text of each call goes to its own attempt."""

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
        if receiver.also_print:
            self.original.write(text)
        return len(text)

    def flush(self) -> None:
        self.original.flush()


class _Route:
    """Replaces the streams of the process with `_Routed` while at least one call is captured."""

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
            # Other code may have replaced the stream in the mean time.
            if getattr(sys, name) is routed:
                setattr(sys, name, routed.original)
        self._placed.clear()


_ROUTE = _Route()


class _CallHandler(logging.Handler):
    """Sends the log records of a function in the loop to its own attempt."""

    def emit(self, record: logging.LogRecord) -> None:
        receiver = _current.get()
        if receiver is not None:
            for line in self.format(record).splitlines():
                receiver.line("log", line)


_HANDLER = _CallHandler()
_HANDLER.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))


@contextmanager
def receiving(context: CallContext, *, also_print: bool = False) -> Iterator[None]:
    """Return a context whose output and log records, also of threads that it starts, go to the log of the
    attempt. With `also_print`, the output goes to the streams of this process too."""
    receiver = _Receiver(context, also_print)
    token = _current.set(receiver)
    _ROUTE.enter()
    try:
        yield
    finally:
        _ROUTE.leave()
        _current.reset(token)
        receiver.close()


def is_captured() -> bool:
    """Return whether the log of an attempt receives the records of the current task."""
    return _HANDLER in logging.getLogger().handlers and _current.get() is not None


def capture_logging(module: str) -> None:
    """Send the log records of a module of the workspace, from level INFO, to the log of the attempt."""
    root = logging.getLogger()
    if _HANDLER not in root.handlers:
        root.addHandler(_HANDLER)
    logger = logging.getLogger(module.partition(".")[0])
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)
