"""Transitions that share a transaction: each succeeds or fails for itself, plain ones too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from victor_engine.api import EventInfo
from victor_engine.errors import StoreError
from victor_engine.store.db import Store, Tx, open_store

INSERT = "INSERT INTO meta (key, value) VALUES (?, ?)"


@asynccontextmanager
async def store(path: Path) -> AsyncIterator[Store]:
    opened = open_store(path / "victor.db")
    opened.begin_epoch()
    opened.start()
    try:
        yield opened
    finally:
        await opened.close()


def plain(key: str, value: Any = 1) -> Callable[[Tx], str]:
    def transition(tx: Tx) -> str:
        tx.later(INSERT, (key, value))
        tx.event("engine.problem", data={"message": key})
        if value == "raises":
            raise ValueError(key)
        return key

    return transition


def direct(key: str) -> Callable[[Tx], list[str]]:
    """Sees what came before it in the same transaction."""

    def transition(tx: Tx) -> list[str]:
        tx.execute(INSERT, (key, 1))
        tx.event("engine.problem", data={"message": key})
        return sorted(row[0] for row in tx.execute("SELECT key FROM meta WHERE key <> 'epoch'"))

    return transition


def apart(key: str) -> Callable[[Tx], list[str]]:
    """Said to be plain, and finds on its way that it has to see what came before it."""

    def transition(tx: Tx) -> list[str]:
        tx.later(INSERT, (key, 1))
        tx.event("engine.problem", data={"message": key})
        tx.apart()
        return sorted(row[0] for row in tx.execute("SELECT key FROM meta WHERE key <> 'epoch'"))

    return transition


def asking(asked: list[str], name: str) -> Callable[[Tx], int]:
    """Wants to know how many keys there are."""

    def read(tx: Tx) -> int:
        asked.append(name)
        return int(tx.execute("SELECT COUNT(*) FROM meta").fetchone()[0])

    return lambda tx: tx.once("keys", lambda: read(tx))


async def together(s: Store, *jobs: tuple[Callable[[Tx], Any], bool]) -> list[Any]:
    """Commit all of them in one transaction: the writer is held until they are there."""
    gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    loop = asyncio.get_running_loop()

    def hold(tx: Tx) -> None:
        asyncio.run_coroutine_threadsafe(asyncio.wait_for(gate, 20), loop).result(20)

    held = s.write(hold)
    futures = [s.persist(job, plain=is_plain) for job, is_plain in jobs]
    gate.set_result(None)
    await held
    return await asyncio.gather(*futures, return_exceptions=True)


async def stored(s: Store) -> tuple[list[str], list[str]]:
    """The keys that are there, and what the events tell of, in order."""
    keys = await s.read(
        lambda c: [r[0] for r in c.execute("SELECT key FROM meta WHERE key <> 'epoch' ORDER BY 1")]
    )
    said = "SELECT json_extract(data, '$.message') FROM events ORDER BY seq"
    return keys, await s.read(lambda c: [r[0] for r in c.execute(said)])


async def test_plain_transitions_are_written_together_and_seen_by_who_comes_after_them(
    tmp_path: Path,
) -> None:
    told: list[EventInfo] = []
    async with store(tmp_path) as s:
        s.listen(told.extend)
        found = await together(
            s, (plain("a"), True), (plain("b"), True), (direct("c"), False), (plain("d"), True)
        )
        assert found == ["a", "b", ["a", "b", "c"], "d"]
        assert await stored(s) == (["a", "b", "c", "d"], ["a", "b", "c", "d"])
        assert [event.data["message"] for event in told] == ["a", "b", "c", "d"]
        assert [event.seq for event in told] == [1, 2, 3, 4]


async def test_a_plain_transition_that_raises_is_forgotten_alone(tmp_path: Path) -> None:
    async with store(tmp_path) as s:
        found = await together(s, (plain("a"), True), (plain("b", "raises"), True), (plain("c"), True))
        assert found[::2] == ["a", "c"]
        assert isinstance(found[1], ValueError)
        assert await stored(s) == (["a", "c"], ["a", "c"])


@pytest.mark.parametrize("key", ["a", "epoch"])
async def test_rows_that_the_database_refuses_take_no_neighbour_with_them(tmp_path: Path, key: str) -> None:
    told: list[EventInfo] = []
    async with store(tmp_path) as s:
        s.listen(told.extend)
        found = await together(
            s, (plain("a"), True), (plain(key, 2), True), (plain("b"), True), (direct("c"), False)
        )
        assert (found[0], found[2], found[3]) == ("a", "b", ["a", "b", "c"])
        assert isinstance(found[1], StoreError)
        assert "UNIQUE" in str(found[1])
        assert await stored(s) == (["a", "b", "c"], ["a", "b", "c"])
        assert [event.data["message"] for event in told] == ["a", "b", "c"]
        assert [event.seq for event in told] == [1, 2, 3]


@pytest.mark.parametrize("refused", [0, 31, 32, 70])
async def test_of_many_rows_that_are_written_at_once_the_refused_one_is_left_out(
    tmp_path: Path, refused: int
) -> None:
    names = [f"{number:03}" for number in range(75)]
    async with store(tmp_path) as s:
        jobs = [(plain("epoch" if number == refused else names[number]), True) for number in range(75)]
        found = await together(s, *jobs)
        assert isinstance(found[refused], StoreError)
        kept = names[:refused] + names[refused + 1 :]
        assert found[:refused] + found[refused + 1 :] == kept
        assert await stored(s) == (kept, kept)


async def test_a_caller_that_is_cancelled_leaves_its_transition_to_be_committed(tmp_path: Path) -> None:
    async with store(tmp_path) as s:
        waits = asyncio.ensure_future(asyncio.wait_for(s.persist(plain("a"), plain=True), 20))
        await asyncio.sleep(0)
        waits.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waits
        await s.write(direct("b"))
        assert await stored(s) == (["a", "b"], ["a", "b"])


async def test_one_that_finds_that_it_is_not_plain_is_called_again_alone(tmp_path: Path) -> None:
    told: list[EventInfo] = []
    async with store(tmp_path) as s:
        s.listen(told.extend)
        found = await together(s, (plain("a"), True), (apart("b"), True), (plain("c"), True))
        assert found == ["a", ["a", "b"], "c"]
        assert await stored(s) == (["a", "b", "c"], ["a", "b", "c"])
        assert [event.data["message"] for event in told] == ["a", "b", "c"]
        assert [event.seq for event in told] == [1, 2, 3]


async def test_plain_ones_share_what_they_read_until_another_one_may_have_changed_it(tmp_path: Path) -> None:
    asked: list[str] = []
    async with store(tmp_path) as s:
        jobs = [
            (asking(asked, "first"), True),
            (asking(asked, "second"), True),
            (direct("a"), False),
            (asking(asked, "third"), True),
            (asking(asked, "alone"), False),
            (asking(asked, "alone too"), False),
        ]
        one, two, _, *rest = await together(s, *jobs)
        assert one == two
        assert rest == [one + 1] * 3
        assert asked == ["first", "third", "alone", "alone too"]
