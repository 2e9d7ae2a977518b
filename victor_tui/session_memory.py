"""The memory of a console between two sessions: the screen, the filter and the order of each screen, and the things
that were opened from the palette.

There is one file for each workspace in `victor/console` below `$XDG_STATE_HOME` or `~/.local/state`, which only its
user can read. A file that cannot be used is reported and ignored.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from victor_engine.api import Found
from victor_tui.app_context import Console
from victor_tui.base_screen import TableScreen
from victor_tui.keys import SCREENS
from victor_tui.saved_views import SavedView
from victor_tui.screen_views import current_view, has_views, show_view
from victor_tui.text import clean
from victor_tui.user_files import UserFileError, read_json, replace_json, user_directory

_MODES = frozenset(mode for mode, _, _ in SCREENS)


class Remembered(Struct, frozen=True):
    """The state of one console. `views` has the view of each screen that was shown.

    `recent` has the things that were opened from the palette, with their titles, the newest first.
    """

    workspace: str
    screen: str = "schedules"
    views: dict[str, SavedView] = {}
    recent: tuple[Found, ...] = ()


def memory_path(workspace: str, environ: Mapping[str, str] | None = None) -> Path:
    """Return the file of a workspace."""
    name = hashlib.sha256(workspace.encode()).hexdigest()[:16]
    return user_directory("XDG_STATE_HOME", ".local/state", environ) / "console" / f"{name}.json"


class SessionMemory:
    """The memory of one console. Without `active`, nothing is read or written."""

    def __init__(self, console: Console, active: bool) -> None:
        self._console = console
        self._active = active
        self._workspace = ""
        self._path: Path | None = None
        self._views: dict[str, SavedView] = {}
        self._newest: Remembered | None = None
        self._written: Remembered | None = None
        self._lock = threading.Lock()

    def restore(self, workspace: str) -> None:
        """Show the screen of the last session. Each screen shows its filter and its order when it is shown."""
        if self._path is not None or not self._active:
            return  # the connection was lost and is there again
        self._workspace, self._path = workspace, memory_path(workspace)
        try:
            found = read_json(self._path, Remembered, "a session of the console")
        except UserFileError as error:
            self._console.notify(
                clean(f"The last session is ignored: {error}. The next change replaces the file."),
                severity="warning",
                markup=False,
            )
            return
        if found is None or found.workspace != workspace:
            return
        self._views = dict(found.views)
        self._newest = self._written = found
        for each in reversed(found.recent):
            self._console.session.recent.add(each)
        console = self._console
        if console.current_mode != "schedules" or len(console.screen_stack) > 1:
            return  # the user has gone somewhere already
        if isinstance(console.screen, TableScreen):
            self.show_last(console.screen)
        if found.screen in _MODES:
            console.show_mode(found.screen)

    def show_last(self, screen: TableScreen) -> None:
        """Show the view of the last session on a screen that is shown for the first time."""
        if has_views(screen) and (view := self._views.get(screen.MODE)) is not None:
            show_view(screen, view)

    def keep(self, screen: object) -> None:
        """Keep the view of a screen, before the user leaves it."""
        if self._path is not None and has_views(screen):
            assert isinstance(screen, TableScreen)
            self._views[screen.MODE] = current_view(screen)

    def tick(self) -> None:
        """Save what has changed."""
        if self._path is None:
            return
        self.keep(self._console.screen)
        if (now := self._current()) != self._newest:
            self._newest = now
            self._console.run_worker(asyncio.to_thread(self._write, now), group="memory")

    def close(self) -> None:
        """Save what has changed since the last tick."""
        if self._path is not None:
            self._newest = self._current()
            self._write(self._newest)

    def _current(self) -> Remembered:
        mode = self._console.current_mode
        screen = mode if mode in _MODES else "schedules"
        return Remembered(self._workspace, screen, dict(self._views), tuple(self._console.session.recent))

    def _write(self, remembered: Remembered) -> None:
        """Write a state, unless it is written already or there is a newer one."""
        assert self._path is not None
        with self._lock:
            if remembered is not self._newest or remembered == self._written:
                return
            try:
                replace_json(self._path, remembered)
            except UserFileError as error:
                self._console.log.warning(str(error))
            self._written = remembered
