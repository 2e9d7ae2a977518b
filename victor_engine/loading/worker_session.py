"""The engine's side of the load of a workspace: requests to a worker process, which is replaced if it exits.

All calls block and belong in a thread. `end` can be called in any thread.
"""

from __future__ import annotations

import signal
import threading
import time
from typing import Protocol, TypeVar

import msgspec

from victor_engine.errors import VictorError
from victor_engine.loading.pieces import (
    Answer,
    LimitError,
    LoadingError,
    Open,
    Opened,
    Request,
    decode_answer,
    encode,
)
from victor_engine.loading.reading import WorkspaceReader
from victor_engine.workers.process import WorkerProcess

MODULE = "victor_engine.loading.worker"

WALL_SECONDS = 120.0
"""Seconds after which a process is stopped, even if it has used little processor time."""

T = TypeVar("T")


def start() -> WorkerProcess:
    """Start a worker process. Raise OSError if that fails."""
    return WorkerProcess(MODULE)


def finish(process: WorkerProcess) -> None:
    """Stop a usable worker process, because no further requests follow."""
    process.end()


class ReaderSession(Protocol):
    """A sequence of requests about workspaces."""

    def open(self, request: Open) -> Opened:
        """Open a workspace for the next requests. Raise VictorError for an error in its configuration."""

    def ask(self, request: Request, kind: type[T]) -> T:
        """Return the response to a request. Raise LimitError, LoadingError, or another VictorError."""

    def end(self) -> None:
        """Stop the process, also during a request."""

    def close(self) -> None:
        """Stop the process, and wait for its end."""


class LocalSession:
    """A session in this process without limits, for the command line."""

    def __init__(self) -> None:
        self._reader = WorkspaceReader()

    def open(self, request: Open) -> Opened:
        return self._reader.open(request)

    def ask(self, request: Request, kind: type[T]) -> T:
        found: T = self._reader.answer(request)
        return found

    def end(self) -> None:
        pass

    def close(self) -> None:
        pass


class WorkerSession:
    """A session with a worker process. If the process exits, it is replaced and the request is sent again."""

    def __init__(self) -> None:
        self._process: WorkerProcess | None = None
        self._request: Open | None = None
        self._opened: Opened | None = None
        self._lock = threading.Lock()
        self._ended = False

    def open(self, request: Open) -> Opened:
        self._request, self._opened = request, None
        self._opened = self._ask(request, Opened)
        return self._opened

    def ask(self, request: Request, kind: type[T]) -> T:
        return self._ask(request, kind)

    def _ask(self, request: Request, kind: type[T]) -> T:
        line = encode(request)
        status = 0
        for _ in range(2):
            process = self._running(request)
            began = time.monotonic()
            text = process.exchange(line, WALL_SECONDS)
            if text is not None:
                return self._value(decode_answer(text), kind)
            timed_out = time.monotonic() - began >= WALL_SECONDS
            status = self._drop()
            if self._ended:
                raise LoadingError("the files are not read, because the engine stops")
            if timed_out or status == -signal.SIGXCPU:
                raise LimitError("time" if timed_out else "processor time")
        reason = f"signal {-status}" if status < 0 else f"status {status}"
        raise LoadingError(
            f"the process that reads the files exited twice ({reason}). Check the memory of the machine and the "
            "processes that send signals, then reload"
        )

    def _value(self, answer: Answer, kind: type[T]) -> T:
        if answer.spent:
            self._drop()
        if answer.limit:
            raise LimitError(answer.limit, answer.line)
        if answer.error is not None:
            raise VictorError.from_wire(answer.error)
        if answer.internal_error:
            raise LoadingError(
                f"the file cannot be checked because of an internal error: {answer.internal_error}"
            )
        found: T = msgspec.json.decode(answer.value, type=kind)
        return found

    def _running(self, request: Request) -> WorkerProcess:
        """Return a process that has opened the workspace, unless `request` is to open it."""
        if self._process is not None and not self._process.alive:
            self._drop()
        if self._process is not None:
            return self._process
        with self._lock:
            if self._ended:
                raise LoadingError("the files are not read, because the engine stops")
            try:
                self._process = start()
            except OSError as error:
                raise LoadingError(
                    f"cannot start a process to read the files: {error.strerror or error}. "
                    "Free processes or memory, then reload"
                ) from error
        if self._request is not None and request is not self._request:
            again = self._ask(self._request, Opened)
            if again.config != (self._opened and self._opened.config):
                raise LoadingError("the configuration changed during the load. Reload")
        if self._process is None:
            raise LoadingError("the process that reads the files exited immediately. Reload")
        return self._process

    def _drop(self) -> int:
        with self._lock:
            process, self._process = self._process, None
        return process.end() if process is not None else 0

    def end(self) -> None:
        with self._lock:
            self._ended = True
            if self._process is not None:
                self._process.kill()

    def close(self) -> None:
        with self._lock:
            good = not self._ended
            self._ended = True
            process, self._process = self._process, None
        if process is not None and good:
            finish(process)
        elif process is not None:
            process.end()
