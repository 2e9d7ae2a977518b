"""Storage outages: the errors that cause them, their messages, and the transitions that wait for their end.

Causes are a full disk, a file system that became read-only, a failing device, or another process that locks the
database. They are temporary, and not caused by the transition that fails.
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
"""Seconds between two retries during an outage."""

PLENTY = 64 * 1024 * 1024
"""Free bytes from which the disk itself is not full."""

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
    """A submitted transition. A `patient` job waits for the end of an outage; a `probe` tests for it."""

    run: Callable[[Tx], Any]
    future: asyncio.Future[Any]
    patient: bool = False
    probe: bool = False
    plain: bool = False  # see store.group
    result: Any = None
    error: BaseException | None = None


@dataclass(slots=True)
class Outage:
    """One storage outage. Owned by the writer thread.

    Patient jobs are held and retried in order, each alone, so that a transition never overtakes an earlier one of the
    same run.
    """

    since: datetime
    error: StorageError
    held: deque[Job] = field(default_factory=deque)

    def sort(self, group: Iterable[Job]) -> tuple[list[Job], list[Job]]:
        """Hold the patient jobs. Return the other jobs, marked as refused, and the probes."""
        refused, probes = [], []
        for job in group:
            if job.probe:
                probes.append(job)
            elif job.patient:
                job.error = None
                self.held.append(job)
            else:
                job.error = StorageError(f"{self.error.message}. Nothing was changed; try again after that")
                refused.append(job)
        return refused, probes

    def retry(self, commit: Callable[[Job], bool]) -> bool:
        """Retry the held jobs. Return True if none is left. `commit` returns False if the storage fails again."""
        while self.held:
            job = self.held[0]
            if not commit(job):
                assert isinstance(job.error, StorageError)
                self.error, job.error = job.error, None
                return False
            self.held.popleft()
        return True

    def give_up(self) -> list[Job]:
        """Fail the held jobs, and return them."""
        given_up = list(self.held)
        self.held.clear()
        for job in given_up:
            job.error = StorageError(self.error.message)
        return given_up

    @property
    def info(self) -> StorageInfo:
        return StorageInfo(since=self.since, message=self.error.message, waiting=len(self.held))


def storage_code(error: BaseException) -> int | None:
    """Return SQLite's primary result code if the storage, not the statement, caused the error; None otherwise."""
    code = getattr(error, "sqlite_errorcode", None) if isinstance(error, sqlite3.Error) else None
    return code & 0xFF if code is not None and code & 0xFF in _PASSING else None


def storage_error(path: Path, error: BaseException) -> StorageError | None:
    """Return the StorageError for an error of SQLite; None if the storage did not cause it."""
    code = storage_code(error)
    if code is None:
        return None
    if code == sqlite3.SQLITE_FULL:
        # With free space left, a quota is full, or the transition is larger than the free space.
        disk = "the disk" if (_free_bytes(path) or 0) < PLENTY else "the disk, or a quota on it,"
        cause = f"{disk} is full ({_free(path)} free); free some space"
    elif code == sqlite3.SQLITE_READONLY:
        cause = "it is read-only; make it writable again"
    elif code == sqlite3.SQLITE_BUSY:
        cause = "another process has the database locked; end that process"
    else:
        cause = f"the file system fails: {error} ({_free(path)} free); check the disk"
    return StorageError(f"{path} cannot be written: {cause}")


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
