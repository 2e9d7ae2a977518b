"""The check that the files of a binding are still the trusted ones when its work starts."""

from __future__ import annotations

import os
from pathlib import Path

from victor_engine.config.content import Content, file_digest
from victor_engine.config.trust_rules import Mode
from victor_engine.ownership import why_exposed

_Stamp = tuple[int, ...]


class ContentGuard:
    """The trusted content of a workspace, and the digests of its files as they are now.

    `held` are the files that were not trusted when the content was read.
    """

    def __init__(self, workspace: Path, content: Content, mode: Mode, held: frozenset[str]) -> None:
        self._workspace = workspace
        self._content = content
        self._mode = mode
        self._held = held
        self._known: dict[str, tuple[_Stamp, str]] = {}

    def trust(self, content: Content) -> None:
        """Compare the files of the bindings with other content from now on, because trust was given for it."""
        self._content = Content({**self._content.files, **content.files}, self._content.bound)
        self._held = frozenset()

    def refusal(self, key: str) -> str | None:
        """Return why the work of a binding must not start; None if its files are trusted. Blocks for large files.

        With the mode `watch`, changed files are trusted if only root and this user can write them.
        """
        names = self._content.bound.get(key, ())
        changed = [name for name in names if self._now(name) != self._content.files.get(name, "")]
        held = [name for name in names if name in self._held]
        if not changed and not held:
            return None
        if self._mode == "watch" and not held:
            why = why_exposed(self._workspace, names, {0, os.geteuid()})
            if why is None:
                return None
            return f"{changed[0]} changed since it was trusted, and {why}"
        return f"{(held or changed)[0]} changed since it was trusted"

    def _now(self, name: str) -> str:
        """Return the present digest of a file; empty if it does not exist. An unchanged file is not read again."""
        path = self._workspace / name
        try:
            info = os.stat(path)
        except (OSError, ValueError):
            return file_digest(path)
        stamp = (info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
        known = self._known.get(name)
        if known is None or known[0] != stamp:
            known = self._known[name] = stamp, file_digest(path)
        return known[1]
