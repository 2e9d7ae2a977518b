"""The identity of the files of a store, so that an engine notices when one is removed or replaced.

SQLite keeps the files open, so a commit into a removed file succeeds, and its content is lost when the engine ends.
"""

from __future__ import annotations

import os
from pathlib import Path

from victor_engine.errors import StorageError

Identity = tuple[int, int]
"""Device and inode of a file."""


def identity_of(path: str) -> Identity | None:
    """Return the identity of a file; None if it does not exist."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


class OpenFiles:
    """The database and its write-ahead log, as they were when they were opened."""

    def __init__(self, path: Path) -> None:
        self._database = str(path)
        self._log = f"{path}-wal"
        self._opened = identity_of(self._database)
        self._opened_log: Identity | None = None
        self._lock: tuple[str, Identity | None] | None = None

    def watch(self, lock: Path) -> None:
        """Also check the file of the lock, because without it another engine can use the store."""
        self._lock = str(lock), identity_of(str(lock))

    def check(self) -> None:
        """Raise StorageError if a file was removed or replaced since it was opened."""
        if identity_of(self._database) != self._opened:
            raise self._gone(self._database)
        log = identity_of(self._log)
        if self._opened_log is None:
            self._opened_log = log  # SQLite creates it for the first transaction
        elif log != self._opened_log:
            raise self._gone(self._log)
        if self._lock is not None and identity_of(self._lock[0]) != self._lock[1]:
            raise StorageError(
                f"{self._lock[0]}: the lock file was removed or replaced while the engine runs, so another engine could "
                "use the same store. Stop this engine, and start it again"
            )

    @staticmethod
    def _gone(path: str) -> StorageError:
        return StorageError(
            f"{path} cannot be written: the file was removed or replaced while the engine runs. Put it back, or stop "
            "the engine, restore a copy, and start it again"
        )
