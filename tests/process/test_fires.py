"""A fire happens once: with two engines on one store, and with an engine that is killed in a transition."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.engine.support import ME, workspace
from tests.process.test_kill import start_daemon
from victor_engine.api import ScheduleSpec
from victor_engine.clock import FakeClock
from victor_engine.scheduling import schedule_commands as ops
from victor_engine.service.engine_lock import engine_owner
from victor_engine.store.db import Tx, open_store

pytestmark = pytest.mark.process

REPO = Path(__file__).resolve().parents[2]
SCHEDULES = 1000
SECONDS = 10


async def prepared(path: Path, schedules: int, seconds: int, *, ends: bool = True, state: str = "") -> None:
    """Create a store with schedules that have been due every second; with `ends`, until now only."""
    now = datetime.now(UTC)
    store = open_store(path, clock=FakeClock(now - timedelta(seconds=seconds)))
    store.begin_epoch()
    store.start()

    def add(tx: Tx) -> None:
        tx.execute(
            "INSERT INTO definitions (id, workflow, version, checksum, content, text, registered_at)"
            " VALUES (1, 'w', '1.0.0', '', '{}', '', 0)"
        )
        for number in range(schedules):
            spec = ScheduleSpec(
                workflow="w",
                every_seconds=1.0,
                overlap="allow",
                catchup="all",
                misfire_grace=3600.0,
                initial_state={"n": number, "state": state},
                end_date=now if ends else None,
            )
            ops.add(tx, spec, actor=ME, origin="cli")

    await store.write(add)
    await store.close()


async def start(*words: str) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.process.firing",
        *words,
        cwd=REPO,
        env={**os.environ, "PYTHONPATH": str(REPO)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    return process


def ask(path: Path, sql: str) -> list[tuple[int, ...]]:
    """Read the database without the engine."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


async def until(path: Path, sql: str, enough: int) -> None:
    """Wait until the first number of `sql` is at least `enough`, within the time limit of the test."""
    while ask(path, sql)[0][0] < enough:
        await asyncio.sleep(0.02)


async def end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGKILL)
    await process.communicate()


async def test_of_two_engines_the_older_is_fenced_and_ten_thousand_fires_run_once(tmp_path: Path) -> None:
    path = tmp_path / "victor.db"
    await prepared(path, SCHEDULES, SECONDS)
    older = await start(str(path), "slow")
    try:
        await until(path, "SELECT COUNT(*) FROM fires", 500)
        # It acts as the owner of the store, as after its lock file was removed.
        newer = await start(str(path))
        try:
            assert older.stdout is not None
            assert await older.stdout.readline() == b"fenced\n"
            await until(path, "SELECT COUNT(*) FROM fires", SCHEDULES * SECONDS)
        finally:
            await end(newer)
    finally:
        await end(older)
    ((fires, runs, once, fired),) = ask(
        path,
        "SELECT (SELECT COUNT(*) FROM fires), (SELECT COUNT(*) FROM runs),"
        " (SELECT COUNT(DISTINCT schedule_id || ' ' || nominal) FROM runs),"
        " (SELECT COUNT(DISTINCT run_key) FROM fires WHERE run_key IN (SELECT key FROM runs))",
    )
    assert fires >= SCHEDULES * SECONDS
    assert fires == runs == once == fired


async def test_killed_between_claiming_a_fire_and_creating_its_run(tmp_path: Path) -> None:
    path, held = tmp_path / "victor.db", tmp_path / "held"
    await prepared(path, 1, 1)
    first = await start(str(path), "hold", str(held))
    try:
        async with asyncio.timeout(30):
            while not held.exists():
                await asyncio.sleep(0.02)
        first.send_signal(signal.SIGSTOP)
        assert ask(path, "SELECT (SELECT COUNT(*) FROM fires) + (SELECT COUNT(*) FROM runs)") == [(0,)]
    finally:
        await end(first)
    second = await start(str(path))
    try:
        await until(path, "SELECT COUNT(*) FROM fires", 1)
    finally:
        await end(second)
    assert ask(path, "SELECT COUNT(*), COUNT(DISTINCT nominal) FROM runs") == ask(
        path, "SELECT COUNT(*), COUNT(DISTINCT nominal) FROM fires WHERE outcome = 'started'"
    )
    assert ask(
        path, "SELECT COUNT(*) FROM fires f WHERE NOT EXISTS (SELECT 1 FROM runs r WHERE r.key = f.run_key)"
    ) == [(0,)]


async def test_where_the_lock_file_was_unlinked_the_lock_of_the_workspace_refuses_a_second_engine(
    tmp_path: Path,
) -> None:
    root = workspace(
        tmp_path,
        {
            "victor.yaml": "workflows: ['*.yaml']",
            "tick.yaml": """
                workflows:
                  tick:
                    schedule: {every: 1s, overlap: allow}
                    nodes: [{id: a, type: transform, transform: "x = 1"}]
                """,
        },
    )
    state = root / ".state"
    older = start_daemon(root)
    newer: subprocess.Popen[bytes] | None = None
    try:
        async with asyncio.timeout(60):
            while (owner := engine_owner(state)) is None or owner.pid != older.pid:
                await asyncio.sleep(0.02)
        (state / "engine.lock").unlink()
        newer = start_daemon(root)
        assert await asyncio.to_thread(newer.wait, 60) != 0
        assert older.poll() is None, "it records nothing any more, and answers why"
    finally:
        for process in (older, newer):
            if process is not None:
                process.kill()
                process.wait()
    path = state / "victor.db"
    assert ask(path, "SELECT COUNT(*) - COUNT(DISTINCT nominal) FROM runs") == [(0,)]
    assert ask(path, "SELECT COUNT(*) FROM fires WHERE outcome = 'started'") == ask(
        path, "SELECT COUNT(*) FROM runs"
    )
