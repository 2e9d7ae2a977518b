"""An engine that is killed: no acknowledged change is lost, no run executes twice, no process is left."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.engine.support import workspace
from victor_engine.api import Answer, EventInfo, Port, RequestQuery, RunDetail, RunQuery
from victor_engine.errors import EngineLockedError, EngineUnavailableError
from victor_engine.service.connect import attach, find, open_engine
from victor_engine.service.engine_lock import engine_owner

pytestmark = pytest.mark.process

FILES = {
    "victor.yaml": f"""
        handlers:
          quick: {{command: [{sys.executable}, work.py, quick]}}
          slow: {{command: [{sys.executable}, work.py, slow]}}
        """,
    # The first slow command hangs, with a child process; the one after the crash exits at once.
    "work.py": """
        import json, os, pathlib, subprocess, sys
        call = json.load(sys.stdin)
        with open("calls.log", "a") as log:
            log.write(f"{call['node_id']} {call['attempt']} {os.getpid()} {os.environ['VICTOR_IDEMPOTENCY_KEY']}\\n")
        if sys.argv[1] == "slow" and call["attempt"] == 1:
            child = subprocess.Popen(["sleep", "1000"])
            pathlib.Path("child.tmp").write_text(str(child.pid))
            os.rename("child.tmp", "child.pid")
            child.wait()
        json.dump({"ok": True}, sys.stdout)
        """,
    "workflows/both.yaml": """
        workflows:
          both:
            nodes:
              - {id: first, type: compute, handler: quick, next: [p]}
              - {id: p, type: parallel, parallel_nodes: [gate, work], next: [last]}
              - {id: gate, type: hitl, hitl_type: approval, timeout: 1h, next: {approved: said, rejected: said}}
              - {id: said, type: transform, transform: "said = gate"}
              - {id: work, type: compute, handler: slow}
              - {id: last, type: compute, handler: quick}
        """,
}

SERVE = "import asyncio, sys; from victor_engine.service.daemon import serve; sys.exit(asyncio.run(serve(*sys.argv[1:3])))"


def start_daemon(root: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", SERVE, str(root), str(root / ".state")], cwd=root)


@asynccontextmanager
async def attached(root: Path) -> AsyncIterator[Port]:
    """Attach when the engine listens."""
    paths = find(root, root / ".state")
    async with asyncio.timeout(20):
        while True:
            try:
                port = await attach(paths, "cli")
            except EngineUnavailableError:
                port = None
            if port is not None:
                break
            await asyncio.sleep(0.02)
    try:
        yield port
    finally:
        await port.close()


async def until(port: Port, kind: str, node: str | None = None, after: int = 0) -> EventInfo:
    async with asyncio.timeout(20):
        async for event in port.subscribe(after):
            if event.kind == kind and (node is None or event.node_id == node):
                return event
    raise AssertionError("the feed ended")


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


async def test_killed_with_a_pending_approval_and_a_running_command(tmp_path: Path) -> None:
    root = workspace(tmp_path, FILES)
    daemon = start_daemon(root)
    try:
        async with attached(root) as port:
            run = await port.start_run("both")
            await until(port, "request.opened")
            async with asyncio.timeout(20):
                while not (root / "child.pid").exists():
                    await asyncio.sleep(0.01)
            asked = (await port.requests(RequestQuery()))[0]
    finally:
        daemon.send_signal(signal.SIGKILL)
        daemon.wait()
    child = int((root / "child.pid").read_text())
    assert alive(child), "what a command started outlives the engine, which is what recovery is for"
    command = int((root / "calls.log").read_text().splitlines()[-1].split()[2])
    async with asyncio.timeout(20):
        while alive(command):  # the kernel kills it together with its engine
            await asyncio.sleep(0.01)

    daemon = start_daemon(root)
    try:
        async with attached(root) as port:
            before = await until(port, "node.interrupted", "work")
            again = (await port.requests(RequestQuery()))[0]
            assert (again.id, again.deadline, again.revision) == (asked.id, asked.deadline, asked.revision)
            await until(port, "node.completed", "work", before.seq)
            assert not alive(child), "nothing of the old attempt is left"
            await port.answer(again.id, again.revision, Answer(outcome="approved"))
            await until(port, "run.finished", None, before.seq)
            found: RunDetail = await port.run(run.id)
            assert found.run.status == "succeeded"
            assert found.state["said"] is True
            tries = [
                (a.node_id, a.number, a.status) for a in found.attempts if a.node_id in ("first", "work")
            ]
            assert tries == [("first", 1, "succeeded"), ("work", 1, "interrupted"), ("work", 2, "succeeded")]
    finally:
        daemon.terminate()
        assert daemon.wait(20) == 0
    calls = [line.split() for line in (root / "calls.log").read_text().splitlines()]
    assert [call[0] for call in calls] == ["first", "work", "work", "last"]
    assert calls[1][3] == calls[2][3], "the same idempotency key for the same step"
    if alive(child):
        os.kill(child, signal.SIGKILL)


async def test_a_second_engine_is_refused_with_the_owners_pid_and_attaches(tmp_path: Path) -> None:
    root = workspace(tmp_path, FILES)
    daemon = start_daemon(root)
    try:
        async with attached(root) as port:
            info = await port.engine()
            assert (info.pid, info.mode) == (daemon.pid, "daemon")
            with pytest.raises(EngineLockedError, match=str(daemon.pid)):
                await open_engine(find(root, root / ".state"))
            owner = engine_owner(root / ".state")
            assert owner is not None
            assert owner.pid == daemon.pid
            assert await port.runs(RunQuery()) == []
            await port.stop_engine()
        assert daemon.wait(20) == 0
        assert engine_owner(root / ".state") is None
    finally:
        daemon.kill()
        daemon.wait()
