"""Free memory goes back to the operating system after clients that sent much.

The C library keeps freed memory for later allocations, and gives back only what is free at the end of its heap. After a
flood of messages a small object at that end can hold a hundred megabytes.
"""

from __future__ import annotations

import ctypes


def give_back() -> None:
    """Give free memory back. Does nothing with a C library other than glibc."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
