"""The database: one writer thread with group commit, and reader threads with their own connections.

A transition is a function of a `Tx`. All transitions that are ready at the same time share one transaction, each under
a savepoint of its own, so that a failed transition does not affect the others. Each caller resumes when the transaction
is on disk. The epoch is checked once in each transaction.

During a storage outage, `write` fails at once, and `persist` holds transitions back until writes succeed again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import ClassVar, TypeVar

from victor_engine.api import EventInfo, StorageInfo
from victor_engine.clock import Clock, SystemClock, from_us, to_us
from victor_engine.errors import FencedError, StorageError, StoreError, VictorError
from victor_engine.events import EventKind
from victor_engine.exclusion import Excluded, nothing_excluded
from victor_engine.private import make_directory, open_file
from victor_engine.store import pragmas, schema
from victor_engine.store.connecting import connect
from victor_engine.store.file_identity import OpenFiles
from victor_engine.store.group import roll_back, run_group
from victor_engine.store.outage import RETRY_SECONDS, Job, Outage, storage_error
from victor_engine.store.transaction import Tx, actor_from_json, actor_json

T = TypeVar("T")

log = logging.getLogger(__name__)

MAX_GROUP = 512
"""The maximum number of transitions in one transaction. It bounds the time for which the first waits for the last."""


class Store:
    """One SQLite file, used from asyncio: `write` and `persist` for transitions, `read` for queries."""

    transaction: ClassVar[type[Tx]] = Tx
    """The class of its transactions; the tests set one that checks the locks."""

    def __init__(self, path: Path, *, clock: Clock | None = None) -> None:
        self.path = path
        self.clock: Clock = clock or SystemClock()
        self.epoch = 0
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._ending = False
        self._listeners: list[Callable[[list[EventInfo]], None]] = []
        self.on_fenced: Callable[[FencedError], None] = lambda error: None
        """Called in the loop, once, when a newer engine has taken over."""
        self._fenced = False
        self.on_storage: Callable[[StorageInfo | None], None] = lambda info: None
        """Called in the event loop when a storage outage begins, and with None when it ends."""
        self.on_commit: Callable[[float], None] = lambda seconds: None
        """Called in the writer thread with the duration of each transaction."""
        self.excluded: Excluded = nothing_excluded
        self._patient = False
        self._outage: Outage | None = None
        self._takes = asyncio.Event()
        self._takes.set()
        self._prober: asyncio.Task[None] | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._unreadable = False
        self._local = threading.local()
        self._readers: list[sqlite3.Connection] = []
        self._readers_lock = threading.Lock()
        self._pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="victor-read")
        # Only the owner may read it. SQLite creates the log files with the same mode.
        try:
            os.close(open_file(Path(path), os.O_RDWR))
        except OSError as error:
            raise StoreError(f"{path}: cannot open the database: {error.strerror or error}") from error
        self._writer: sqlite3.Connection | None = connect(path)
        schema.migrate(self._writer, str(path))
        self.files = OpenFiles(path)

    # --- writing ---------------------------------------------------------------------------

    def begin_epoch(self) -> int:
        """Start a new epoch, so that later writes of an older engine fail. Call it while holding the engine lock."""
        writer = self._require_writer()
        try:
            writer.execute("BEGIN IMMEDIATE")
            row = writer.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()
            self.epoch = (int(row[0]) if row else 0) + 1
            writer.execute(
                "INSERT INTO meta (key, value) VALUES ('epoch', ?)"
                " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                (self.epoch,),
            )
            writer.execute("COMMIT")
        except BaseException as error:
            if writer.in_transaction:
                writer.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise self._store_error(error) from error
            raise
        return self.epoch

    def start(self, *, patient: bool = False) -> None:
        """Start the writer thread for the running event loop. If `patient` is false, `persist` acts as `write`."""
        self._require_writer()
        self._patient = patient
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._write_loop, name="victor-writer", daemon=True)
        self._thread.start()

    def listen(self, listener: Callable[[list[EventInfo]], None]) -> None:
        """Call `listener` in the loop with the events of each committed group, in order."""
        self._listeners.append(listener)

    def write(self, transition: Callable[[Tx], T], *, plain: bool = False) -> asyncio.Future[T]:
        """Submit one transition. The future has its result or exception when the transaction is on disk.

        The transition commits even if its caller is cancelled. StorageError means that the file system refuses writes
        and nothing was changed. For `plain` see `store.group`.
        """
        return self._submit(transition, plain=plain)

    def persist(self, transition: Callable[[Tx], T], *, plain: bool = False) -> asyncio.Future[T]:
        """Submit a transition for a fact that has happened already. During a storage outage it waits for the end.

        The transition can run more than once; only its last run is committed. For `plain` see `store.group`.
        """
        return self._submit(transition, patient=self._patient, plain=plain)

    def _submit(
        self,
        transition: Callable[[Tx], T],
        *,
        patient: bool = False,
        probe: bool = False,
        plain: bool = False,
    ) -> asyncio.Future[T]:
        if self._closed or self._loop is None:
            raise StoreError(f"{self.path}: the store is closed")
        future: asyncio.Future[T] = self._loop.create_future()
        self._jobs.put(Job(transition, future, patient, probe, plain))
        return future

    @property
    def outage(self) -> StorageInfo | None:
        """The current storage outage: its start, its cause and the number of waiting transitions; or None."""
        outage = self._outage
        return None if outage is None else outage.info

    async def writable(self) -> None:
        """Wait until the file system accepts writes, or until this engine is fenced or closed."""
        await self._takes.wait()

    def hurry(self) -> None:
        """Prepare for the shutdown: retry waiting transitions once, and do not wait in `persist` any more."""
        self._patient = False
        if self._outage is not None and self._loop is not None:
            self._jobs.put(Job(lambda tx: None, self._loop.create_future(), probe=True))

    def _require_writer(self) -> sqlite3.Connection:
        if self._writer is None:
            raise StoreError(f"{self.path}: the store is closed")
        return self._writer

    def _write_loop(self) -> None:
        try:
            while group := self._next_group():
                if self._outage is None:
                    self._commit_and_report(group)
                else:
                    self._during(self._outage, group)
        except RuntimeError:  # the event loop is closed, so no caller is left
            return
        if self._outage is not None and self._loop is not None:
            self._outage.retry(self._commit_one)
            self._loop.call_soon_threadsafe(self._deliver, self._outage.give_up(), [])

    def _next_group(self) -> list[Job]:
        """Wait for jobs and return those that are ready, at most MAX_GROUP. An empty list means that the store closes."""
        group: list[Job] = []
        while not self._ending and len(group) < MAX_GROUP:
            try:
                job = self._jobs.get(block=not group)
            except queue.Empty:
                break
            if job is None:
                self._ending = True
            else:
                group.append(job)
        return group

    def _commit_and_report(self, group: list[Job]) -> None:
        events = self._commit_group(group)
        assert self._loop is not None
        failure = group[0].error
        if isinstance(failure, StorageError):
            self._outage = Outage(self.clock.now(), failure)
            group, _ = self._outage.sort(group)
            self._loop.call_soon_threadsafe(self._outage_begins)
        self._loop.call_soon_threadsafe(self._deliver, group, events)

    def _during(self, outage: Outage, group: list[Job]) -> None:
        """Process jobs during an outage: hold them back, refuse them, or retry with a probe."""
        assert self._loop is not None
        refused, probes = outage.sort(group)
        for probe in probes:
            if outage.retry(self._commit_one) and self._commit_one(probe):
                self._outage = None
            elif probe.error is None:
                probe.error = outage.error
                refused.append(probe)
        if not self._patient:
            refused += outage.give_up()
        self._loop.call_soon_threadsafe(self._deliver, refused, [])

    def _commit_one(self, job: Job) -> bool:
        """Commit one transition alone and report to its caller. Return False if the storage refuses it."""
        assert self._loop is not None
        events = self._commit_group([job])
        if isinstance(job.error, StorageError) and not job.probe:
            return False
        self._loop.call_soon_threadsafe(self._deliver, [job], events)
        return not isinstance(job.error, StorageError)

    def _commit_group(self, group: list[Job]) -> list[EventInfo]:
        connection = self._require_writer()
        events: list[EventInfo] = []
        began = time.perf_counter()
        try:
            tx = self._begin(connection, self.clock.now())
            run_group(tx, group)
            connection.execute("COMMIT")
            events = tx.events
            self.on_commit(time.perf_counter() - began)
        except BaseException as error:
            roll_back(connection)
            reason = error if isinstance(error, VictorError) else self._store_error(error)
            for job in group:
                job.error = reason
        return events

    def _begin(self, connection: sqlite3.Connection, now: datetime) -> Tx:
        self.files.check()
        connection.execute("BEGIN IMMEDIATE")
        self._check_epoch(connection)
        return self.transaction(connection, now, self.excluded)

    def _check_epoch(self, connection: sqlite3.Connection) -> None:
        row = connection.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()
        if row is None or int(row[0]) != self.epoch:
            raise FencedError(
                f"{self.path}: a newer engine has taken over (epoch {row[0] if row else '?'}, "
                f"this one has {self.epoch}); nothing was written"
            )

    def _store_error(self, error: BaseException) -> StoreError:
        return storage_error(self.path, error) or StoreError(f"{self.path}: cannot write: {error}")

    def _deliver(self, group: Iterable[Job], events: list[EventInfo]) -> None:
        for job in group:
            if job.future.done():
                continue
            if job.error is not None:
                failed = job.error
                error = self._store_error(failed) if isinstance(failed, sqlite3.Error) else failed
                job.future.set_exception(error)
                # Mark the exception as retrieved, in case the caller was cancelled.
                job.future.exception()
                if isinstance(error, FencedError) and not self._fenced:
                    self._fenced = True
                    self.on_fenced(error)
            else:
                job.future.set_result(job.result)
        if events:
            for listener in self._listeners:
                listener(events)

    # --- storage outage --------------------------------------------------------------------

    def _outage_begins(self) -> None:
        outage = self.outage
        if outage is None:
            return
        log.critical(
            "%s. No runs start or continue; results are kept in memory until they can be stored",
            outage.message,
        )
        self._takes.clear()
        self._prober = asyncio.get_running_loop().create_task(self._probe(outage), name="victor-storage")
        self.on_storage(outage)

    async def _probe(self, outage: StorageInfo) -> None:
        """Retry until the storage accepts a write."""
        data = {"since": to_us(outage.since), "reason": outage.message}
        while not self._takes.is_set():
            await self.clock.sleep(RETRY_SECONDS)
            try:
                await self._submit(lambda tx: tx.event(EventKind.ENGINE_STORAGE_BACK, data=data), probe=True)
            except StorageError:
                continue
            except VictorError:
                # This engine is fenced or closed. Waiting callers get the error when they write.
                self._takes.set()
                return
            log.warning("%s can be written again", self.path)
            self._takes.set()
            self.on_storage(None)

    # --- reading ---------------------------------------------------------------------------

    def reader(self) -> sqlite3.Connection:
        """Return the read-only connection of this thread."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = connect(self.path, readonly=True)
            self._local.connection = connection
            with self._readers_lock:
                self._readers.append(connection)
        return connection

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run a query in a reader thread, on one consistent snapshot of the database."""

        def snapshot() -> T:
            connection = self.reader()
            connection.execute("BEGIN")
            try:
                return query(connection)
            finally:
                connection.execute("COMMIT")

        if self._unreadable:
            raise StoreError(f"{self.path}: the store is closed, because its engine has stopped")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, snapshot)
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: cannot read: {error}") from error

    # --- closing ---------------------------------------------------------------------------

    async def close(self) -> None:
        """Finish the submitted transitions, then close every connection."""
        if self._closed:
            return
        self._closed = True
        if self._prober is not None:
            self._prober.cancel()
        if self._thread is not None:
            self._jobs.put(None)
            await asyncio.get_running_loop().run_in_executor(None, self._thread.join)
            await asyncio.sleep(0)
        self._unreadable = True
        self._pool.shutdown(wait=True)
        with self._readers_lock:
            for connection in self._readers:
                connection.close()
            self._readers.clear()
        if self._writer is not None:
            try:
                pragmas.optimize(self._writer)
            except sqlite3.Error:
                pass
            self._writer.close()
            self._writer = None


def open_store(path: Path, *, clock: Clock | None = None) -> Store:
    """Open the database at `path`. Create or migrate it first.

    To read without changing files, use `store.snapshot.SnapshotReader`.
    """
    make_directory(path.parent)
    return Store(path, clock=clock)


__all__ = ["Store", "Tx", "actor_from_json", "actor_json", "connect", "from_us", "open_store", "to_us"]
