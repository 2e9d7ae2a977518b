"""Copying: to the clipboard of the terminal with OSC 52, to the buffer of tmux, or else to a file."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from textual.app import App

from victor_tui.textual_compat import keep_copied
from victor_tui.user_files import user_directory

MAX_OSC_52 = 70_000
"""Maximum number of bytes for OSC 52. Many terminals ignore more."""
TMUX_SECONDS = 2
_WITHOUT = re.compile(r"linux|vt\d+|dumb|ansi|cons25|sun")
"""The terminals that have no clipboard."""

Way = Literal["osc52", "tmux", "file"]


def way(size: int, environ: Mapping[str, str]) -> Way:
    """Return how to copy a text of `size` bytes."""
    if environ.get("TMUX"):
        return "tmux"
    if size > MAX_OSC_52 or _has_no_clipboard(environ):
        return "file"
    return "osc52"


def clipboard_path(environ: Mapping[str, str] | None = None) -> Path:
    """Return the file that has the last copied text of a terminal without a clipboard."""
    return user_directory("XDG_STATE_HOME", ".local/state", environ) / "console" / "clipboard"


async def copy(app: App[str], text: str, environ: Mapping[str, str]) -> str:
    """Copy a text. Return where it is, for the message; empty for the clipboard of the terminal."""
    found = way(len(text.encode()), environ)
    if found == "tmux" and await _to_tmux(text):
        keep_copied(app, text)
        return " It is in the buffer of tmux: prefix ] pastes it."
    if found != "file":
        app.copy_to_clipboard(text)
        return ""
    keep_copied(app, text)
    path = clipboard_path(environ)
    reason = (
        "this terminal has no clipboard"
        if _has_no_clipboard(environ)
        else "it is too long for this terminal's clipboard"
    )
    try:
        await asyncio.to_thread(_write, path, text)
    except OSError as error:
        return (
            f" The text is not in a clipboard, because {reason}. {path} cannot be written: {error.strerror}."
        )
    return f" The text is in {path}, because {reason}."


def _has_no_clipboard(environ: Mapping[str, str]) -> bool:
    return _WITHOUT.match(environ.get("TERM", "")) is not None


async def _to_tmux(text: str) -> bool:
    """Put a text into the buffer of tmux, and into the clipboard of its terminal. Return whether it worked."""
    try:
        process = await asyncio.create_subprocess_exec(
            "tmux", "load-buffer", "-w", "-",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
    except OSError:
        return False
    try:
        await asyncio.wait_for(process.communicate(text.encode()), TMUX_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
    return process.returncode == 0


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
