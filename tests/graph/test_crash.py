"""A process that is killed in a node: its thread continues from the last committed node."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.graph.killed import graph
from victor_engine.graph import ThreadBusyError

pytestmark = pytest.mark.process

ROOT = Path(__file__).resolve().parents[2]


def start(folder: Path) -> subprocess.Popen[str]:
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.graph.killed", str(folder)]
    return subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_a_thread_that_is_killed_twice_repeats_no_committed_node(tmp_path: Path) -> None:
    with start(tmp_path) as child:
        mark = tmp_path / "worker.pid"
        until = time.monotonic() + 30
        while not mark.exists() or not mark.read_text():
            assert child.poll() is None, "it ended before it came to the node that hangs"
            assert time.monotonic() < until
        child.kill()
    with start(tmp_path) as child:
        out, _ = child.communicate(timeout=60)
    assert child.returncode == -9, out
    assert not alive(int(mark.read_text())), "the worker of the killed process still runs"

    app = graph(tmp_path / "runs.db")
    stands = await app.get_state({"thread_id": "t"})
    assert (stands.status, stands.next, stands.values["n"]) == ("running", ("die",), 3)
    with pytest.raises(ThreadBusyError, match="interrupted at die"):
        await app.invoke({"folder": str(tmp_path), "n": 17}, {"thread_id": "t"})

    final = await app.invoke(None, {"thread_id": "t"})
    assert final["n"] == 300
    done = (tmp_path / "done.log").read_text().splitlines()
    # Committed nodes are not repeated; the interrupted node is.
    assert done == ["count 0", "count 1", "count 2", "hang", "hang", "die", "die"]
