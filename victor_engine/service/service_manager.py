"""The protocol of systemd's sd_notify: readiness, status, reload, stop and watchdog, over `NOTIFY_SOCKET`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import MutableMapping

from victor_engine.engine import Engine
from victor_engine.errors import VictorError

log = logging.getLogger(__name__)

STATUS_SECONDS = 15.0
"""Seconds between two updates of the status, if the watchdog does not ask for shorter ones."""

ENDING_SECONDS = 60.0
"""Seconds after the drain in which commands get their grace and the store is closed."""


class ServiceManager:
    """Messages to the service manager that started this process. Without one, every method does nothing.

    The messages are sent from the event loop, so a blocked loop sends none, and the service manager restarts the process.
    """

    def __init__(self, address: str = "", watchdog: float | None = None) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._watchdog = watchdog
        self._failed = False
        self._stopping = False

    @classmethod
    def of_process(cls, environ: MutableMapping[str, str] = os.environ) -> ServiceManager:
        """Return the service manager of this process, and remove its variables, which are not for commands."""
        address = environ.pop("NOTIFY_SOCKET", "")
        usec, pid = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
        mine = not pid or pid == str(os.getpid())
        seconds = int(usec) / 1_000_000 if usec.isdigit() and int(usec) > 0 and mine else None
        return cls(address if address.startswith(("/", "@")) else "", seconds)

    def send(self, *lines: str) -> None:
        """Send assignments in one message. An error is logged once, and the engine continues."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)
                sender.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            if not self._failed:
                log.warning("the service manager cannot be notified at %s: %s", self._address, error)
            self._failed = True

    def ready(self) -> None:
        """Report that the engine answers."""
        self.send("READY=1", f"MAINPID={os.getpid()}")

    def reloading(self) -> None:
        """Report that the files are read again. `ready` follows."""
        self.send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}", "STATUS=reading the files")

    def stopping(self, drain: float) -> None:
        """Report that the engine stops, and how long that can take."""
        self._stopping = True
        usec = int((drain + ENDING_SECONDS) * 1_000_000)
        self.send("STOPPING=1", f"EXTEND_TIMEOUT_USEC={usec}", "STATUS=waiting for active nodes to end")

    async def watch(self, engine: Engine) -> None:
        """Report the status of the engine, and feed the watchdog at twice the rate that it needs."""
        if not self._address:
            return
        interval = min(STATUS_SECONDS, self._watchdog / 2) if self._watchdog is not None else STATUS_SECONDS
        while True:
            if self._watchdog is not None and engine.alive():
                self.send("WATCHDOG=1")
            if not self._stopping:
                with contextlib.suppress(VictorError):
                    self.send(f"STATUS={await status_text(engine)}")
            await asyncio.sleep(interval)


async def status_text(engine: Engine) -> str:
    """Return the state of an engine as one line, for `systemctl status`."""
    info = await engine.engine()
    if info.storage is not None:
        return f"storage outage: {info.storage.message}".replace("\n", " ")
    text = f"{info.running} running, {info.queued} queued, {info.waiting} waiting, {info.open_requests} open requests"
    return f"draining: {text}" if info.draining is not None else text


__all__ = ["ServiceManager", "status_text"]
