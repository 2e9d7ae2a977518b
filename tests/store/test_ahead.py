"""What is written ahead is there at its time and not before, and is in nobody's way."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from victor_engine.api import EventInfo
from victor_engine.clock import FakeClock
from victor_engine.store.ahead import PAGES_KEPT
from victor_engine.store.db import Store, Tx, open_store

START = datetime(2026, 5, 4, 8, tzinfo=UTC)
DUE = START + timedelta(seconds=1)


class Bench:
    def __init__(self, store: Store, clock: FakeClock) -> None:
        self.store = store
        self.clock = clock
        self.events: list[EventInfo] = []
        store.listen(self.events.extend)

    def add(self, name: str) -> Callable[[Tx], datetime]:
        def transition(tx: Tx) -> datetime:
            tx.event("told", data={"name": name})
            tx.execute("INSERT INTO meta (key, value) VALUES (?, ?)", (f"t:{name}", name))
            return tx.now

        return transition

    async def names(self) -> list[str]:
        rows = await self.store.read(
            lambda c: c.execute("SELECT value FROM meta WHERE key LIKE 't:%'").fetchall()
        )
        told = await self.store.read(
            lambda c: c.execute("SELECT data ->> 'name' FROM events ORDER BY seq").fetchall()
        )
        assert told == [(event.data["name"],) for event in self.events]
        assert sorted(rows) == sorted(told)
        return [name for (name,) in told]


@asynccontextmanager
async def bench(path: Path, *, patient: bool = True) -> AsyncIterator[Bench]:
    clock = FakeClock(START)
    store = open_store(path / "victor.db", clock=clock)
    store.begin_epoch()
    store.start(patient=patient)
    try:
        yield Bench(store, clock)
    finally:
        await store.close()


async def settled(bench: Bench) -> None:
    """What was sent to the writer has been looked at by it; it waits on what is written ahead."""
    while bench.store._jobs._queue.qsize():
        await asyncio.sleep(0.001)


def held(other: sqlite3.Connection) -> bool:
    """Whether somebody else has a transaction that writes."""
    try:
        other.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError:
        return True
    other.execute("ROLLBACK")
    return False


async def test_it_is_there_at_its_time_and_not_before(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ahead = b.store.ahead(b.add("early"), DUE)
        await settled(b)
        assert await b.names() == []
        b.clock.set_wall(DUE)
        assert await ahead.commit() == DUE
        assert await b.names() == ["early"]
        assert [event.at for event in b.events] == [DUE]
        assert await b.store.write(b.add("later")) == DUE


async def test_before_its_time_it_cannot_be_committed(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ahead = b.store.ahead(b.add("early"), DUE)
        b.clock.set_wall(DUE - timedelta(microseconds=1))
        assert await ahead.commit() is None
        assert await b.names() == []


async def test_what_people_ask_for_comes_first(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ahead = b.store.ahead(b.add("early"), DUE)
        assert await b.store.write(b.add("asked")) == START
        assert await ahead.outcome is None
        b.clock.set_wall(DUE)
        assert await ahead.commit() is None
        assert await b.names() == ["asked"]


@pytest.mark.parametrize("asked", [True, False])
async def test_while_it_is_being_written_it_is_broken_off_for_what_people_ask_for(
    tmp_path: Path, asked: bool
) -> None:
    writing, come = threading.Event(), threading.Event()
    written: list[str] = []

    def long(tx: Tx) -> str:
        written.append("first")
        writing.set()
        assert come.wait(60)
        tx.checkpoint()
        written.append("second")
        return "both"

    async with bench(tmp_path) as b:
        ahead = b.store.ahead(long, START)
        assert await asyncio.to_thread(writing.wait, 60)
        other = b.store.write(b.add("asked")) if asked else b.store.persist(b.add("happened"))
        come.set()
        assert await ahead.commit() == (None if asked else "both")
        assert written == (["first"] if asked else ["first", "second"])
        assert await other == START


async def test_what_happens_in_runs_waits_for_its_time(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ahead = b.store.ahead(b.add("early"), DUE)
        others = [b.store.persist(b.add(name)) for name in ("one", "two")]
        await settled(b)
        assert not any(other.done() for other in others)
        b.clock.set_wall(DUE)
        assert await ahead.commit() == DUE
        assert await asyncio.gather(*others) == [DUE, DUE]
        assert await b.names() == ["early", "one", "two"]


async def test_given_up_it_keeps_the_order_of_the_rest(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ahead = b.store.ahead(b.add("early"), DUE)
        happened = b.store.persist(b.add("happened"))
        asked = b.store.write(b.add("asked"))
        second = b.store.ahead(b.add("second"), DUE)
        await asyncio.gather(happened, asked)
        assert await ahead.outcome is None
        await settled(b)
        b.clock.set_wall(DUE)
        assert await second.commit() == DUE
        assert await b.names() == ["happened", "asked", "second"]


async def test_whoever_wanted_it_can_let_it_go(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ahead = b.store.ahead(b.add("early"), DUE)
        ahead.give_up()
        assert await ahead.outcome is None
        ahead.give_up()
        await b.store.write(b.add("next"))
        assert await b.names() == ["next"]


async def test_an_error_is_left_to_the_time_when_it_is_due(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.store.write(b.add("same"))
        ahead = b.store.ahead(b.add("same"), START)
        assert await ahead.commit() is None
        with pytest.raises(Exception, match="UNIQUE"):
            await b.store.write(b.add("same"))
        assert await b.names() == ["same"]


async def test_an_engine_that_was_overtaken_writes_nothing(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        newer = open_store(tmp_path / "victor.db", clock=b.clock)
        newer.begin_epoch()
        await newer.close()
        ahead = b.store.ahead(b.add("early"), START)
        assert await ahead.commit() is None
        assert await b.names() == []


async def test_nobody_takes_over_between_the_writing_and_its_time(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ahead = b.store.ahead(b.add("early"), START)
        await settled(b)
        other = sqlite3.connect(tmp_path / "victor.db", isolation_level=None, timeout=0)
        while not held(other):
            await asyncio.sleep(0.001)
        other.close()
        assert await ahead.commit() == START


async def test_the_end_of_the_store_does_not_wait_for_its_time(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ahead = b.store.ahead(b.add("early"), DUE)
        happened = b.store.persist(b.add("happened"))
        await b.store.close()
        assert await ahead.outcome is None
        assert await happened == START


def look(connection: sqlite3.Connection) -> int:
    """How many rows there are of `many`, in a database that is sound."""
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    (count,) = connection.execute("SELECT count(*) FROM meta WHERE key LIKE 'many:%'").fetchone()
    return int(count)


def copied(directory: Path, copy: Path) -> None:
    copy.mkdir()
    for name in ("victor.db", "victor.db-wal"):
        shutil.copy(directory / name, copy / name)


async def after_a_crash(directory: Path, copy: Path) -> int:
    """What an engine finds that starts on the files as they are."""
    copied(directory, copy)
    store = open_store(copy / "victor.db")
    try:
        return look(store._require_writer())
    finally:
        await store.close()


async def test_more_than_is_kept_in_memory_is_there_or_not_there_as_a_whole(tmp_path: Path) -> None:
    rows = [(f"many:{n}", "x" * 2000) for n in range(4 * PAGES_KEPT)]

    def many(tx: Tx) -> int:
        tx.connection.executemany("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", rows)
        return len(rows)

    async with bench(tmp_path) as b:

        async def sound() -> int:
            return await b.store.read(look)

        log = tmp_path / "victor.db-wal"
        before = log.stat().st_size
        ahead = b.store.ahead(many, DUE)
        while log.stat().st_size < before + 2 * PAGES_KEPT * 4096:
            await asyncio.sleep(0.001)  # all but the last pages come to the log before the time
        assert await sound() == 0
        assert await after_a_crash(tmp_path, tmp_path / "copy") == 0
        ahead.give_up()
        assert await ahead.outcome is None
        assert await sound() == 0
        assert await b.store.write(b.add("next")) == START
        ahead = b.store.ahead(many, START)
        assert await ahead.commit() == len(rows)
        assert await sound() == len(rows)
        assert await after_a_crash(tmp_path, tmp_path / "second") == len(rows)
        settings = [
            b.store._require_writer().execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("cache_size", "wal_autocheckpoint")
        ]
        assert settings == [-65_536, 4000]
