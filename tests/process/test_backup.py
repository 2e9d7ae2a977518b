"""A backup under load: it has every change that was acknowledged before it, and the same events as the store."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
from pathlib import Path

import pytest

from tests.command_line import victor_words
from tests.engine.support import engine_on, workspace
from tests.process.test_full_disk import fill, small_disk  # noqa: F401
from tests.process.test_kill import attached, start_daemon
from victor_engine.api import Port
from victor_engine.cli.main import main
from victor_engine.people.audit_verification import verify
from victor_engine.store.maintenance.copying import opened

pytestmark = pytest.mark.process

FILES = {
    "victor.yaml": "",
    "workflows/w.yaml": """
        workflows:
          count:
            nodes: [{id: one, type: transform, transform: "n = 1"}]
        """,
}


async def victor(root: Path, state: Path, *words: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *victor_words(root, *words, state=state),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


def events(connection: sqlite3.Connection, until: int) -> list[tuple[object, ...]]:
    return connection.execute(
        "SELECT seq, at, kind, run_key, data FROM events WHERE seq <= ? ORDER BY seq", (until,)
    ).fetchall()


async def test_a_backup_under_load_has_every_acknowledged_change(tmp_path: Path) -> None:
    root = workspace(tmp_path, FILES)
    copy = tmp_path / "copy.db"
    daemon = start_daemon(root)
    acknowledged: list[str] = []
    done = asyncio.Event()

    async def load(port: Port) -> None:
        while not done.is_set():
            acknowledged.append((await port.start_run("count")).id)

    try:
        async with attached(root) as port:
            clients = [asyncio.create_task(load(port)) for _ in range(4)]
            async with asyncio.timeout(60):
                while len(acknowledged) < 50:
                    await asyncio.sleep(0.01)
                before = list(acknowledged)
                found = json.loads(await victor(root, root / ".state", "db", "backup", str(copy), "--json"))
                during = len(acknowledged) - len(before)
                done.set()
                await asyncio.gather(*clients)
    finally:
        daemon.send_signal(signal.SIGKILL)  # the copy does not depend on an orderly end
        daemon.wait()
    assert during > 0, "the engine worked while it was copied"
    last = found["copy"]["contents"]["last_event"]

    other = tmp_path / "other"
    await victor(root, other, "db", "restore", str(copy))
    with opened(other / "victor.db") as restored:
        runs = {run for (run,) in restored.execute("SELECT id FROM runs")}
        assert set(before) <= runs
        assert verify(restored).intact
        restored_events = events(restored, last)
        assert restored_events[-1][0] == last
        assert restored.execute("SELECT MAX(seq) FROM events").fetchone()[0] == last
    reference = sqlite3.connect(f"file:{root}/.state/victor.db?mode=ro", uri=True)
    try:
        assert events(reference, last) == restored_events, "up to its instant, nothing is missing"
    finally:
        reference.close()


async def test_a_backup_to_a_full_disk_leaves_nothing(
    tmp_path: Path,
    small_disk: Path,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = workspace(tmp_path, FILES)
    async with engine_on(root) as engine:
        await engine.start_run("count")
    fill(small_disk)
    words = ["--workspace", str(root), "--state-dir", str(root / ".state"), "db", "backup", str(small_disk)]
    assert main(words) == 8
    assert "disk is full; make room there, or give another file" in capsys.readouterr().err
    assert os.listdir(small_disk) == ["filler"]
