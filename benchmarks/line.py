"""Count the bytes that the console writes to its terminal, in frames: what a slow line has to carry.

    python -m benchmarks.line [--seconds 10]

A frame is the number of bytes of a drawing of the whole screen in the same run (`f12`). The console runs on a copy
of the example workspace in a pseudo-terminal of 120 columns and 36 rows.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

EXAMPLE = Path(__file__).parent.parent / "examples" / "workspace"
COLUMNS, ROWS = 120, 36
QUIET = 2.5
"""Seconds without a byte after which a change of screen is complete; the clock is at most one byte sequence a second."""
TICK = 200
"""The maximum number of bytes of a tick of the clock and the ages: they do not count as part of a change of screen."""
F12 = b"\x1b[24~"


def open_console(folder: Path) -> tuple[int, int]:
    """Start the console on a copy of the example; return its process and its terminal."""
    workspace = folder / "workspace"
    shutil.copytree(EXAMPLE, workspace)
    environment = {
        **os.environ,
        "HOME": str(folder),
        "VICTOR_STATE": str(folder / "state"),
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
    }
    trust = ["-m", "victor_engine.service.headless", "--workspace", str(workspace), "--trust"]
    subprocess.run([sys.executable, *trust], env=environment, check=True)
    process, terminal = pty.fork()
    if process == 0:
        words = [sys.executable, "-m", "victor_tui", "--workspace", str(workspace)]
        os.execve(sys.executable, words, environment)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    return process, terminal


def written(terminal: int, seconds: float, *, settle: bool = False) -> int:
    """Return the number of bytes that are written in this time; with `settle`, until only the clock is written."""
    total, end = 0, time.monotonic() + seconds
    since = time.monotonic()
    while (left := end - time.monotonic()) > 0:
        ready, _, _ = select.select([terminal], [], [], min(left, 0.1))
        found = os.read(terminal, 1 << 16) if ready else b""
        total += len(found)
        if b"\x1b[?2026$p" in found:  # the terminal knows synchronized updates
            os.write(terminal, b"\x1b[?2026;2$y")
        if len(found) > TICK:
            since = time.monotonic()
        if settle and total and time.monotonic() - since > QUIET:
            break
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="seconds that each screen is idle")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="victor-line-") as name:
        process, terminal = open_console(Path(name))
        try:
            start = written(terminal, 60, settle=True)
            os.write(terminal, F12)
            frame = written(terminal, 20, settle=True)
            print(f"frame 1.0 ({frame:,} bytes), start {start / frame:.1f}")
            for key, title in (
                ("2", "Runs"),
                ("3", "Inbox"),
                ("4", "History"),
                ("5", "Versions"),
                ("1", "Schedules"),
            ):
                os.write(terminal, key.encode())
                change = written(terminal, 20, settle=True)
                idle = written(terminal, arguments.seconds) / arguments.seconds
                print(
                    f"{title:<10} change {change / frame:4.1f} frames   idle {idle / frame:6.3f} frames a second"
                )
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGTERM)
            with contextlib.suppress(OSError):
                while os.read(terminal, 1 << 16):
                    pass
            os.waitpid(process, 0)


if __name__ == "__main__":
    main()
