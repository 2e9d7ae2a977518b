"""Storage outages: requests are refused, and results wait and are not lost."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from victor_engine.api import EventInfo, StorageInfo
from victor_engine.clock import FakeClock
from victor_engine.errors import FencedError, StorageError, StoreError
from victor_engine.store.db import Store, Tx, open_store
from victor_engine.store.outage import RETRY_SECONDS


def read_only(store: Store, on: bool) -> None:
    writer(store).execute(f"PRAGMA query_only = {int(on)}")


def full(store: Store, on: bool) -> None:
    pages = writer(store).execute("PRAGMA page_count").fetchone()[0] if on else 2**30
    writer(store).execute(f"PRAGMA max_page_count = {pages}")


def locked(store: Store, on: bool) -> None:
    """Another process works on the file: it has a transaction open that writes."""
    writer(store).execute("PRAGMA busy_timeout = 0")
    if on:
        others[store.path] = sqlite3.connect(store.path, isolation_level=None)
        others[store.path].execute("BEGIN IMMEDIATE")
    else:
        others.pop(store.path).close()


others: dict[Path, sqlite3.Connection] = {}


def writer(store: Store) -> sqlite3.Connection:
    """The writer's own connection; it rests while the test holds the loop and nothing is submitted."""
    return store._require_writer()


class Watched:
    """A store on a clock that the test drives, and what it says."""

    def __init__(self, store: Store, clock: FakeClock) -> None:
        self.store = store
        self.clock = clock
        self.said: list[StorageInfo | None] = []
        self.events: list[EventInfo] = []
        store.on_storage = self.said.append
        store.listen(self.events.extend)

    def add(self, name: str) -> Callable[[Tx], int]:
        """A transition that needs room, and that counts how often it ran in `meta`."""

        def transition(tx: Tx) -> int:
            tx.execute("INSERT INTO meta (key, value) VALUES (?, ?)", (name, "x" * 50_000))
            return tx.event("test.added", data={"name": name})

        return transition

    async def names(self) -> list[str]:
        rows = await self.store.read(
            lambda c: c.execute("SELECT data ->> 'name' FROM events WHERE kind = 'test.added' ORDER BY seq")
        )
        return [name for (name,) in rows]

    async def held(self, count: int) -> None:
        async with asyncio.timeout(20):
            while self.store.outage is None or self.store.outage.waiting != count:
                await asyncio.sleep(0)

    async def tried_again(self, back: bool) -> None:
        """Let one probe pass."""
        async with asyncio.timeout(20):
            while not self.clock.sleeping:
                await asyncio.sleep(0)
            await self.clock.advance(RETRY_SECONDS)
            while (self.store.outage is None) is not back or not (back or self.clock.sleeping):
                await asyncio.sleep(0)


@asynccontextmanager
async def watched(path: Path, *, patient: bool = True) -> AsyncIterator[Watched]:
    clock = FakeClock()
    store = open_store(path / "victor.db", clock=clock)
    store.begin_epoch()
    store.start(patient=patient)
    try:
        yield Watched(store, clock)
    finally:
        await store.close()


@pytest.mark.parametrize(("break_it", "word"), [(full, "full"), (read_only, "read-only"), (locked, "locked")])
async def test_what_happened_waits_and_what_is_asked_for_is_refused(
    tmp_path: Path, break_it: Callable[[Store, bool], None], word: str
) -> None:
    async with watched(tmp_path) as w:
        await w.store.write(w.add("before"))
        break_it(w.store, True)
        first = asyncio.ensure_future(w.store.persist(w.add("first")))
        await w.held(1)
        with pytest.raises(StorageError, match=f"{word}.*Nothing was changed"):
            await w.store.write(w.add("asked"))
        second = asyncio.ensure_future(w.store.persist(w.add("second")))
        await w.held(2)
        assert await w.names() == ["before"], "reading goes on"
        await w.tried_again(back=False)
        assert not first.done()
        assert not second.done()
        break_it(w.store, False)
        await w.tried_again(back=True)
        assert await first < await second
        await w.store.write(w.add("after"))
        assert await w.names() == ["before", "first", "second", "after"]
        assert [said is None for said in w.said] == [False, True]
        (back,) = [event for event in w.events if event.kind == "engine.storage_back"]
        assert word in back.data["reason"]


async def test_neighbours_in_a_group_are_neither_lost_nor_half_acknowledged(tmp_path: Path) -> None:
    async with watched(tmp_path) as w:
        full(w.store, True)
        names = [f"n{i}" for i in range(40)]
        waits = [asyncio.ensure_future(w.store.persist(w.add(name))) for name in names]
        asked = [asyncio.ensure_future(w.store.write(w.add(f"asked {name}"))) for name in names]
        await w.held(40)
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(result, StorageError) for result in results)
        full(w.store, False)
        await w.tried_again(back=True)
        assert sorted(await asyncio.gather(*waits)) == await asyncio.gather(*waits)
        assert await w.names() == names


async def test_a_transition_that_fails_by_itself_does_so_after_the_outage_too(tmp_path: Path) -> None:
    async with watched(tmp_path) as w:
        await w.store.write(w.add("twice"))
        read_only(w.store, True)
        again = asyncio.ensure_future(w.store.persist(w.add("twice")))
        other = asyncio.ensure_future(w.store.persist(w.add("other")))
        await w.held(2)
        read_only(w.store, False)
        await w.tried_again(back=True)
        with pytest.raises(StoreError, match="UNIQUE"):
            await again
        await other
        assert await w.names() == ["twice", "other"]


async def test_who_waits_for_the_storage_hears_that_a_newer_engine_took_over(tmp_path: Path) -> None:
    async with watched(tmp_path) as w:
        fenced: list[FencedError] = []
        w.store.on_fenced = fenced.append
        read_only(w.store, True)
        held = asyncio.ensure_future(w.store.persist(w.add("held")))
        await w.held(1)
        waiting = asyncio.ensure_future(w.store.writable())
        newer = open_store(w.store.path)
        newer.begin_epoch()
        await newer.close()
        read_only(w.store, False)
        await w.tried_again(back=True)
        async with asyncio.timeout(20):
            await waiting
        for attempt in (held, w.store.write(w.add("asked"))):
            with pytest.raises(FencedError):
                await attempt
        assert len(fenced) == 1
        assert await w.names() == []


async def test_only_an_engine_is_patient(tmp_path: Path) -> None:
    async with watched(tmp_path, patient=False) as w:
        read_only(w.store, True)
        with pytest.raises(StorageError):
            await w.store.persist(w.add("x"))


async def test_closing_waits_for_no_room_and_takes_what_there_is(tmp_path: Path) -> None:
    waits: dict[str, asyncio.Future[Any]] = {}
    async with watched(tmp_path / "lost") as w:
        read_only(w.store, True)
        waits["lost"] = asyncio.ensure_future(w.store.persist(w.add("lost")))
        await w.held(1)
        w.store.hurry()
        with pytest.raises(StorageError):
            await w.store.persist(w.add("late"))
    with pytest.raises(StorageError):
        await waits["lost"]
    async with watched(tmp_path / "kept") as w:
        read_only(w.store, True)
        waits["kept"] = asyncio.ensure_future(w.store.persist(w.add("kept")))
        await w.held(1)
        read_only(w.store, False)
    await waits["kept"]
    async with watched(tmp_path / "kept") as w:
        assert await w.names() == ["kept"]


def test_a_store_that_cannot_start_an_epoch_raises(tmp_path: Path) -> None:
    store = open_store(tmp_path / "victor.db")
    read_only(store, True)
    with pytest.raises(StorageError, match="read-only"):
        store.begin_epoch()
