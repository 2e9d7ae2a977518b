"""The engine's side of reading a workspace: questions to a worker process, which is replaced when it ends.

All of it blocks: it is called in a thread. `end` may be called in any.
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
"""Seconds after which a process is ended even if it has used little processor time."""

T = TypeVar("T")


def start() -> WorkerProcess:
    """Start a worker process. Raises OSError."""
    return WorkerProcess(MODULE)


def finish(process: WorkerProcess) -> None:
    """End a worker process that is still good, because nothing more is asked."""
    process.end()


class Conversation(Protocol):
    """Questions about one workspace after another."""

    def open(self, request: Open) -> Opened:
        """Turn to a workspace. Raises VictorError for its configuration."""

    def ask(self, request: Request, kind: type[T]) -> T:
        """Return the answer to a question about it. Raises LimitError, LoadingError, or another VictorError."""

    def end(self) -> None:
        """End the process, also amid a question."""

    def close(self) -> None:
        """End the process, and wait for that."""


class HereConversation:
    """Answers in this process, without limits: for a command line, which has nothing else to do."""

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


class WorkerConversation:
    """Asks a worker process. One that ends is replaced, and the question asked once more."""

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
                raise LoadingError("the files are not read, because the engine ends")
            if timed_out or status == -signal.SIGXCPU:
                raise LimitError("time" if timed_out else "processor time")
        said = f"signal {-status}" if status < 0 else f"status {status}"
        raise LoadingError(
            f"the process that reads the files has ended twice ({said}). Look for who ends it, or for a lack of "
            "memory, and load again"
        )

    def _value(self, answer: Answer, kind: type[T]) -> T:
        if answer.spent:
            self._drop()
        if answer.limit:
            raise LimitError(answer.limit, answer.line)
        if answer.error is not None:
            raise VictorError.from_wire(answer.error)
        if answer.fault:
            raise LoadingError(f"it cannot be checked, because of a fault of this program: {answer.fault}")
        found: T = msgspec.json.decode(answer.value, type=kind)
        return found

    def _running(self, request: Request) -> WorkerProcess:
        """Return a process that has opened the workspace, unless that is what it is about to be asked."""
        if self._process is not None and not self._process.alive:
            self._drop()
        if self._process is not None:
            return self._process
        with self._lock:
            if self._ended:
                raise LoadingError("the files are not read, because the engine ends")
            try:
                self._process = start()
            except OSError as error:
                raise LoadingError(
                    f"no process can be started to read the files: {error.strerror or error}. "
                    "Free processes or memory, and load again"
                ) from error
        if self._request is not None and request is not self._request:
            again = self._ask(self._request, Opened)
            if again.config != (self._opened and self._opened.config):
                raise LoadingError("the configuration has changed while the files were read. Load again")
        if self._process is None:
            raise LoadingError("the process that reads the files has ended at once. Load again")
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
