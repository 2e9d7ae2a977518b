"""The log of a daemon in the background, which is begun anew when it is large. Earlier logs are kept for some time."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

from victor_engine.private import open_file

LARGEST = 10_000_000
"""Bytes from which a log is begun anew."""

KEPT = 3
"""The number of earlier logs: `engine.log.1` is the newest."""

CHECK_SECONDS = 10.0


def is_output(path: Path) -> bool:
    """Return whether the standard output of this process is the file at `path`."""
    try:
        output, file = os.fstat(1), os.stat(path)
    except OSError:
        return False
    return stat.S_ISREG(output.st_mode) and (output.st_dev, output.st_ino) == (file.st_dev, file.st_ino)


def rotate(path: Path) -> None:
    """Rename the log, and redirect the standard output and the standard error of this process to a new one."""
    for number in range(KEPT, 0, -1):
        earlier = path if number == 1 else path.with_name(f"{path.name}.{number - 1}")
        if earlier.exists():
            earlier.replace(path.with_name(f"{path.name}.{number}"))
    fresh = open_file(path, os.O_WRONLY | os.O_APPEND)
    try:
        for descriptor in (1, 2):
            os.dup2(fresh, descriptor)
    finally:
        os.close(fresh)


async def watch(path: Path) -> None:
    """Begin the log at `path` anew whenever it is too large. Return at once if the output goes elsewhere."""
    while is_output(path):
        if os.fstat(1).st_size > LARGEST:
            rotate(path)
        await asyncio.sleep(CHECK_SECONDS)


__all__ = ["KEPT", "LARGEST", "is_output", "rotate", "watch"]
