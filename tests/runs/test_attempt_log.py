"""The log of an attempt: its head, its last lines as they come, and the marker of the cut between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from victor_engine.clock import FakeClock
from victor_engine.errors import StorageError
from victor_engine.store.db import Store, open_store
from victor_engine.work import attempt_log
from victor_engine.work.attempt_log import FLUSH_SECONDS, LogWriter


@pytest.fixture
async def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Store]:
    monkeypatch.setattr(attempt_log, "HEAD_CHARS", 12)
    monkeypatch.setattr(attempt_log, "SHORTEST", 1)
    monkeypatch.setattr(attempt_log, "TAIL_LINES", 3)
    found = open_store(tmp_path / "victor.db", clock=FakeClock())
    found.begin_epoch()
    found.start()
    yield found
    await found.close()


async def lines(store: Store, attempt: int = 1) -> list[str]:
    rows = await store.read(
        lambda c: c.execute("SELECT text FROM logs WHERE attempt_id = ? ORDER BY id", (attempt,)).fetchall()
    )
    return [text for (text,) in rows]


@pytest.mark.parametrize("batches", [[9], [1] * 9, [4, 5], [5, 4], [6, 2, 1], [2, 7], [3, 1, 5]])
async def test_head_and_tail_are_kept_whatever_the_batches(store: Store, batches: list[int]) -> None:
    book = LogWriter(store, store.clock)
    log, number = book.open(1, 1), 0
    for size in batches:
        for _ in range(size):
            number += 1
            log.write("stdout", f"line {number}")
        await book.flush()
    assert await lines(store) == [
        "line 1",
        "line 2",
        "… 4 lines were cut here …",
        "line 7",
        "line 8",
        "line 9",
    ]


async def test_a_head_that_becomes_full_during_a_write_is_kept(store: Store) -> None:
    book = LogWriter(store, store.clock)
    log = book.open(1, 1)
    log.write("stdout", "line 1")
    flush = asyncio.create_task(book.flush())
    await asyncio.sleep(0)  # the first line is on its way to the store
    for number in range(2, 7):
        log.write("stdout", f"line {number}")
    await flush
    await book.flush()
    for number in range(7, 10):
        log.write("stdout", f"line {number}")
    await book.flush()
    assert await lines(store) == [
        "line 1",
        "line 2",
        "… 4 lines were cut here …",
        "line 7",
        "line 8",
        "line 9",
    ]


async def test_the_head_ends_before_lines_that_came_too_fast(store: Store) -> None:
    book = LogWriter(store, store.clock)
    log = book.open(1, 1)
    log.write("stdout", "line 1")
    log.drop(2, 2_000_000)
    for number in range(4, 8):
        log.write("stdout", f"line {number}")
        await book.flush()
    assert await lines(store) == [
        "line 1",
        "… 3 lines were cut here; 2 of them, 2.0 MB, came faster than a long log is read …",
        "line 5",
        "line 6",
        "line 7",
    ]


async def test_there_is_no_marker_if_no_line_was_cut(store: Store) -> None:
    book = LogWriter(store, store.clock)
    log = book.open(1, 1)
    for number in range(1, 6):
        log.write("stdout", f"line {number}")
    await book.flush()
    assert await lines(store) == [f"line {number}" for number in range(1, 6)]


async def test_concurrent_attempts_keep_their_own_lines(store: Store) -> None:
    book = LogWriter(store, store.clock)
    logs = {attempt: book.open(1, attempt) for attempt in (1, 2)}
    for number in range(1, 10):
        for attempt, log in logs.items():
            log.write("stdout", f"{attempt}-{number:04}")
        await book.flush()
    for attempt in logs:
        assert await lines(store, attempt) == [
            f"{attempt}-0001", f"{attempt}-0002", "… 4 lines were cut here …",
            f"{attempt}-0007", f"{attempt}-0008", f"{attempt}-0009",
        ]  # fmt: skip


async def test_lines_are_written_automatically_also_those_added_during_a_write(store: Store) -> None:
    clock = store.clock
    assert isinstance(clock, FakeClock)
    book = LogWriter(store, clock)
    log = book.open(1, 1)
    for number in range(3):
        log.write("stdout", f"{number}")
        while len(await lines(store)) <= number:
            await clock.advance(FLUSH_SECONDS)
    assert await lines(store) == ["0", "1", "2"]


async def test_lines_that_could_not_be_written_are_written_later_in_order(store: Store) -> None:
    book = LogWriter(store, store.clock)
    log = book.open(1, 1)
    for number in range(1, 5):
        log.write("stdout", f"line {number}")
    store._require_writer().execute("PRAGMA query_only = 1")
    with pytest.raises(StorageError):
        await book.flush()
    for number in range(5, 10):
        log.write("stdout", f"line {number}")
    store._require_writer().execute("PRAGMA query_only = 0")
    clock = store.clock
    assert isinstance(clock, FakeClock)
    while store.outage is not None:
        await clock.advance(1)
        await lines(store)
    await book.flush()
    assert await lines(store) == [
        "line 1",
        "line 2",
        "… 4 lines were cut here …",
        "line 7",
        "line 8",
        "line 9",
    ]


async def test_secrets_are_masked_before_anything_is_stored(store: Store) -> None:
    book = LogWriter(store, store.clock, lambda text: text.replace("hunter2", "***"))
    log = book.open(1, 1)
    for _ in range(5):
        log.write("stdout", "pw hunter2")
    await book.flush()
    assert set(await lines(store)) == {"pw ***"}
