"""The bytes that the console writes to its terminal, and the screen after another program wrote on it."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import pytest

from tests.engine.support import workspace
from tests.process.terminal import Terminal, needs_tmux

pytestmark = [pytest.mark.process, needs_tmux, pytest.mark.timeout(900)]

FLOW = """
workflows:
  deploy:
    nodes:
      - {id: build, type: transform, transform: "built = True", next: [ship]}
      - {id: ship, type: transform, transform: "shipped = True"}
"""
IDLE = 300
"""The maximum number of bytes a second on a screen on which nothing happens."""


def still(screen: str) -> str:
    """Return a screen without its clock and its ages, which move."""
    return re.sub(r" *(\d+\w+ ago|now|\d+)", " 0", screen)


def settled(terminal: Terminal) -> str:
    """Return the screen when it has been the same for several looks."""
    looks = [terminal.screen()]

    def same() -> bool:
        looks.append(terminal.screen())
        return len({still(look) for look in looks[-8:]}) == 1 and len(looks) >= 8

    terminal.eventually("the screen has settled", same)
    return looks[-1]


def clock(terminal: Terminal) -> str:
    found = re.search(r"\d\d:\d\d:\d\d", terminal.screen())
    return found[0] if found else ""


def write(terminal: Terminal, text: str) -> None:
    """Write on the terminal as another program does."""
    Path(terminal.about("#{pane_tty}")).write_text(text)


def test_the_screen_stays_right_and_an_idle_console_writes_little(tmp_path: Path) -> None:
    root = workspace(tmp_path, {"victor.yaml": "{}", "workflows/deploy.yaml": FLOW})
    with Terminal(root) as terminal:
        terminal.until("Schedules", "Workflow")
        terminal.keys("5")
        terminal.until("deploy", "current", "Definition")
        first = settled(terminal)

        # Each way to the screen and back leads to the screen that a drawing of all cells shows.
        for there, sign in (("?", "Everywhere"), (":", "tab complete"), ("2", "Time/usual")):
            terminal.keys(there)
            terminal.until(sign)
            shown = settled(terminal)
            terminal.keys("F12")
            terminal.until(lambda screen, shown=shown: still(screen) == still(shown))
            terminal.keys("5" if there == "2" else "Escape")
            terminal.until(lambda screen: still(screen) == still(first))

        write(terminal, "\x1b[8;3HBroadcast message from root\x1b[12;1H\x1b[2K")
        terminal.until("Broadcast message from root")
        terminal.keys("F12")
        terminal.until(lambda screen: still(screen) == still(first), gone=["Broadcast"])

        terminal.resize(100, 30)
        terminal.until(lambda screen: len(screen.splitlines()[0].rstrip()) > 80)
        terminal.resize(80, 24)
        terminal.until(lambda screen: still(screen) == still(first))

        # tmux continues a program that is suspended. The console then draws on an empty screen.
        os.kill(int(terminal.about("#{pane_pid}")), signal.SIGTSTP)

        def shows_runs() -> bool:
            terminal.keys("2")  # a key that is pressed while the console is suspended is lost
            return "Time/usual" in terminal.screen()

        terminal.eventually("the console continues", shows_runs)
        terminal.keys("5")
        terminal.until(lambda screen: still(screen) == still(first))

        written = tmp_path / "written"
        begun, ticks, before = time.monotonic(), 0, clock(terminal)
        terminal.record(written)

        def moved() -> bool:
            nonlocal ticks, before
            now = clock(terminal)
            ticks, before = ticks + (now != before), now
            return ticks >= 3

        terminal.eventually("the clock moves three times", moved)
        assert 0 < written.stat().st_size < IDLE * (time.monotonic() - begun + 1)
