"""The saved views of a screen: a name, a filter and an order, in a file of the user.

The file is `victor/SCREEN-views.json` below `$XDG_CONFIG_HOME` or `~/.config`. Only its user can read it. A file that
cannot be read is reported and never replaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import UNSET, Struct, UnsetType

from victor_tui.user_files import UserFileError, read_json, replace_json, user_directory

MAX_VIEWS = 100
"""Maximum number of saved views of a screen."""
MAX_NAME = 60


class ViewsError(Exception):
    """The saved views cannot be read or written. The message names the file and the remedy."""


class SavedView(Struct, frozen=True, forbid_unknown_fields=True):
    """One view. `order` is a column of the table, or None for the order of the screen.

    `decided` belongs to the inbox, `view` to the history: activity, events or runs.
    """

    name: str
    filter: str = ""
    order: str | None = "left"
    reverse: bool = False
    decided: bool = False
    view: str | UnsetType = UNSET


class _File(Struct, forbid_unknown_fields=True):
    views: tuple[SavedView, ...] = ()


def views_path(screen: str, environ: Mapping[str, str] | None = None) -> Path:
    """Return the path of the file of the current user for a screen."""
    return user_directory("XDG_CONFIG_HOME", ".config", environ) / f"{screen}-views.json"


def read_views(path: Path) -> list[SavedView]:
    """Return the saved views in alphabetical order. Raise ViewsError for a file that cannot be read."""
    try:
        found = read_json(path, _File, "a file of saved views")
    except UserFileError as error:
        raise ViewsError(f"{error}. Correct the file or move it away; it was not changed") from None
    return sorted(found.views if found else (), key=lambda view: view.name.lower())


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
    try:
        replace_json(path, _File(tuple(views)))
    except UserFileError as error:
        raise ViewsError(str(error)) from None
