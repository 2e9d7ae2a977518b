"""The measurement of the processor time of each iteration of the event loop."""

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
    """Yield the processor times of the iterations of the running loop so far, in seconds.

    Processor time is that of the loop's thread alone, so that a loaded machine changes nothing. The garbage
    collector skips the objects of the test session, which do not belong to the engine.
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
