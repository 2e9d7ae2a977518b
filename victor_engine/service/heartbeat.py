"""The heartbeat of a daemon: the time of a file, requests to a URL, or messages of rules, which a monitor watches.

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
    rules: asyncio.Task[None] | None = None
    while True:
        settings = engine.workspace.config.scheduler
        if engine.alive() and engine.store.outage is None:
            if (
                rules is None or rules.done()
            ):  # a rule with a slow address delays neither the file nor the URL
                rules = asyncio.create_task(engine.notifier.beat(), name="victor-heartbeat")
            if settings.heartbeat:
                failing = await _beat_once(settings.heartbeat, failing)
        await asyncio.sleep(settings.heartbeat_interval)


async def _beat_once(target: str, failing: bool) -> bool:
    """Beat, and return whether that fails. `failing` is whether it failed before."""
    try:
        await asyncio.to_thread(beat, target)
    except Exception as error:
        if not failing:
            log.warning("the heartbeat to %s fails: %s", target, error)
        return True
    if failing:
        log.warning("the heartbeat to %s works again", target)
    return False


__all__ = ["beat", "watch"]
