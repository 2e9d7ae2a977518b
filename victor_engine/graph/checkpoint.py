"""The stores of runs of graphs, in a file or in memory."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from victor_engine.api import EventInfo
from victor_engine.clock import Clock, SystemClock
from victor_engine.errors import EngineLockedError, UsageError
from victor_engine.private import make_directory
from victor_engine.runs.supervisor import RunSupervisor
from victor_engine.service.engine_lock import EngineLock
from victor_engine.store.db import Store, open_store


@dataclass(slots=True)
class Session:
    """An open store in one event loop, with a runtime for each compiled graph."""

    store: Store
    clock: Clock
    loop: asyncio.AbstractEventLoop
    runtimes: dict[int, RunSupervisor] = field(default_factory=dict)
    closers: list[Callable[[], object]] = field(default_factory=list)
    watches: dict[str, Callable[[EventInfo], None]] = field(default_factory=dict)
    busy: set[tuple[str, str]] = field(default_factory=set)
    users: int = 0

    def on_events(self, events: list[EventInfo]) -> None:
        """Give committed events to the watches of their runs."""
        for event in events:
            watch = self.watches.get(event.run_id) if event.run_id is not None else None
            if watch is not None:
                watch(event)

    async def close(self) -> None:
        for runtime in self.runtimes.values():
            await runtime.stop()
        for closer in self.closers:
            closing = closer()
            if asyncio.iscoroutine(closing):
                await closing
        await self.store.close()


class Checkpointer:
    """The store of runs of graphs in one SQLite file. Each node is committed durably.

    Only one process at a time can use the file; a lock file next to it is released when the process ends.
    The file is open while a graph runs. `async with checkpointer:` keeps it open in between, which saves the
    time to open it, and keeps worker processes alive. Several graphs can share one checkpointer.
    """

    def __init__(self, path: Path | str, *, clock: Clock | None = None) -> None:
        self.path = Path(path).absolute()
        self._clock: Clock = clock or SystemClock()
        self._session: Session | None = None
        self._closing: asyncio.Future[None] | None = None
        self._lock: EngineLock | None = EngineLock(self.path.parent)
        self._lock.path = self.path.with_name(self.path.name + ".lock")

    durable = True

    async def __aenter__(self) -> Checkpointer:
        await self.enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.leave()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Session]:
        """Open the session, and keep it open inside the block."""
        session = await self.enter()
        try:
            yield session
        finally:
            await self.leave()

    async def enter(self) -> Session:
        """Add a user; the first one opens the store. Each `enter` needs a `leave`.

        Raise EngineLockedError if another process has the file open, and UsageError if another event loop of
        this process has.
        """
        loop = asyncio.get_running_loop()
        if self._session is not None and self._session.loop is not loop:
            if not self._session.loop.is_closed():
                raise UsageError(
                    f"{self.path} is open in another event loop of this process; use it from one loop at a time"
                )
            # Its loop was closed without `leave`, so its runs have ended.
            old, self._session, self._closing = self._session, None, None
            await old.store.close()
            self._unlock()
        while self._closing is not None and not self._closing.done():
            await asyncio.shield(self._closing)
        if self._session is None:
            self._session = self._open(loop)
        self._session.users += 1
        return self._session

    async def leave(self) -> None:
        """Remove a user; the last one closes the store."""
        session = self._session
        assert session is not None
        session.users -= 1
        if session.users:
            return
        self._session = None
        self._closing = asyncio.ensure_future(self._close(session))
        await asyncio.shield(self._closing)

    async def _close(self, session: Session) -> None:
        try:
            await session.close()
        finally:
            self._unlock()

    def _open(self, loop: asyncio.AbstractEventLoop) -> Session:
        self._take_lock()
        try:
            store = open_store(self.path, clock=self._clock)
            store.begin_epoch()
            store.start()
        except BaseException:
            self._unlock()
            raise
        session = Session(store, self._clock, loop)
        store.listen(session.on_events)
        return session

    def _take_lock(self) -> None:
        if self._lock is None:
            return
        folder = self.path.parent
        make_directory(folder)
        if (folder / "engine.lock").exists() and self.path.name == "victor.db":
            raise UsageError(
                f"{self.path} is the database of an engine; use another file for the runs of graphs"
            )
        try:
            self._lock.try_acquire("graph", "")
        except EngineLockedError as error:
            pid = error.details.get("pid")
            raise EngineLockedError(
                f"{self.path} is open in another process{f' (pid {pid})' if pid else ''}; "
                "only one process at a time can run graphs on it",
                pid=pid,
            ) from None

    def _unlock(self) -> None:
        if self._lock is not None and self._lock.held:
            self._lock.release()


class MemoryCheckpointer(Checkpointer):
    """The store of runs of graphs in memory, until this object is deleted or the process ends."""

    def __init__(self, *, clock: Clock | None = None) -> None:
        memory = Path("/dev/shm")
        folder = tempfile.mkdtemp(prefix="victor-graph-", dir=memory if memory.is_dir() else None)
        super().__init__(Path(folder) / "runs.db", clock=clock)
        self._lock = None  # no other process has its path
        self._finalizer = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)


class ThrowawayCheckpointer(MemoryCheckpointer):
    """The store of a graph without a checkpointer. It is deleted after the last run."""

    durable = False

    async def _close(self, session: Session) -> None:
        await super()._close(session)
        for file in self.path.parent.iterdir():
            file.unlink(missing_ok=True)
