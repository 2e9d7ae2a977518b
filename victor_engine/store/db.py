"""The database: one writer thread with group commit, readers with connections of their own.

A transition is a function of a `Tx`. All transitions that are ready at the same moment share one
transaction, each under a savepoint of its own, so that one that fails takes no neighbour with it;
every caller resumes when that transaction is on disk. The epoch is checked once per transaction.

While the file system takes nothing (`outage`), what people ask for fails at once, and what happens in
runs (`persist`) is held back and recorded when there is room again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import ClassVar, TypeVar

from victor_engine.api import EventInfo, StorageInfo
from victor_engine.clock import Clock, SystemClock, from_us, to_us
from victor_engine.errors import FencedError, StorageError, StoreError, VictorError
from victor_engine.events import EventKind
from victor_engine.private import make_directory, open_file
from victor_engine.store import pragmas, schema
from victor_engine.store.group import roll_back, run_group
from victor_engine.store.outage import RETRY_SECONDS, Job, Outage, storage_error
from victor_engine.store.transaction import Tx, actor_from_json, actor_json

T = TypeVar("T")

log = logging.getLogger(__name__)

MAX_GROUP = 512
"""Transitions in one transaction: bounds how long the first of them waits for the last."""


def connect(path: Path | str, *, readonly: bool = False) -> sqlite3.Connection:
    """A connection with our settings: WAL, full durability, statements cached."""
    uri = Path(path).absolute().as_uri()
    try:
        connection = sqlite3.connect(
            uri + ("?mode=ro" if readonly else ""),
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=512,
            timeout=10.0,
        )
        if readonly:
            pragmas.set_up_reader(connection)
        else:
            pragmas.set_up_writer(connection)
    except sqlite3.Error as error:
        known = storage_error(Path(path), error)
        raise known or StoreError(f"{path}: cannot open the database: {error}") from error
    return connection


class Store:
    """One SQLite file. `write` and `persist` for transitions, `read` for queries; all from asyncio."""

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
        """Called in the loop when the storage takes nothing any more, and with None when it does again."""
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
        # For its owner alone, before anything is in it; the log files take the same mode.
        try:
            os.close(open_file(Path(path), os.O_RDWR))
        except OSError as error:
            raise StoreError(f"{path}: cannot open the database: {error.strerror or error}") from error
        self._writer: sqlite3.Connection | None = connect(path)
        schema.migrate(self._writer, str(path))

    # --- writing ---------------------------------------------------------------------------

    def begin_epoch(self) -> int:
        """Take over: every later write of an older engine fails (called under the lock)."""
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
        """Start the writer thread for the running loop. Where `patient` is not set, `persist` is `write`."""
        self._require_writer()
        self._patient = patient
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._write_loop, name="victor-writer", daemon=True)
        self._thread.start()

    def listen(self, listener: Callable[[list[EventInfo]], None]) -> None:
        """Call `listener` in the loop with the events of each committed group, in order."""
        self._listeners.append(listener)

    def write(self, transition: Callable[[Tx], T], *, plain: bool = False) -> asyncio.Future[T]:
        """Submit one transition. The future is done when it is on disk, and raises its exception alone.

        It commits whether or not its caller is cancelled meanwhile. StorageError if the file system
        takes nothing: then nothing was changed. For `plain` see `store.group`.
        """
        return self._submit(transition, plain=plain)

    def persist(self, transition: Callable[[Tx], T], *, plain: bool = False) -> asyncio.Future[T]:
        """As `write`, for what has happened already: waits until the file system takes it, however long.

        The transition may run more than once; only its last run counts. For `plain` see `store.group`.
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
        """Since when and why nothing can be written, and how much waits for that; None if it can."""
        outage = self._outage
        return None if outage is None else outage.info

    async def writable(self) -> None:
        """Return when the file system takes writes (at once if it does), or never will for this engine."""
        await self._takes.wait()

    def hurry(self) -> None:
        """The end is near: what waits is tried once more, and from now on `persist` waits for nothing."""
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
                    self._commit_and_tell(group)
                else:
                    self._during(self._outage, group)
        except RuntimeError:  # the loop is gone: nobody is left to tell
            return
        if self._outage is not None and self._loop is not None:
            self._outage.retry(self._commit_one)
            self._loop.call_soon_threadsafe(self._deliver, self._outage.give_up(), [])

    def _next_group(self) -> list[Job]:
        """Wait for work and return what is ready, at most MAX_GROUP jobs; an empty list means that the store closes."""
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

    def _commit_and_tell(self, group: list[Job]) -> None:
        events = self._commit_group(group)
        assert self._loop is not None
        failure = group[0].error
        if isinstance(failure, StorageError):
            self._outage = Outage(self.clock.now(), failure)
            group, _ = self._outage.sort(group)
            self._loop.call_soon_threadsafe(self._outage_begins)
        self._loop.call_soon_threadsafe(self._deliver, group, events)

    def _during(self, outage: Outage, group: list[Job]) -> None:
        """Hold back, refuse, and with a probe try again."""
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
        """Commit one transition alone and tell its caller; False if the storage does not take it."""
        assert self._loop is not None
        events = self._commit_group([job])
        if isinstance(job.error, StorageError) and not job.probe:
            return False
        self._loop.call_soon_threadsafe(self._deliver, [job], events)
        return not isinstance(job.error, StorageError)

    def _commit_group(self, group: list[Job]) -> list[EventInfo]:
        connection = self._require_writer()
        events: list[EventInfo] = []
        try:
            tx = self._begin(connection, self.clock.now())
            run_group(tx, group)
            connection.execute("COMMIT")
            events = tx.events
        except BaseException as error:
            roll_back(connection)
            reason = error if isinstance(error, VictorError) else self._store_error(error)
            for job in group:
                job.error = reason
        return events

    def _begin(self, connection: sqlite3.Connection, now: datetime) -> Tx:
        connection.execute("BEGIN IMMEDIATE")
        self._check_epoch(connection)
        return self.transaction(connection, now)

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
                error = job.error
                if isinstance(error, sqlite3.Error):
                    error = self._store_error(error)
                job.future.set_exception(error)
                # Marked as retrieved: a cancelled caller leaves nobody to look at it.
                job.future.exception()
                if isinstance(error, FencedError) and not self._fenced:
                    self._fenced = True
                    self.on_fenced(error)
            else:
                job.future.set_result(job.result)
        if events:
            for listener in self._listeners:
                listener(events)

    # --- while the storage takes nothing ---------------------------------------------------

    def _outage_begins(self) -> None:
        outage = self.outage
        if outage is None:
            return
        log.critical(
            "%s. Nothing is started or goes on; what has happened is kept in memory and recorded when it can be",
            outage.message,
        )
        self._takes.clear()
        self._prober = asyncio.get_running_loop().create_task(self._probe(outage), name="victor-storage")
        self.on_storage(outage)

    async def _probe(self, outage: StorageInfo) -> None:
        """Try again until the storage takes something."""
        data = {"since": to_us(outage.since), "reason": outage.message}
        while not self._takes.is_set():
            await self.clock.sleep(RETRY_SECONDS)
            try:
                await self._submit(lambda tx: tx.event(EventKind.ENGINE_STORAGE_BACK, data=data), probe=True)
            except StorageError:
                continue
            except VictorError:
                # Overtaken or closed: nobody writes here any more, and who waits is told so when they try.
                self._takes.set()
                return
            log.warning("%s can be written again", self.path)
            self._takes.set()
            self.on_storage(None)

    # --- reading ---------------------------------------------------------------------------

    def reader(self) -> sqlite3.Connection:
        """This thread's read-only connection."""
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
            raise StoreError(f"{self.path}: the store is closed, because its engine has ended")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, snapshot)
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: cannot read: {error}") from error

    # --- end -------------------------------------------------------------------------------

    async def close(self) -> None:
        """Finish what was submitted, then close every connection."""
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
    """Open the database at `path`, created or brought up to date first.

    Whoever only looks uses `store.snapshot.SnapshotReader`, which leaves no trace.
    """
    make_directory(path.parent)
    return Store(path, clock=clock)


__all__ = ["Store", "Tx", "actor_from_json", "actor_json", "connect", "from_us", "open_store", "to_us"]
