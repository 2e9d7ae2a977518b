"""Snapshots of a database: consistent while an engine writes, and without changing files."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.store.seed import seeded
from victor_engine.errors import NotFoundError, StoreError
from victor_engine.store import pragmas, queries
from victor_engine.store.db import connect, open_store
from victor_engine.store.repositories import meta
from victor_engine.store.snapshot import SnapshotReader


def traces(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    """Every file's bytes, modification time and inode, and the directory's own time."""
    found = {"": (b"", folder.stat().st_mtime_ns, 0)}
    for path in folder.iterdir():
        info = path.stat()
        found[path.name] = (path.read_bytes(), info.st_mtime_ns, info.st_ino)
    return found


def crash(live: Path, into: Path) -> Path:
    """What kill -9 leaves: the files as they stand, and nobody who has them open."""
    into.mkdir()
    for path in live.iterdir():
        shutil.copyfile(path, into / path.name)
    return into / "victor.db"


def runs(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT COUNT(*) FROM runs").fetchone()[0])


async def test_after_a_clean_end_looking_leaves_no_trace(tmp_path: Path) -> None:
    store, _ = await seeded(tmp_path / "victor.db")
    await store.close()
    assert os.listdir(tmp_path) == ["victor.db"]
    before = traces(tmp_path)
    reader = SnapshotReader(tmp_path / "victor.db")
    assert reader.read(runs) == 6
    assert traces(tmp_path) == before
    reader.close()
    assert traces(tmp_path) == before


async def test_after_a_crash_looking_sees_the_log_and_leaves_no_trace(tmp_path: Path) -> None:
    (tmp_path / "live").mkdir()
    store, _ = await seeded(tmp_path / "live" / "victor.db")
    path = crash(tmp_path / "live", tmp_path / "dead")
    await store.close()
    before = traces(path.parent)
    assert before["victor.db-wal"][0]
    reader = SnapshotReader(path)
    assert reader.read(runs) == 6
    reader.close()
    assert traces(path.parent) == before


async def test_a_log_without_shared_memory_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "live").mkdir()
    store, _ = await seeded(tmp_path / "live" / "victor.db")
    path = crash(tmp_path / "live", tmp_path / "copy")
    await store.close()
    (path.parent / "victor.db-shm").unlink()
    with pytest.raises(StoreError, match="start an engine on it once"):
        SnapshotReader(path).read(runs)


async def test_a_view_follows_engines_that_come_write_and_go(tmp_path: Path) -> None:
    path = tmp_path / "victor.db"
    store, _ = await seeded(path)
    await store.close()
    reader = SnapshotReader(path)
    assert reader.read(runs) == 6
    for expected in (5, 4):
        store = open_store(path)
        store.start()
        store.begin_epoch()
        await store.write(lambda tx: tx.execute("DELETE FROM runs WHERE key = (SELECT MIN(key) FROM runs)"))
        assert reader.read(runs) == expected
        await store.close()
        assert reader.read(runs) == expected
    reader.close()


async def test_what_an_engine_wrote_under_a_query_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "victor.db"
    store, _ = await seeded(path)
    await store.close()
    reader = SnapshotReader(path)
    seen = []

    def query(connection: sqlite3.Connection) -> int:
        seen.append(runs(connection))
        if len(seen) == 1:
            other = sqlite3.connect(path)
            other.execute("DELETE FROM runs")
            other.commit()
            other.close()
        return runs(connection)

    assert reader.read(query) == 0
    assert seen == [6, 0]
    reader.close()


async def test_errors_of_a_query_pass_through(tmp_path: Path) -> None:
    store, _ = await seeded(tmp_path / "victor.db")
    await store.close()
    reader = SnapshotReader(tmp_path / "victor.db")
    with pytest.raises(NotFoundError):
        reader.read(lambda c: queries.run_id(c, "nothing"))
    assert reader.read(runs) == 6
    reader.close()


async def test_a_reader_cannot_write(tmp_path: Path) -> None:
    store, _ = await seeded(tmp_path / "victor.db")
    reader = SnapshotReader(tmp_path / "victor.db")
    with pytest.raises(StoreError, match="cannot read"):
        reader.read(lambda c: c.execute("DELETE FROM runs"))
    await store.close()
    reader.close()


def test_a_file_that_is_not_a_database_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="the database does not exist yet"):
        SnapshotReader(tmp_path / "victor.db")
    (tmp_path / "victor.db").write_text("hello " * 1000)
    with pytest.raises(StoreError, match="not a database"):
        SnapshotReader(tmp_path / "victor.db").read(runs)


async def test_an_unusual_path_works(tmp_path: Path) -> None:
    folder = tmp_path / "a ?b#c%20é"
    store, _ = await seeded(folder / "victor.db")
    await store.close()
    assert os.listdir(folder) == ["victor.db"]
    reader = SnapshotReader(folder / "victor.db")
    assert reader.read(runs) == 6
    reader.close()


async def test_the_log_is_cut_after_a_long_query(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a backup or a long query reads, the write-ahead log only grows."""
    monkeypatch.setattr(pragmas, "LOG_BYTES", 1_000_000)
    path = tmp_path / "victor.db"
    store = open_store(path)
    store.begin_epoch()
    store.start()

    async def write(number: int) -> None:
        await store.write(lambda tx: meta.put(tx, f"row{number}", "x" * 1_000_000))

    reader = connect(path, readonly=True)
    reader.execute("BEGIN")
    reader.execute("SELECT COUNT(*) FROM runs").fetchone()
    for number in range(20):
        await write(number)
    log = path.with_name("victor.db-wal")
    assert log.stat().st_size > 20_000_000
    reader.close()
    for number in range(20, 23):
        await write(number)
    assert log.stat().st_size < 5_000_000
    await store.close()
