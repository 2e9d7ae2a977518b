"""Measuring how much processor time each turn of the event loop takes."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

LIMIT = 0.05
"""Seconds of processor time that a turn may take, whatever an engine reads meanwhile."""


@contextmanager
def turns() -> Iterator[list[float]]:
    """Give the processor times of the turns of the running loop so far, in seconds.

    Processor time is that of the loop's thread alone, so that a loaded machine changes nothing. The garbage
    collector is spared the objects of the test session, which are no affair of the engine.
    """
    loop: Any = asyncio.get_running_loop()
    found: list[float] = []
    turn = loop._run_once

    def measured() -> None:
        before = time.thread_time()
        turn()
        found.append(time.thread_time() - before)

    gc.collect()
    gc.freeze()
    loop._run_once = measured
    try:
        yield found
    finally:
        loop._run_once = turn
