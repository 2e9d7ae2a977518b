"""A full disk: a small file system that is filled to the last byte while a run is active."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.command_line import victor_words
from tests.engine.support import until_end, workspace
from victor_engine.api import EngineInfo
from victor_engine.engine import Engine
from victor_engine.errors import StorageError, StoreError
from victor_engine.identity import current_actor, local_actor
from victor_engine.service.connect import find, open_engine

FILES = {
    "victor.yaml": """
        handlers:
          held: {command: [sh, -c, 'read line < go; echo {\\"n\\": 1}']}
        """,
    "workflows/w.yaml": """
        workflows:
          flow:
            nodes:
              - {id: work, type: compute, handler: held, next: [after]}
              - {id: after, type: transform, transform: "n = n + 1"}
        """,
}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m,mode=0700", "tmpfs", str(place)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"a file system cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(disk: Path) -> Path:
    """Fill the file system completely."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (65_536, 4096, 1):
            with suppress(OSError):
                while file.write(b"x" * size):
                    pass
    assert os.statvfs(disk).f_bavail == 0
    return filler


async def until(engine: Engine, recording: bool) -> EngineInfo:
    async with asyncio.timeout(20):
        while ((info := await engine.engine()).storage is None) is not recording:
            await asyncio.sleep(0)
        return info


async def status(root: Path, disk: Path) -> str:
    words = victor_words(root, "scheduler", "status", state=disk / "state")
    process = await asyncio.create_subprocess_exec(
        *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()
    assert process.returncode == 0, said
    return said.decode()


async def test_a_full_disk_stops_the_engine_for_as_long_as_it_lasts(tmp_path: Path, small_disk: Path) -> None:
    current_actor.set(local_actor("cli"))
    root = workspace(tmp_path, FILES)
    os.mkfifo(root / "go")
    engine = await open_engine(find(root, small_disk / "state"))
    try:
        run = await engine.start_run("flow")
        async with asyncio.timeout(20):
            while not await engine.store.read(
                lambda c: c.execute("SELECT 1 FROM attempts WHERE pid IS NOT NULL").fetchone()
            ):
                await asyncio.sleep(0)
        filler = fill(small_disk)
        await asyncio.to_thread((root / "go").write_text, "on\n")
        info = await until(engine, recording=False)
        assert info.storage is not None
        assert "the disk is full" in info.storage.message
        with pytest.raises(StorageError, match="disk is full"):
            await engine.start_run("flow")
        said = await status(root, small_disk)
        assert "storage outage since" in said
        assert "the disk is full" in said
        filler.unlink()
        await until(engine, recording=True)
        found = await until_end(engine, run.id)
        assert (found.run.status, found.state["n"]) == ("succeeded", 2)
        assert "storage outage" not in await status(root, small_disk)
    finally:
        await engine.close()
    with sqlite3.connect(small_disk / "state" / "victor.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_an_engine_on_a_full_disk_does_not_start_and_says_why(tmp_path: Path, small_disk: Path) -> None:
    root = workspace(tmp_path, FILES)
    (small_disk / "state").mkdir(mode=0o700)
    filler = fill(small_disk)
    with pytest.raises(StorageError, match=r"engine.lock cannot be written: No space left"):
        await open_engine(find(root, small_disk / "state"))
    os.truncate(filler, filler.stat().st_size - 4096)
    with pytest.raises(StoreError, match=r"victor.db.*(full|I/O error)"):
        await open_engine(find(root, small_disk / "state"))
    filler.unlink()
    engine = await open_engine(find(root, small_disk / "state"))
    await engine.close()
