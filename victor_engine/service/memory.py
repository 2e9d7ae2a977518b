"""How a process that runs an engine for long goes about its memory."""

from __future__ import annotations

import gc

ALLOCATIONS = 10_000
"""Objects that come to be before the collector passes. Nearly all that a step makes is gone by then without
it."""


def settle() -> None:
    """What is there now stays as long as the process: the collector need not look at it with each pass."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(ALLOCATIONS, 20, 20)


__all__ = ["settle"]
