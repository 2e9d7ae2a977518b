"""A transition that is written before its time and committed at it.

What a crowd of rows costs is to work them out, to write them into the pages, and to bring the pages to
the disk. All of that can be done before the crowd is due, in a transaction that stays open: nobody sees
any of it, and a crash leaves nothing of it. At its time there is one short COMMIT to do.

It is in nobody's way. What happens in runs (`Store.persist`) is written right after it. Where anything else
wants to be written before its time, it is given up as if it had never been: what people ask for before
the moment comes before it. That is so while it is being written, too: it is broken off where it calls
`Tx.checkpoint`. So whoever writes ahead has to be ready to write in time, as always.
"""

from __future__ import annotations

import asyncio
import os
import queue
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Generic, TypeVar

from victor_engine.api import EventInfo
from victor_engine.clock import Clock
from victor_engine.errors import VictorError
from victor_engine.store.group import roll_back, run_group
from victor_engine.store.outage import Job
from victor_engine.store.transaction import Tx

T = TypeVar("T")

PAGES_KEPT = 64
"""Changed pages that are not in the log yet when the time comes: what COMMIT has to write."""


class OvertakenError(Exception):
    """What is being written ahead is given up already."""


@dataclass(slots=True, kw_only=True)
class AheadJob(Job):
    """Written alone, as if it were `at` already. Its result is None if it was given up.

    `overtaken`: something has come for which it has to be.
    """

    at: datetime
    overtaken: bool = False

    def checkpoint(self) -> None:
        """See `Tx.checkpoint`."""
        if self.overtaken:
            raise OvertakenError


@dataclass(frozen=True, slots=True)
class Signal:
    """The time of a job has come, or will not."""

    job: AheadJob
    commit: bool


Item = Job | Signal | None
"""What the writer is sent; None is the end."""


def _overtakes(item: Item) -> bool:
    """Whether what was written ahead before it has to be given up for it."""
    if isinstance(item, Signal):
        return not item.commit
    return item is None or not item.patient


class Inbox:
    """What the writer has to do, in order."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Item] = queue.SimpleQueue()
        self._put_by: deque[Item] = deque()
        self._ahead: AheadJob | None = None

    def put(self, item: Item) -> None:
        """From any thread."""
        if self._ahead is not None and _overtakes(item):
            self._ahead.overtaken = True
            self._ahead = None
        if isinstance(item, AheadJob):
            self._ahead = item
        self._queue.put(item)

    def group(self, limit: int) -> list[Job]:
        """Wait for what is to be written together, at most `limit`; one that is written ahead is alone.

        Nothing is the end.
        """
        group: list[Job] = []
        while len(group) < limit:
            try:
                item = self._put_by.popleft() if self._put_by else self._queue.get(block=not group)
            except queue.Empty:
                break
            if isinstance(item, Signal):
                continue  # what it belongs to was given up before
            if item is None or (group and isinstance(item, AheadJob)):
                self._put_by.appendleft(item)
                break
            group.append(item)
            if isinstance(item, AheadJob):
                break
        return group

    def its_time(self, job: AheadJob, clock: Clock) -> bool:
        """Wait for the word on a job that is written; False if it has to be given up. The rest comes later."""
        if self._put_by:
            return False
        while True:
            item = self._queue.get()
            if isinstance(item, Signal):
                if item.job is job:
                    return item.commit and clock.now() >= job.at
                continue
            self._put_by.append(item)
            if _overtakes(item):
                return False


@contextmanager
def spilling(connection: sqlite3.Connection, path: Path) -> Iterator[Callable[[], None]]:
    """Within it, changed pages go to the log as others are changed, and no COMMIT moves the log into the file.

    It gives a function that brings to the disk what the log has until then.
    """
    (pages,) = connection.execute("PRAGMA cache_size").fetchone()
    (checkpoint,) = connection.execute("PRAGMA wal_autocheckpoint").fetchone()
    connection.execute(f"PRAGMA cache_size = {PAGES_KEPT}")
    connection.execute("PRAGMA wal_autocheckpoint = 0")

    def sync() -> None:
        # Best effort: COMMIT sees to it anyway, and tells of what fails.
        with suppress(OSError):
            log = os.open(f"{path}-wal", os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(log)
            finally:
                os.close(log)

    try:
        yield sync
    finally:
        connection.execute(f"PRAGMA cache_size = {pages}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {checkpoint}")


def write_ahead(
    job: AheadJob,
    connection: sqlite3.Connection,
    begin: Callable[[sqlite3.Connection, datetime], Tx],
    sync: Callable[[], None],
    its_time: Callable[[], bool],
) -> list[EventInfo]:
    """Run a transition, wait, and commit it if `its_time`; gives its events.

    Whatever goes wrong, it is given up: who wanted it meets the same again when it is due, and tells of it.
    """
    try:
        tx = begin(connection, job.at)
        tx.checkpoint = job.checkpoint
        run_group(tx, [job])
        if job.error is None and not job.overtaken:
            sync()
            if its_time():
                connection.execute("COMMIT")
                return tx.events
    except (sqlite3.Error, VictorError):
        pass
    roll_back(connection)
    job.result = job.error = None
    return []


@dataclass(slots=True)
class Ahead(Generic[T]):
    """What is written ahead, in the hands of whoever wanted it. One of `commit` and `give_up` has to be called."""

    outcome: asyncio.Future[T | None]
    """Done when it was committed or given up."""
    _job: AheadJob
    _send: Callable[[Item], None]
    _told: bool = False

    async def commit(self) -> T | None:
        """Its time has come: commit it. None if it was given up, and has to be written as always."""
        self._tell(True)
        return await self.outcome

    def give_up(self) -> None:
        """Forget it, unless it is to be committed already."""
        self._tell(False)

    def _tell(self, commit: bool) -> None:
        if not self._told:
            self._told = True
            self._send(Signal(self._job, commit))


__all__ = ["Ahead", "AheadJob", "Inbox", "Signal", "spilling", "write_ahead"]
