"""The preparation of the main screens while the user is idle, so that they open quickly.

Most of the time to the first view of a screen is importing it, composing it and loading its data. This is
done after the first screen has shown its rows, one screen at a time, and not directly after a key.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable

from victor_tui.keys import SCREENS

IDLE_SECONDS = 0.15
"""Time in seconds without a key before each step."""


async def prepare(idle_seconds: Callable[[], float], build: Callable[[str], Awaitable[None]]) -> None:
    """Build the main screens. `idle_seconds` returns the seconds since the last key."""
    for mode, _, _ in SCREENS:
        while (rest := IDLE_SECONDS - idle_seconds()) > 0:
            await asyncio.sleep(rest)
        await build(mode)
        await asyncio.sleep(0)
    # These objects stay. Without the freeze, a collection took 50 ms, often between a key and its screen.
    gc.freeze()
