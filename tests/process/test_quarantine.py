"""A run whose own content ends the engine each time: after three deaths, an engine starts without it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine.support import workspace
from tests.process.test_kill import attached, start_daemon
from victor_engine.api import EventQuery, RunDetail, RunQuery
from victor_engine.errors import StorageError
from victor_engine.runs.evaluation_note import Memory
from victor_engine.runs.quarantine import DEATHS, FILE

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

FILES = {
    "victor.yaml": "functions: {harm: 'harmful:harm'}",
    "harmful.py": """
        import os, pathlib, signal

        def harm():
            if pathlib.Path("harmless").exists():
                return 1
            os.kill(os.getpid(), signal.SIGKILL)
        """,
    "w.yaml": """
        workflows:
          bad:
            nodes:
              - {id: first, type: transform, transform: "a = 1", next: [deadly]}
              - {id: deadly, type: transform, transform: "x = harm()"}
          good: {nodes: [{id: a, type: transform, transform: "x = 1"}]}
        """,
}


async def ended(engine: subprocess.Popen[bytes]) -> None:
    async with asyncio.timeout(60):
        while engine.poll() is None:
            await asyncio.sleep(0.02)


async def until(root: Path, run_id: str, status: str) -> RunDetail:
    async with attached(root) as port, asyncio.timeout(60):
        while (found := await port.run(run_id)).run.status != status:
            await asyncio.sleep(0.02)
        return found


async def test_a_run_that_kills_its_engine_three_times_is_quarantined(tmp_path: Path) -> None:
    root = workspace(tmp_path, FILES)
    engine = start_daemon(root)
    async with attached(root) as port:
        bad = await port.start_run("bad")
    await ended(engine)
    assert Memory(root / ".state" / FILE).read()[0][1] == "deadly"
    for _ in range(DEATHS - 1):
        engine = start_daemon(root)
        await ended(engine)
    engine = start_daemon(root)
    try:
        found = await until(root, bad.id, "paused")
        reason = "the engine died or was blocked 3 times while it evaluated deadly"
        assert reason in found.run.quarantine
        async with attached(root) as port:
            good = await port.start_run("good")
            (event,) = await port.events(EventQuery(kinds=("run.paused",), run_id=bad.id))
            assert event.node_id == "deadly"
            assert reason in event.data["note"]
            problems = (await port.engine()).problems
            assert any(f"run {bad.id} is quarantined" in problem.message for problem in problems)
        assert (await until(root, good.id, "succeeded")).run.quarantine == ""
        listed = printed(root, "runs", "list", "--status", "paused")
        assert bad.id in listed
        assert "quarantined: the engine died or was blocked 3 times" in listed
        assert f"victor runs resume {bad.id}" in printed(root, "scheduler", "status")
        # It is resumable by hand, and its deaths are counted from zero.
        (root / "harmless").touch()
        printed(root, "runs", "resume", bad.id)
        assert (await until(root, bad.id, "succeeded")).run.quarantine == ""
    finally:
        engine.kill()
        engine.wait()


def printed(root: Path, *words: str) -> str:
    command = [sys.executable, "-m", "victor_engine.cli.main"]
    command += ["--workspace", str(root), "--state-dir", str(root / ".state"), *words]
    done = subprocess.run(command, capture_output=True, check=True, text=True, cwd=root, timeout=60)
    return done.stdout + done.stderr


async def test_an_engine_whose_lock_file_is_removed_stops_recording(tmp_path: Path) -> None:
    root = workspace(tmp_path, FILES)
    engine = start_daemon(root)
    try:
        async with attached(root) as port:
            await port.start_run("good")
            before = len(await port.runs(RunQuery()))
            (root / ".state" / "engine.lock").unlink()
            with pytest.raises(StorageError, match=r"engine\.lock: the lock file was removed or replaced"):
                await port.start_run("good")
            assert len(await port.runs(RunQuery())) == before
            storage = (await port.engine()).storage
            assert storage is not None
            assert "lock file was removed" in storage.message
    finally:
        engine.kill()
        engine.wait()
