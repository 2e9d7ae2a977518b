"""Getting the main screens ready while nobody waits for anything, so that the first look at one is quick.

Of the time to a screen that was never shown, most is importing it, composing it and reading what it shows.
That is done after the first screen has shown its rows, one screen at a time and never right behind a key.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable

from victor_tui.keys import SCREENS

LULL = 0.15
"""Seconds without a key before each step."""


async def warm(lull: Callable[[], float], build: Callable[[str], Awaitable[None]]) -> None:
    """Build the main screens that were not shown yet; `lull` says for how many seconds no key has come."""
    for mode, _, _ in SCREENS:
        while (rest := LULL - lull()) > 0:
            await asyncio.sleep(rest)
        await build(mode)
        await asyncio.sleep(0)
    # What stands now stays: to look for garbage among it took 50 ms, often between a key and its screen.
    gc.freeze()
