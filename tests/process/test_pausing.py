"""An acknowledged pause holds after a restart and after kill -9."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from tests.engine.support import workspace
from tests.process.test_kill import alive, attached, start_daemon, until
from victor_engine.api import Port

pytestmark = pytest.mark.process

FILES = {
    "victor.yaml": f"""
        handlers:
          slow: {{command: [{sys.executable}, slow.py]}}
          quick: {{command: [{sys.executable}, -c, "print('{{}}')"]}}
        """,
    # The first attempt hangs; each later one exits at once.
    "slow.py": """
        import json, os, pathlib, sys, time
        call = json.load(sys.stdin)
        with open("calls.log", "a") as log:
            log.write(f"{call['attempt']} {os.environ['VICTOR_IDEMPOTENCY_KEY']}\\n")
        if call["attempt"] == 1:
            pathlib.Path("pid.tmp").write_text(str(os.getpid()))
            os.rename("pid.tmp", "pid")
            time.sleep(1000)
        json.dump({}, sys.stdout)
        """,
    "workflows/w.yaml": """
        workflows:
          w:
            nodes:
              - {id: a, type: compute, handler: slow, next: [b]}
              - {id: b, type: compute, handler: quick}
        """,
}


async def shown(port: Port, run_id: str) -> tuple[str, list[tuple[str, str]]]:
    """Return the status of a run, with node and status of each attempt."""
    detail = await port.run(run_id)
    return detail.run.status, [(attempt.node_id, attempt.status) for attempt in detail.attempts]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
async def test_a_run_that_is_pausing_is_paused_after_a_restart(tmp_path: Path, how: signal.Signals) -> None:
    root = workspace(tmp_path, FILES)
    daemon = start_daemon(root)
    try:
        async with attached(root) as port:
            run = await port.start_run("w")
            async with asyncio.timeout(20):
                while not (root / "pid").exists():
                    await asyncio.sleep(0.01)
            told = await port.pause_run(run.id, "hold the release")
            assert told.status == "pausing"
    finally:
        daemon.send_signal(how)
        await asyncio.to_thread(daemon.wait, 20)
    daemon = start_daemon(root)
    try:
        async with attached(root) as port:
            paused = await until(port, "run.paused")
            assert paused.data["note"] == "hold the release"
            assert await shown(port, run.id) == ("paused", [("a", "interrupted")])
            assert not alive(int((root / "pid").read_text()))
            assert len((root / "calls.log").read_text().splitlines()) == 1
            await port.resume_run(run.id)
            await until(port, "run.finished")
            assert await shown(port, run.id) == (
                "succeeded",
                [("a", "interrupted"), ("a", "succeeded"), ("b", "succeeded")],
            )
            keys = {line.split()[1] for line in (root / "calls.log").read_text().splitlines()}
            assert len(keys) == 1
    finally:
        daemon.terminate()
        await asyncio.to_thread(daemon.wait, 20)
