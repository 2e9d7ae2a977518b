"""The console in a real terminal: tmux draws its output and sends keys.

Each terminal has its own tmux server, without a configuration file, which stops with it.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import pytest

needs_tmux = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")

WITHIN = 60.0
"""Seconds within which whatever is waited for has come, on a slow and busy machine too."""
_POLL = 0.05
"""Seconds between two looks. Each look starts a program, which takes time from the console."""
_numbers = itertools.count()


class Terminal:
    """`victor-tui` (or `command`) on the workspace `root`, whose state is in `root/.state`.

    A context manager: at its end the terminal of the program hangs up. A failure shows the last screen.
    """

    def __init__(
        self,
        root: Path,
        *,
        columns: int = 80,
        rows: int = 24,
        command: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
        term: str = "screen-256color",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.root = root
        self.columns, self.rows = columns, rows
        state = str(root / ".state")
        console = [sys.executable, "-m", "victor_tui", "--workspace", str(root), "--state", state]
        self._command = list(command) if command is not None else console
        self._term = term
        self._settings = settings or {}
        self._name = f"victor-{os.getpid()}-{next(_numbers)}"
        self._sockets = tempfile.mkdtemp(prefix="victor-tmux-")
        self._environment = {
            "HOME": os.environ["HOME"],
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "TERM": term,
            "TMUX_TMPDIR": self._sockets,
            "VICTOR_STATE": state,
            "VICTOR_RUNTIME": os.environ["VICTOR_RUNTIME"],
            **(environment or {}),
        }

    def __enter__(self) -> Terminal:
        settings = {"status": "off", "default-terminal": self._term, "remain-on-exit": "on", **self._settings}
        words = [word for name, value in settings.items() for word in ("set", "-g", name, value, ";")]
        size = ["-x", str(self.columns), "-y", str(self.rows)]
        try:
            self._tmux(*words, "new-session", "-d", *size, "-c", str(self.root), *self._command)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _tmux(self, *words: str) -> str:
        command = ["tmux", "-u", "-L", self._name, "-f", "/dev/null", *words]
        done = subprocess.run(
            command, env=self._environment, capture_output=True, text=True, timeout=WITHIN, check=False
        )
        if done.returncode:
            raise AssertionError(f"tmux {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def close(self) -> None:
        """Stop the program with a hang-up of its terminal, and then the server."""
        try:
            self.hang_up()
        finally:
            subprocess.run(
                ["tmux", "-L", self._name, "kill-server"],
                env=self._environment, capture_output=True, timeout=WITHIN, check=False,
            )  # fmt: skip
            shutil.rmtree(self._sockets, ignore_errors=True)

    def hang_up(self) -> None:
        """Hang up the terminal of the program, and wait until it has exited."""
        for sign in (signal.SIGHUP, signal.SIGKILL):
            try:
                pid, dead = self._tmux("display", "-p", "#{pane_pid} #{pane_dead}").split()
            except (AssertionError, ValueError):
                return  # the server has stopped
            if dead == "1":
                return
            os.kill(int(pid), sign)
            limit = time.monotonic() + WITHIN / 2
            while time.monotonic() < limit:
                if self.ended is not None:
                    return
                time.sleep(_POLL)

    @property
    def ended(self) -> int | None:
        """Return the exit status of the program (128 plus the number of a signal), or None while it runs."""
        found = self._tmux("display", "-p", "#{pane_dead} #{pane_dead_status} #{pane_dead_signal}").split()
        if found[0] != "1":
            return None
        return int(found[1]) if len(found) > 1 else 128

    # --- typing and looking --------------------------------------------------------------------

    def keys(self, *names: str) -> None:
        """Press keys by tmux's names (`Enter`, `Tab`, `BTab`, `Space`, `C-s`, `Down`, `x`), in one burst."""
        self._tmux("send-keys", "--", *(r"\;" if name == ";" else name for name in names))

    def send(self, *, gone: Sequence[str], within: float = WITHIN) -> None:
        """Press ctrl+s until `gone` is not on the screen: a dialog ignores the key immediately after it is drawn."""
        limit = time.monotonic() + within
        while True:
            self.keys("C-s")
            try:
                self.until(gone=gone, within=1.0)
            except AssertionError:
                if time.monotonic() > limit or self.ended is not None:
                    raise
            else:
                return

    def text(self, text: str) -> None:
        """Type a text, letter by letter."""
        ends = text.endswith(";")  # tmux would interpret it as the end of its command
        self._tmux("send-keys", "-l", "--", text[:-1] + r"\;" if ends else text)

    def resize(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self._tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def record(self, path: Path) -> None:
        """Record every byte that the program writes from now on."""
        self._tmux("pipe-pane", "-O", f"exec cat > '{path}'")

    def about(self, words: str) -> str:
        """Return a format of tmux for the terminal, such as `#{pane_title}`."""
        return self._tmux("display", "-p", words).rstrip("\n")

    def screen(self, *, styled: bool = False) -> str:
        """Return the screen, one line for each row; with control sequences for colours if `styled`."""
        return self._tmux("capture-pane", "-p", *(["-e"] if styled else []))

    def _look(self) -> tuple[bool, str]:
        """Return whether the program has ended, and the screen after that."""
        dead, _, screen = self._tmux("display", "-p", "#{pane_dead}", ";", "capture-pane", "-p").partition(
            "\n"
        )
        return dead == "1", screen

    def until(
        self, *wanted: str | Callable[[str], object], gone: Sequence[str] = (), within: float = WITHIN
    ) -> str:
        """Wait until all of `wanted` and none of `gone` is on the screen; return the screen."""

        def missing(screen: str) -> list[str]:
            texts = [text for text in wanted if isinstance(text, str) and text not in screen]
            texts += [
                f"({test.__doc__ or getattr(test, '__name__', 'a condition')})"
                for test in wanted
                if not isinstance(test, str) and not test(screen)
            ]
            return texts + [f"no {text}" for text in gone if text in screen]

        limit = time.monotonic() + within
        while True:
            over = time.monotonic() > limit
            dead, screen = self._look()
            lacks = missing(screen)
            if not lacks:
                return screen
            if over or dead:
                raise AssertionError(f"It never came to: {'; '.join(lacks)}\n{self._picture(screen)}")
            time.sleep(_POLL)

    def eventually(self, what: str, test: Callable[[], object], within: float = WITHIN) -> None:
        """Wait until a condition outside the screen holds."""
        limit = time.monotonic() + within
        while not test():
            if time.monotonic() > limit:
                raise AssertionError(f"It never came to: {what}\n{self._picture(self.screen())}")
            time.sleep(_POLL)

    def _picture(self, screen: str) -> str:
        ended = self.ended
        after = "" if ended is None else f"\nThe program has ended with {ended}."
        rule = "─" * self.columns
        return f"┌{rule}┐\n{screen.rstrip()}\n└{rule}┘{after}"
