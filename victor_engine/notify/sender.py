"""The sender of one message to one address. Apprise is imported when the first message is sent."""

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
"""Maximum seconds for one message. Services have shorter timeouts of their own (`?cto=` and `?rto=`)."""


class NotifyError(VictorError):
    """A notification was not sent. `details["permanent"]` is true if a retry cannot succeed."""

    code = "notify"


class Sender(Protocol):
    """The interface of a sender."""

    async def send(self, url: str, title: str, body: str) -> None:
        """Send one message. Raise NotifyError if the service does not accept it."""
        ...


def installed() -> bool:
    """Return whether Apprise is installed, without an import."""
    return importlib.util.find_spec("apprise") is not None


class Apprise:
    """The sender that uses Apprise, in a thread for each message.

    The thread is a daemon thread, so that an address that hangs delays neither the engine nor the process exit.
    """

    async def send(self, url: str, title: str, body: str) -> None:
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await _in_thread(lambda: _send(url, title, body))
        except TimeoutError:
            raise NotifyError(f"no response within {SEND_SECONDS:.0f} s") from None


def _send(url: str, title: str, body: str) -> None:
    try:
        apprise: Any = importlib.import_module("apprise")
    except ImportError:
        raise NotifyError(f"Apprise is not installed; install it with: {INSTALL}") from None
    messenger = apprise.Apprise(asset=apprise.AppriseAsset(async_mode=False, app_id="victor"))
    with apprise.LogCapture(level=apprise.logging.WARNING, fmt="%(message)s") as output:
        if not messenger.add(url):
            raise NotifyError("Apprise does not accept this address", permanent=True)
        # Send plain text, so that text of users and workflows is never markup of the service.
        sent = messenger.notify(title=title, body=body, body_format=apprise.NotifyFormat.TEXT)
        reasons = [line for line in output.getvalue().splitlines() if line.strip()]
    if not sent:
        raise NotifyError(
            reasons[-1].strip().rstrip(".") if reasons else "the service did not accept the message"
        )


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
        except RuntimeError:  # the loop is closed, so no task waits for the result
            pass

    threading.Thread(target=run, name="victor-notify", daemon=True).start()
    return await future
