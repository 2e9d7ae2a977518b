"""The engine's side of a worker process: the process, and the exchange of frames with it.

All methods block. Do not call them in the thread of the event loop.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import victor_engine

PASSED_VARIABLES = frozenset({"PATH", "LANG", "LC_ALL", "PYTHONHOME", "LD_LIBRARY_PATH", "TZ", "SYSTEMROOT"})
"""The environment variables that are passed to a worker process: none that could contain a secret."""

_MAX_FRAME = 64_000_000
"""The maximum number of bytes of one frame of a worker process."""


class WorkerProcess:
    """A process that runs a module of the engine as a worker. Raises OSError if it cannot be started."""

    def __init__(self, module: str) -> None:
        environ = {name: value for name, value in os.environ.items() if name in PASSED_VARIABLES}
        root = str(Path(victor_engine.__file__).resolve().parent.parent)
        environ["PYTHONPATH"] = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        self._child = subprocess.Popen(
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env=environ,
            bufsize=0,
            start_new_session=True,
        )
        self._rest = bytearray()

    @property
    def alive(self) -> bool:
        """Whether the process is running."""
        return self._child.poll() is None

    def exchange(self, request: bytes, seconds: float) -> bytes | None:
        """Send a request and return the response, or None if the process ends or does not respond in time."""
        deadline = time.monotonic() + seconds
        try:
            self.send(request, deadline)
            return self.receive(deadline)
        except (OSError, TimeoutError):
            return None

    def send(self, frame: bytes, deadline: float) -> None:
        """Send one frame. Raises OSError if the process has ended, TimeoutError at the deadline (monotonic)."""
        assert self._child.stdin is not None
        left = memoryview(frame + b"\n")
        number = self._child.stdin.fileno()
        ready = select.poll()
        ready.register(number, select.POLLOUT)
        while left:
            if not ready.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise TimeoutError
            left = left[os.write(number, left[: select.PIPE_BUF]) :]

    def receive(self, deadline: float) -> bytes | None:
        """Return the next frame, or None if the process ends or the deadline (monotonic) passes."""
        assert self._child.stdout is not None
        number = self._child.stdout.fileno()
        ready = select.poll()
        ready.register(number, select.POLLIN)
        start = 0
        while True:
            end = self._rest.find(b"\n", start)
            if end >= 0:
                line = bytes(self._rest[:end])
                del self._rest[: end + 1]
                return line
            start = len(self._rest)
            if not ready.poll(max(0.0, deadline - time.monotonic()) * 1000):
                return None
            data = os.read(number, 1 << 20)
            if not data or start > _MAX_FRAME:
                return None
            self._rest += data

    def kill(self) -> None:
        """Kill the process and the processes that it started. Can be called in any thread."""
        if self._child.returncode is None:
            with contextlib.suppress(OSError):
                os.killpg(self._child.pid, signal.SIGKILL)

    def end(self) -> int:
        """Kill the process, wait for it, and return its exit status (the negative signal number, as Popen)."""
        self.kill()
        status = self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        return status


__all__ = ["WorkerProcess"]
