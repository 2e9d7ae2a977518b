"""Sending one message to one address. Apprise is imported when the first message is sent."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import threading
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from victor_engine.errors import VictorError

T = TypeVar("T")

INSTALL = "pip install 'victor-tui[notify]'"
SEND_SECONDS = 60.0
"""How long one message may take; services have shorter time-outs of their own (`?cto=` and `?rto=`)."""


class NotifyError(VictorError):
    """A message was not sent. `details["permanent"]` is true if a retry cannot succeed."""

    code = "notify"


class Sender(Protocol):
    """Sends one message; returns when it was taken, raises NotifyError where it was not."""

    async def send(self, url: str, title: str, body: str) -> None: ...


def installed() -> bool:
    """Whether Apprise is there. Imports nothing."""
    return importlib.util.find_spec("apprise") is not None


class Apprise:
    """Sends through Apprise, in a thread of its own.

    The thread is a daemon: an address that hangs holds up neither the engine nor the end of the process.
    """

    async def send(self, url: str, title: str, body: str) -> None:
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await _in_thread(lambda: _send(url, title, body))
        except TimeoutError:
            raise NotifyError(f"no answer within {SEND_SECONDS:.0f} s") from None


def _send(url: str, title: str, body: str) -> None:
    try:
        apprise: Any = importlib.import_module("apprise")
    except ImportError:
        raise NotifyError(f"apprise is not installed: {INSTALL}") from None
    messenger = apprise.Apprise(asset=apprise.AppriseAsset(async_mode=False, app_id="victor"))
    with apprise.LogCapture(level=apprise.logging.WARNING, fmt="%(message)s") as said:
        if not messenger.add(url):
            raise NotifyError("Apprise does not take this address", permanent=True)
        # As text: what people and workflows wrote is never markup of the service.
        sent = messenger.notify(title=title, body=body, body_format=apprise.NotifyFormat.TEXT)
        reasons = [line for line in said.getvalue().splitlines() if line.strip()]
    if not sent:
        raise NotifyError(reasons[-1].strip().rstrip(".") if reasons else "the service did not take it")


async def _in_thread(work: Callable[[], T]) -> T:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except VictorError as known:
            error = known
        except Exception as unknown:
            error = NotifyError(f"{type(unknown).__name__}: {unknown}")
        try:
            loop.call_soon_threadsafe(settle, result, error)
        except RuntimeError:  # the loop is gone: nobody waits any more
            pass

    threading.Thread(target=run, name="victor-notify", daemon=True).start()
    return await future
