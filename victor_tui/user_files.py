"""The small JSON files of the console's user: read with a limit, and replaced in one step."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from victor_engine.files import replace_file

T = TypeVar("T")

MAX_BYTES = 256 * 1024
_BYTE = re.compile(r"\(byte (\d+)\)")


class UserFileError(Exception):
    """A file of the user cannot be read or written. The message names the file and the reason."""


def user_directory(name: str, fallback: str, environ: Mapping[str, str] | None = None) -> Path:
    """Return the directory `victor` below `$NAME`, or below `~/FALLBACK`."""
    env = os.environ if environ is None else environ
    base = env.get(name) or ""
    # The XDG base directory specification requires that relative paths are ignored.
    root = Path(base) if base.startswith("/") else Path(env.get("HOME") or "~").expanduser() / fallback
    return root / "victor"


def read_json(path: Path, type: type[T], named: str) -> T | None:
    """Return the content of a file, or None if it does not exist. `named` is what the file should be.

    Raise UserFileError, with line and column, for a file that cannot be read.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise UserFileError(f"{path}: more than {MAX_BYTES // 1024} KiB; shorten it, or remove it")
        return msgspec.json.decode(text, type=type)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserFileError(f"{path}: cannot read it: {error.strerror}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UserFileError(f"{path}{position(text, error)}: not {named}: {error}") from None


def position(text: bytes, error: Exception) -> str:
    """Return `:line:column` of an error that names its byte; empty for another error."""
    if (found := _BYTE.search(str(error))) is None:
        return ""
    before = text[: int(found[1])]
    column = len(before.rsplit(b"\n", 1)[-1].decode(errors="replace")) + 1
    return f":{before.count(10) + 1}:{column}"


def replace_json(path: Path, value: object) -> None:
    """Replace a file in one step, readable by its user only. Raise UserFileError."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        replace_file(path, text + b"\n")
    except OSError as error:
        raise UserFileError(f"{path}: cannot write it: {error.strerror}") from None
