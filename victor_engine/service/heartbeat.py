"""The heartbeat of a daemon: the time of a file, or requests to a URL, that a monitor watches.

The heart beats while the engine works: its event loop makes turns, and its store accepts writes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import urllib.request
from pathlib import Path

from victor_engine.engine import Engine
from victor_engine.private import open_file

log = logging.getLogger(__name__)

URL_SECONDS = 10.0


def beat(target: str) -> None:
    """Set the time of a file to now, or request a URL. Blocks. Raise OSError if that fails."""
    if target.startswith("/"):
        path = Path(target)
        os.close(open_file(path, os.O_WRONLY))
        os.utime(path)
        return
    # The reader of the configuration accepts http and https only.
    request = urllib.request.Request(target, headers={"User-Agent": "victor"})
    with urllib.request.urlopen(request, timeout=URL_SECONDS) as response:
        response.read(1)


async def watch(engine: Engine) -> None:
    """Beat at the interval of the configuration. An error is logged when it begins, and so is its end."""
    failing = False
    while True:
        settings = engine.workspace.config.scheduler
        if settings.heartbeat and engine.alive() and engine.store.outage is None:
            try:
                await asyncio.to_thread(beat, settings.heartbeat)
            except Exception as error:
                if not failing:
                    log.warning("the heartbeat to %s fails: %s", settings.heartbeat, error)
                failing = True
            else:
                if failing:
                    log.warning("the heartbeat to %s works again", settings.heartbeat)
                failing = False
        await asyncio.sleep(settings.heartbeat_interval)


__all__ = ["beat", "watch"]
