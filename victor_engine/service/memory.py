"""The settings of the garbage collector for a process that runs an engine for a long time."""

from __future__ import annotations

import gc

ALLOCATIONS = 10_000
"""Allocations before the collector of the youngest generation runs. Reference counting frees nearly all
objects of a step earlier."""


def settle() -> None:
    """Exclude the present objects from garbage collection, since they live as long as the process."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(ALLOCATIONS, 20, 20)


__all__ = ["settle"]
