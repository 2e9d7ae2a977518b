"""The files of drafts: one for each request, in the state directory of the console's user.

A draft is written beside its file, to the disk, and renamed, so that a crash of the console or of the machine leaves
the old or the new draft. A file that cannot be used is never overwritten.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from victor_engine.files import replace_file
from victor_tui.user_files import user_directory

MAX_BYTES = 2_000_000
"""Maximum size of a draft. A larger one is kept in memory only."""
MAX_DRAFTS = 500
"""Maximum number of files that are read to find drafts of decided requests."""
_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


class Draft(msgspec.Struct, frozen=True):
    """The input for one request that was not sent.

    `engine` is the state directory of the engine, `revision` the revision of the request at that time, `at` the
    time of the last key.
    """

    engine: str
    request: str
    run: str
    revision: int
    at: datetime
    input: dict[str, Any]
    format: int = 1


class DraftError(Exception):
    """A draft cannot be read or written. The text says why, and where the file is."""


@dataclass(frozen=True, slots=True)
class DraftFiles:
    """The drafts in one directory."""

    folder: Path

    def write(self, draft: Draft) -> None:
        """Write a draft in place of an earlier one. Raise DraftError if that is not possible."""
        text = msgspec.json.encode(draft)
        if len(text) > MAX_BYTES:
            raise DraftError(
                f"the draft is larger than {MAX_BYTES // 1_000_000} MB, and is kept in memory only"
            )
        path = self._path(draft.request)
        try:
            os.makedirs(self.folder, mode=0o700, exist_ok=True)
            self._check_folder()
            if os.path.lexists(path):
                self._check(path)
            replace_file(path, text)
        except OSError as error:
            raise DraftError(
                f"the draft is kept in memory only: {path}: {error.strerror or error}"
            ) from error

    def read(self, request: str) -> Draft | None:
        """Return the draft of a request, or None. Raise DraftError if its file cannot be used.

        A broken file is renamed, so that the next draft does not overwrite it.
        """
        path = self._path(request)
        if not os.path.lexists(path):
            return None
        try:
            self._check_folder()
            self._check(path)
            text = path.read_bytes()
            draft = msgspec.json.decode(text, type=Draft)
            if draft.format != 1 or draft.request != request:
                raise msgspec.ValidationError("it is the draft of another request or version")
        except OSError as error:
            raise DraftError(f"the draft in {path} was not read: {error.strerror or error}") from error
        except msgspec.MsgspecError as error:
            raise DraftError(f"the draft in {self._set_aside(path)} cannot be read: {error}") from None
        return draft

    def delete(self, request: str) -> None:
        """Delete the draft of a request, unless it belongs to another user."""
        path = self._path(request)
        try:
            self._check(path)
            path.unlink()
        except (OSError, DraftError):
            return  # it does not exist, or is not a draft of this user

    def requests(self, engine: str) -> list[str]:
        """Return the requests of one engine that have drafts."""
        found: list[str] = []
        try:
            names = sorted(os.listdir(self.folder))
        except OSError:
            return found
        for name in names[:MAX_DRAFTS]:
            if not name.startswith(".") and name.endswith(".json"):
                try:
                    path = self.folder / name
                    self._check(path)
                    draft = msgspec.json.decode(path.read_bytes(), type=Draft)
                except (OSError, DraftError, msgspec.MsgspecError):
                    continue  # `read` reports it
                if draft.engine == engine:
                    found.append(draft.request)
        return found

    def _path(self, request: str) -> Path:
        if not request or len(request) > 100 or not set(request) <= _SAFE:
            raise DraftError("the draft is kept in memory only: the request has an unusual id")
        return self.folder / f"{request}.json"

    def _check_folder(self) -> None:
        info = os.lstat(self.folder)
        if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.geteuid():
            raise DraftError(f"drafts are kept in memory only: {self.folder} is not a directory of yours")
        if info.st_mode & 0o077:
            os.chmod(self.folder, 0o700)

    def _check(self, path: Path) -> None:
        info = os.lstat(path)
        if not stat.S_ISREG(info.st_mode) or info.st_uid != os.geteuid():
            raise DraftError(
                f"the draft in {path} was ignored: it is not a file of yours; remove it to save drafts"
            )
        if info.st_size > MAX_BYTES:
            raise DraftError(f"the draft in {path} was ignored: it is too large; remove it to save drafts")

    def _set_aside(self, path: Path) -> Path:
        for number in range(100):
            aside = path.with_suffix(f".broken-{number}")
            if not os.path.lexists(aside):
                path.rename(aside)
                return aside
        return path


def draft_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Return the directory of drafts: `$XDG_STATE_HOME/victor/drafts`, or below `~/.local/state`."""
    return user_directory("XDG_STATE_HOME", ".local/state", environ) / "drafts"
