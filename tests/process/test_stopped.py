"""A console whose engine was stopped, in a real terminal: it says who did that, and starts none by itself."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.engine.support import workspace
from tests.process.terminal import Terminal, needs_tmux
from tests.process.test_kill import alive, attached, start_daemon
from tests.process.test_signals import FILES as SLEEPER
from tests.process.test_signals import at_work, eventually, pids
from victor_engine.identity import user_name
from victor_engine.service.engine_lock import LockOwner, engine_owner

pytestmark = [pytest.mark.process, needs_tmux, pytest.mark.timeout(300)]

FILES = {
    "victor.yaml": "{}",
    "workflows/w.yaml": 'workflows: {w: {nodes: [{id: say, type: transform, transform: "said = True"}]}}',
}


def owner(root: Path) -> LockOwner | None:
    return engine_owner(root / ".state")


async def stop(root: Path) -> str:
    command = [sys.executable, "-m", "victor_engine.cli.main", "--workspace", str(root)]
    command += ["--state-dir", str(root / ".state"), "scheduler", "stop"]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    return said.decode()


async def test_an_attached_console_says_who_stopped_the_engine_and_waits(tmp_path: Path) -> None:
    root = workspace(tmp_path, FILES)
    daemon = start_daemon(root)
    try:
        async with attached(root):
            pass
        with Terminal(root, columns=120) as terminal:
            terminal.until("Schedules", gone=["Connecting"])
            assert "has stopped" in await stop(root)
            assert daemon.wait(60) == 0
            # It looks for an engine several times before the pause between two looks is so long.
            words = f"{user_name(os.getuid())} stopped the engine at"
            terminal.until(words, "F9 starts one here", "trying again in 2 s")
            assert owner(root) is None

            # Another engine is attached to by itself.
            daemon = start_daemon(root)
            terminal.until("Connected to the engine again")
            found = owner(root)
            assert found is not None
            assert found.pid == daemon.pid

            assert "has stopped" in await stop(root)
            assert daemon.wait(60) == 0
            terminal.until(words)
            terminal.keys("F9")
            terminal.until("Connected to the engine again", gone=[words])
            found = owner(root)
            assert found is not None
            assert (found.pid, found.mode) == (int(terminal.about("#{pane_pid}")), "embedded")
    finally:
        daemon.kill()
        daemon.wait()


async def test_a_run_without_an_engine_is_stopped_as_an_engine_is(tmp_path: Path) -> None:
    async with at_work("run", workspace(tmp_path, SLEEPER)) as held:
        assert "has stopped" in await stop(held.root)
        await eventually("the process has ended", lambda: held.process.poll() is not None)
        assert not alive(pids(held.root)[0])


async def test_a_console_that_holds_the_engine_lets_go_of_it_when_it_is_stopped(tmp_path: Path) -> None:
    root = workspace(tmp_path, FILES)
    with Terminal(root, columns=120) as terminal:
        terminal.until("Schedules", gone=["Connecting"])
        assert "has stopped" in await stop(root)
        terminal.until("stopped the engine at", "F9 starts one here")
        assert owner(root) is None
