"""Requests to stop the process: signals, and a terminal that hangs up."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class SignalReceivedError(Exception):
    """The process received a signal to stop, or its terminal hung up (which counts as SIGHUP)."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(number.name)
        self.number = number

    @property
    def exit_code(self) -> int:
        """Return the status that a shell reports for the signal."""
        return 128 + self.number


class Signals:
    """The handlers of SIGTERM, SIGINT and SIGHUP in the running loop, for a `with` block or from `install`
    to `uninstall`.

    `received` gets the first signal; each further signal calls `on_repeat`. A hang-up of a terminal of this
    process counts as SIGHUP, even if the signal is not sent. If SIGHUP was ignored when the process started
    (`nohup`), it stays ignored. Outside the main thread, no handlers are installed.
    """

    def __init__(self) -> None:
        self.received: asyncio.Future[signal.Signals] = asyncio.get_running_loop().create_future()
        self.on_repeat: Callable[[], None] | None = None
        self.on_hangup: Callable[[], None] | None = None
        """Called for each SIGHUP to a process without a terminal, in place of a stop."""
        self._handled: list[signal.Signals] = []
        self._terminals: select.epoll | None = None
        self._event_task: asyncio.Task[None] | None = None

    def __enter__(self) -> Signals:
        self.install()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.uninstall()

    def install(self) -> None:
        """Install the signal handlers."""
        if threading.current_thread() is not threading.main_thread():
            return
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue
            loop.add_signal_handler(number, self.receive, number)
            self._handled.append(number)
        terminals = [fd for fd in (0, 1, 2) if _is_terminal(fd)]
        if terminals and signal.SIGHUP in self._handled:
            self._terminals = select.epoll()
            for fd in terminals:
                self._terminals.register(fd, 0)  # epoll always reports a hang-up
            loop.add_reader(self._terminals.fileno(), self._hung_up)

    def uninstall(self) -> None:
        """Restore the default actions of the signals."""
        loop = asyncio.get_running_loop()
        for number in self._handled:
            loop.remove_signal_handler(number)
        self._handled.clear()
        if self._event_task is not None:
            self._event_task.cancel()
        self._unregister_terminals()
        self.received.cancel()

    async def run_until_signal(self, work: Coroutine[Any, Any, T]) -> T:
        """Return the result of `work`. If a signal arrives first, cancel `work` and raise SignalReceivedError."""
        task = asyncio.ensure_future(work)
        try:
            either: set[asyncio.Future[Any]] = {task, self.received}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
        if task.cancelled() and self.received.done():
            raise SignalReceivedError(self.received.result())
        return task.result()

    def receive(self, number: signal.Signals) -> None:
        """Handle a signal."""
        if number is signal.SIGHUP and self._terminals is None and self.on_hangup is not None:
            self.on_hangup()
        elif not self.received.done():
            self.received.set_result(number)
        elif self.on_repeat is not None:
            self.on_repeat()

    def add_event(self, event: asyncio.Event) -> None:
        """Handle this event like SIGTERM."""

        async def wait() -> None:
            await event.wait()
            self.receive(signal.SIGTERM)

        self._event_task = asyncio.create_task(wait())

    def _hung_up(self) -> None:
        """Redirect further output to /dev/null, because an error on output would disturb the shutdown."""
        if self._terminals is None:
            return
        closed = [fd for fd, _ in self._terminals.poll(0)]
        self._unregister_terminals()
        null = os.open(os.devnull, os.O_RDWR)
        for fd in closed:
            os.dup2(null, fd)
        os.close(null)
        self.on_hangup = None
        self.receive(signal.SIGHUP)

    def _unregister_terminals(self) -> None:
        if self._terminals is not None:
            asyncio.get_running_loop().remove_reader(self._terminals.fileno())
            self._terminals.close()
            self._terminals = None


def _is_terminal(fd: int) -> bool:
    try:
        return os.isatty(fd)
    except OSError:
        return False
