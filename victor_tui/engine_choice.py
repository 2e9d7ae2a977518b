"""The offer of a console that is opened over SSH and finds no engine: a daemon, or an engine in the console.

A daemon continues when the connection is lost. The choice is remembered for the workspace, in a file of the user.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

Choice = Literal["daemon", "console"]

CHOICES: tuple[Choice, ...] = ("daemon", "console")
_KEYS: dict[str, Choice] = {
    "": "daemon",
    "d": "daemon",
    "daemon": "daemon",
    "c": "console",
    "console": "console",
}


def over_ssh(environ: Mapping[str, str]) -> bool:
    """Return whether this terminal is at the other end of an SSH connection."""
    return bool(environ.get("SSH_CONNECTION") or environ.get("SSH_TTY"))


def choices_file(environ: Mapping[str, str]) -> Path:
    """Return the file with the choices of this user."""
    base = environ.get("XDG_STATE_HOME") or ""
    root = Path(base) if base.startswith("/") else Path.home() / ".local" / "state"
    return root / "victor" / "engine-choices.json"


class Choices:
    """The remembered choices, by the real path of the workspace. An unreadable file has none."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def _read(self) -> dict[str, str]:
        try:
            found = json.loads(self._file.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def of(self, workspace: Path) -> Choice | None:
        """Return the choice for a workspace; None if there is none."""
        found = self._read().get(str(workspace.resolve()))
        return next((choice for choice in CHOICES if choice == found), None)

    def remember(self, workspace: Path, choice: Choice | None) -> None:
        """Store the choice for a workspace, or forget it with None. An error is ignored: the next console asks again."""
        found = self._read()
        found.pop(str(workspace.resolve()), None)
        if choice is not None:
            found[str(workspace.resolve())] = choice
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            beside = self._file.with_name(f".{self._file.name}.{os.getpid()}")
            beside.write_text(json.dumps(found, indent=1), "utf-8")
            beside.replace(self._file)
        except OSError as error:
            print(f"the choice is not remembered: {error}", file=sys.stderr)


def ask(workspace: Path, read: Callable[[str], str] = input) -> Choice:
    """Ask until the answer is one of the choices. Raise EOFError or KeyboardInterrupt if there is none."""
    print(
        f"No engine runs for {workspace}. Over SSH:\n"
        "  d  start a daemon, which continues when the connection is lost (recommended)\n"
        "  c  run the engine in this console, which stops with it\n"
        "The answer is remembered for this workspace.\n"
        "To be asked again: victor-tui --engine ask",
        file=sys.stderr,
    )
    while True:
        found = _KEYS.get(read("d or c [d]: ").strip().lower())
        if found is not None:
            return found
        print("write d or c, or press Ctrl-C to leave", file=sys.stderr)


def no_engine(workspace: str | None, state: str | None) -> bool:
    """Return whether no engine runs. Errors other than that are left to the console, which shows them."""
    from victor_engine.errors import EngineUnavailableError, VictorError
    from victor_engine.service.connect import open_console

    async def look() -> bool:
        try:
            port, _ = await open_console(workspace=workspace, state=state, attach_only=True)
        except EngineUnavailableError:
            return True
        except VictorError:
            return False
        await port.close()
        return False

    return asyncio.run(look())


def start_daemon(workspace: Path, state_dir: Path, config: str | None = None) -> bool:
    """Start a daemon, and return when it answers. Return False if it did not start; the command has printed why."""
    words = [sys.executable, "-m", "victor_engine.cli.main", "--workspace", str(workspace)]
    words += ["--state-dir", str(state_dir), "scheduler", "start", "--daemon"]
    words += ["--config", config] if config else []
    return subprocess.run(words, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False).returncode == 0


def prepare(workspace: str | None, state: str | None, wanted: str | None, config: str | None = None) -> bool:
    """Start a daemon if that was chosen for the workspace, now or before. Return False to leave.

    Raise KeyboardInterrupt if the user leaves with Ctrl-C.

    `wanted` is the option `--engine`: a choice, or `ask`. Without it, a console that is not opened over SSH, or that
    finds an engine, does nothing here.
    """
    from victor_engine.service.connect import find

    if (wanted is None and not over_ssh(os.environ)) or not no_engine(workspace, state):
        return True
    paths = find(workspace, state)
    choices = Choices(choices_file(os.environ))
    choice = next((each for each in CHOICES if each == wanted), None)
    if choice is None and wanted is None:
        choice = choices.of(paths.workspace)
    if choice is None:
        try:
            choice = ask(paths.workspace)
        except EOFError:
            return False
    choices.remember(paths.workspace, choice)
    return choice == "console" or start_daemon(paths.workspace, paths.state_dir, config)


__all__ = ["CHOICES", "Choices", "ask", "over_ssh", "prepare"]
