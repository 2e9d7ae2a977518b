"""The saved views of the inbox: a name, a filter and an order, in a file of the user.

The file is `victor/inbox-views.json` below `$XDG_CONFIG_HOME` or `~/.config`. Only its user can read it. A file that
cannot be read is reported and never replaced.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

MAX_VIEWS = 100
"""Maximum number of saved views."""
MAX_NAME = 60
MAX_BYTES = 256 * 1024
_BYTE = re.compile(r"\(byte (\d+)\)")


class ViewsError(Exception):
    """The saved views cannot be read or written. The message names the file and the remedy."""


class SavedView(Struct, frozen=True, forbid_unknown_fields=True):
    """One view. `order` is a column of the table, or None for the order of decided requests."""

    name: str
    filter: str = ""
    order: str | None = "left"
    reverse: bool = False
    decided: bool = False


class _File(Struct, forbid_unknown_fields=True):
    views: tuple[SavedView, ...] = ()


def views_path(environ: Mapping[str, str] | None = None) -> Path:
    """Return the path of the file of the current user."""
    env = os.environ if environ is None else environ
    base = env.get("XDG_CONFIG_HOME") or ""
    # The XDG base directory specification requires that relative paths are ignored.
    root = Path(base) if base.startswith("/") else Path(env.get("HOME") or "~").expanduser() / ".config"
    return root / "victor" / "inbox-views.json"


def read_views(path: Path) -> list[SavedView]:
    """Return the saved views in alphabetical order. Raise ViewsError for a file that cannot be read."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise ViewsError(f"{path}: more than {MAX_BYTES // 1024} KiB; remove views from it, or remove it")
        found = msgspec.json.decode(text, type=_File)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ViewsError(f"{path}: cannot read it: {error.strerror}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ViewsError(
            f"{path}{_position(text, error)}: not a file of saved views: {error}. Correct the file or move it away; "
            "it was not changed"
        ) from None
    return sorted(found.views, key=lambda view: view.name.lower())


def _position(text: bytes, error: Exception) -> str:
    """Return `:line:column` of an error that names its byte; empty for another error."""
    if (found := _BYTE.search(str(error))) is None:
        return ""
    before = text[: int(found[1])]
    column = len(before.rsplit(b"\n", 1)[-1].decode(errors="replace")) + 1
    return f":{before.count(10) + 1}:{column}"


def save_view(path: Path, view: SavedView) -> None:
    """Add a view, or replace the view of this name. Raise ViewsError."""
    name = view.name.strip()
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise ViewsError(f"a view needs a name of 1 to {MAX_NAME} printable characters")
    others = [each for each in read_views(path) if each.name != name]
    if len(others) >= MAX_VIEWS:
        raise ViewsError(f"{path}: {MAX_VIEWS} views are saved already; remove one first")
    _write(path, [*others, msgspec.structs.replace(view, name=name)])


def remove_view(path: Path, name: str) -> None:
    """Remove a view. Raise ViewsError."""
    _write(path, [each for each in read_views(path) if each.name != name])


def _write(path: Path, views: list[SavedView]) -> None:
    """Replace the file in one step, readable by its user only."""
    text = msgspec.json.format(msgspec.json.encode(_File(tuple(views))), indent=2)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        number, name = tempfile.mkstemp(dir=path.parent, prefix=".inbox-views-")  # mode 0600
        try:
            with os.fdopen(number, "wb") as file:
                file.write(text + b"\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise ViewsError(f"{path}: cannot save the views: {error.strerror}; nothing was changed") from None
