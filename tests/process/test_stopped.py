"""A console whose engine was stopped, in a real terminal: it shows who stopped it, and starts no engine."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from tests.command_line import victor_words
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
    command = victor_words(root, "scheduler", "stop")
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    return said.decode()


async def test_an_attached_console_shows_who_stopped_the_engine_and_waits(tmp_path: Path) -> None:
    root = workspace(tmp_path, FILES)
    daemon = start_daemon(root)
    try:
        async with attached(root):
            pass
        with Terminal(root, columns=120) as terminal:
            terminal.until("Schedules", gone=["Connecting"])
            assert "has stopped" in await stop(root)
            assert daemon.wait(60) == 0
            # The console checks for an engine several times before the interval is so long.
            words = f"{user_name(os.getuid())} stopped the engine at"
            terminal.until(words, "F9 starts one here", "retry in 2 s")
            assert owner(root) is None

            # The console attaches to another engine automatically.
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


async def test_a_run_without_an_engine_is_stopped_like_an_engine(tmp_path: Path) -> None:
    async with at_work("run", workspace(tmp_path, SLEEPER)) as held:
        assert "has stopped" in await stop(held.root)
        await eventually("the process has ended", lambda: held.process.poll() is not None)
        assert not alive(pids(held.root)[0])


async def test_a_console_with_an_embedded_engine_stops_it_on_request(tmp_path: Path) -> None:
    root = workspace(tmp_path, FILES)
    with Terminal(root, columns=120) as terminal:
        terminal.until("Schedules", gone=["Connecting"])
        assert "has stopped" in await stop(root)
        terminal.until("stopped the engine at", "F9 starts one here")
        assert owner(root) is None
