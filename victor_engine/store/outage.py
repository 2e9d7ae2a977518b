"""When the file system takes nothing: which errors mean that, and how it is said.

A full disk, a file system that has become read-only, a device that fails, another process that holds
the database locked: all of them pass, and none of them is the fault of the transition that met it.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from victor_engine.api import StorageInfo
from victor_engine.errors import StorageError

if TYPE_CHECKING:
    from victor_engine.store.transaction import Tx

RETRY_SECONDS = 1.0
"""How long the writer waits before it tries again whether the storage takes something."""

PLENTY = 64 * 1024 * 1024
"""Free bytes from which on a disk is not full for everybody."""

_PASSING = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
    }
)


@dataclass(slots=True)
class Job:
    """A transition on its way to the disk. A `patient` one may wait until the storage takes it; a
    `probe` asks whether it does again."""

    run: Callable[[Tx], Any]
    future: asyncio.Future[Any]
    patient: bool = False
    probe: bool = False
    plain: bool = False  # see store.group
    result: Any = None
    error: BaseException | None = None


@dataclass(slots=True)
class Outage:
    """A time in which the storage takes nothing. Owned by the writer's thread.

    What may wait is held in the order in which it came, and tried again in that order, each alone: a
    transition never overtakes one that may have been submitted before it by the same run.
    """

    since: datetime
    error: StorageError
    held: deque[Job] = field(default_factory=deque)

    def sort(self, group: Iterable[Job]) -> tuple[list[Job], list[Job]]:
        """Hold back what may wait; returns the rest, marked as refused, and the probes."""
        refused, probes = [], []
        for job in group:
            if job.probe:
                probes.append(job)
            elif job.patient:
                job.error = None
                self.held.append(job)
            else:
                job.error = StorageError(f"{self.error.message}. Nothing was changed: try again then")
                refused.append(job)
        return refused, probes

    def retry(self, commit: Callable[[Job], bool]) -> bool:
        """Try what is held; True if nothing is left. `commit` says False where the storage failed again."""
        while self.held:
            job = self.held[0]
            if not commit(job):
                assert isinstance(job.error, StorageError)
                self.error, job.error = job.error, None
                return False
            self.held.popleft()
        return True

    def give_up(self) -> list[Job]:
        """Nobody tries again: what is held fails."""
        given_up = list(self.held)
        self.held.clear()
        for job in given_up:
            job.error = StorageError(self.error.message)
        return given_up

    @property
    def info(self) -> StorageInfo:
        return StorageInfo(since=self.since, message=self.error.message, waiting=len(self.held))


def storage_code(error: BaseException) -> int | None:
    """SQLite's primary result code, if the error says that the storage and not the statement is at fault."""
    code = getattr(error, "sqlite_errorcode", None) if isinstance(error, sqlite3.Error) else None
    return code & 0xFF if code is not None and code & 0xFF in _PASSING else None


def storage_error(path: Path, error: BaseException) -> StorageError | None:
    """What an error of SQLite means in plain words; None if the storage is not at fault."""
    code = storage_code(error)
    if code is None:
        return None
    if code == sqlite3.SQLITE_FULL:
        # With room left it is a quota, or a transition that is larger than the room.
        what = "the disk" if (_free_bytes(path) or 0) < PLENTY else "the disk, or a quota on it,"
        said = f"{what} is full ({_free(path)} free); make room there"
    elif code == sqlite3.SQLITE_READONLY:
        said = "it is read-only; make it writable again"
    elif code == sqlite3.SQLITE_BUSY:
        said = "another process holds the database locked; end what works on the file"
    else:
        said = f"the file system fails: {error} ({_free(path)} free); look at the disk"
    return StorageError(f"{path} cannot be written: {said}")


def _free_bytes(path: Path) -> int | None:
    try:
        status = os.statvfs(path.parent)
    except OSError:
        return None
    return status.f_bavail * status.f_frsize


def _free(path: Path) -> str:
    found = _free_bytes(path)
    if found is None:
        return "an unknown amount"
    free = float(found)
    for unit in ("B", "KB", "MB"):
        if free < 1024:
            return f"{free:.0f} {unit}"
        free /= 1024
    return f"{free:.1f} GB"
