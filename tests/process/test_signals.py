"""Every process with an engine stops its commands on a signal or a hang-up of its terminal."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.command_line import victor_words
from tests.engine.support import workspace
from tests.process.test_kill import alive, attached

pytestmark = pytest.mark.process

FILES = {
    "victor.yaml": "handlers: {long: {command: [sh, -c, 'echo $$ >> pids; exec sleep 1000']}}",
    "workflows/w.yaml": """
        workflows:
          long: {nodes: [{id: work, type: compute, handler: long}]}
          short: {nodes: [{id: say, type: transform, transform: "said = True"}]}
        """,
}
WITHIN = 60.0


async def eventually(what: str, test: Callable[[], object]) -> None:
    limit = time.monotonic() + WITHIN
    while not test():
        assert time.monotonic() < limit, f"it never came to: {what}"
        await asyncio.sleep(0.02)


def pids(root: Path) -> list[int]:
    """Return the process ids of the started commands."""
    file = root / "pids"
    return [int(line) for line in file.read_text().splitlines()] if file.exists() else []


def query(root: Path, sql: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(f"file:{root / '.state' / 'victor.db'}?mode=ro", uri=True) as connection:
        return connection.execute(sql).fetchall()


def entry_point(name: str, root: Path) -> list[str]:
    state = str(root / ".state")
    return {
        "run": victor_words(root, "run", "long"),
        "daemon": victor_words(root, "scheduler", "start"),
        "headless": [
            sys.executable, "-c",
            "import asyncio, sys; from victor_engine.service.headless import run_headless;"
            " sys.exit(asyncio.run(run_headless(*sys.argv[1:3])))", str(root), state,
        ],
        "console": [sys.executable, "-m", "victor_tui", "--workspace", str(root), "--state", state],
    }[name]  # fmt: skip


class OnTerminal:
    """A process with its own terminal, whose output is read so that it never blocks."""

    def __init__(self, command: list[str], root: Path) -> None:
        self.root = root
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, cwd=root, env={**os.environ, "TERM": "xterm"}
        )
        os.close(slave)
        asyncio.get_running_loop().add_reader(self._master, self._read)

    def _read(self) -> None:
        try:
            if os.read(self._master, 65536):
                return
        except OSError:
            pass
        asyncio.get_running_loop().remove_reader(self._master)

    def vanish(self) -> None:
        """Close the terminal. The process is not the leader of its session, so it gets no signal."""
        if self._master >= 0:
            asyncio.get_running_loop().remove_reader(self._master)
            os.close(self._master)
            self._master = -1


@asynccontextmanager
async def at_work(name: str, root: Path) -> AsyncIterator[OnTerminal]:
    """Run an engine of a kind with the active command `long`."""
    held = OnTerminal(entry_point(name, root), root)
    try:
        if name != "run":
            async with attached(root) as port:
                await port.start_run("long")
        await eventually("the command is at work", lambda: pids(root))
        yield held
    finally:
        held.vanish()
        held.process.kill()
        held.process.wait()


@pytest.mark.parametrize("name", ["run", "daemon", "headless", "console"])
@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "SIGHUP", "terminal"])
async def test_commands_are_stopped_and_their_attempts_are_interrupted(
    tmp_path: Path, name: str, how: str
) -> None:
    root = workspace(tmp_path, FILES)
    async with at_work(name, root) as held:
        if how == "terminal":
            held.vanish()
        else:
            held.process.send_signal(signal.Signals[how])
        await eventually("the process has ended", lambda: held.process.poll() is not None)
        number = signal.SIGHUP if how == "terminal" else signal.Signals[how]
        assert held.process.returncode == {"daemon": 0, "headless": 1}.get(name, 128 + number)
    (pid,) = pids(root)
    assert not alive(pid)
    assert query(root, "SELECT status FROM attempts") == [("interrupted",)]
    assert query(root, "SELECT count(*) FROM events WHERE kind = 'engine.stopped'") == [(1,)]


async def test_another_run_without_an_engine_does_not_continue_an_interrupted_one(tmp_path: Path) -> None:
    root = workspace(tmp_path, FILES)
    async with at_work("run", root) as held:
        held.process.terminate()
        await eventually("the process has ended", lambda: held.process.poll() is not None)
    for _ in range(2):
        async with asyncio.timeout(WITHIN):
            done = await asyncio.create_subprocess_exec(*victor_words(root, "run", "short"), cwd=root)
            assert await done.wait() == 0
    assert len(pids(root)) == 1
    assert query(root, "SELECT status FROM runs WHERE workflow = 'short'") == [("succeeded",)] * 2

    # A daemon continues the interrupted run.
    daemon = OnTerminal(entry_point("daemon", root), root)
    try:
        await eventually("the run is at work again", lambda: len(pids(root)) == 2)
    finally:
        daemon.process.terminate()
        await eventually("the daemon has ended", lambda: daemon.process.poll() is not None)
        daemon.vanish()


async def test_a_second_signal_does_not_wait_for_the_grace(tmp_path: Path) -> None:
    script = "trap : TERM; echo $$ >> pids; while :; do sleep 1; done"
    stubborn = f"handlers: {{long: {{grace: 900, command: [sh, -c, '{script}']}}}}"
    root = workspace(tmp_path, {**FILES, "victor.yaml": stubborn})
    async with at_work("run", root) as held:
        held.process.terminate()
        limit = time.monotonic() + WITHIN
        while held.process.poll() is None:
            assert time.monotonic() < limit
            await asyncio.sleep(0.2)
            held.process.terminate()
        # A further signal can meet the last moments of the process, in which it has no handlers any longer.
        assert held.process.returncode in (128 + signal.SIGTERM, -signal.SIGTERM)
    assert not alive(pids(root)[0])
    assert query(root, "SELECT status FROM attempts") == [("interrupted",)]
