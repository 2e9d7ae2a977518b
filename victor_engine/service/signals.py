"""The ways in which a process is told to end: signals, and a terminal that goes away."""

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


class ToldToEndError(Exception):
    """The process was told to end by a signal, or its terminal is gone (which counts as SIGHUP)."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(number.name)
        self.number = number

    @property
    def exit_code(self) -> int:
        """Return the status that a shell reports for the signal."""
        return 128 + self.number


class Signals:
    """Takes SIGTERM, SIGINT and SIGHUP in the running loop, for the length of a `with` block, or from `take`
    to `give_back`.

    `told` gets the first signal; each further one calls `again`. A terminal of this process that goes
    away counts as SIGHUP, also where nothing sends that signal. A SIGHUP that the process was started
    with as ignored (`nohup`) stays ignored. Outside of the main thread nothing is taken.
    """

    def __init__(self) -> None:
        self.told: asyncio.Future[signal.Signals] = asyncio.get_running_loop().create_future()
        self.again: Callable[[], None] | None = None
        self._taken: list[signal.Signals] = []
        self._terminals: select.epoll | None = None
        self._heeding: asyncio.Task[None] | None = None

    def __enter__(self) -> Signals:
        self.take()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.give_back()

    def take(self) -> None:
        """Handle the signals from now on."""
        if threading.current_thread() is not threading.main_thread():
            return
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue
            loop.add_signal_handler(number, self.tell, number)
            self._taken.append(number)
        terminals = [fd for fd in (0, 1, 2) if _is_terminal(fd)]
        if terminals and signal.SIGHUP in self._taken:
            self._terminals = select.epoll()
            for fd in terminals:
                self._terminals.register(fd, 0)  # a hang-up is reported without being asked for
            loop.add_reader(self._terminals.fileno(), self._hung_up)

    def give_back(self) -> None:
        """Leave the signals to their default actions again."""
        loop = asyncio.get_running_loop()
        for number in self._taken:
            loop.remove_signal_handler(number)
        self._taken.clear()
        if self._heeding is not None:
            self._heeding.cancel()
        self._forget_terminals()
        self.told.cancel()

    async def unless_told(self, work: Coroutine[Any, Any, T]) -> T:
        """Await `work`. Raise `ToldToEndError` once it has let go, where a signal came before its end."""
        task = asyncio.ensure_future(work)
        try:
            either: set[asyncio.Future[Any]] = {task, self.told}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
        if task.cancelled() and self.told.done():
            raise ToldToEndError(self.told.result())
        return task.result()

    def tell(self, number: signal.Signals) -> None:
        """Act as if the signal had come."""
        if not self.told.done():
            self.told.set_result(number)
        elif self.again is not None:
            self.again()

    def heed(self, asked: asyncio.Event) -> None:
        """Count this event as SIGTERM."""

        async def wait() -> None:
            await asked.wait()
            self.tell(signal.SIGTERM)

        self._heeding = asyncio.create_task(wait())

    def _hung_up(self) -> None:
        """Let what is still written to the terminal go nowhere: an error there would get in the way of the end."""
        if self._terminals is None:
            return
        gone = [fd for fd, _ in self._terminals.poll(0)]
        self._forget_terminals()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for fd in gone:
            os.dup2(nowhere, fd)
        os.close(nowhere)
        self.tell(signal.SIGHUP)

    def _forget_terminals(self) -> None:
        if self._terminals is not None:
            asyncio.get_running_loop().remove_reader(self._terminals.fileno())
            self._terminals.close()
            self._terminals = None


def _is_terminal(fd: int) -> bool:
    try:
        return os.isatty(fd)
    except OSError:
        return False
