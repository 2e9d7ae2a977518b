"""The signals that end the console."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

from textual.app import App

if TYPE_CHECKING:
    from victor_engine.service.signals import Signals


def install_signals(app: App[str]) -> Signals:
    """Exit the application on a signal, also SIGHUP, in the same way as on the quit key."""
    from victor_engine.service.signals import Signals

    def stop(done: asyncio.Future[signal.Signals]) -> None:
        if not done.cancelled():
            app.exit(return_code=128 + done.result())

    signals = Signals()
    signals.received.add_done_callback(stop)
    signals.install()
    return signals
