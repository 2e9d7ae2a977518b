"""The check that no other user can replace a file: the owners and permissions of all directories above it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Set
from pathlib import Path

from victor_engine.identity import user_name

MAX_LINKS = 40
"""Maximum symbolic links on a path, as in the kernel."""


def why_unsafe(folder: Path, trusted: Set[int], *, sticky: bool = False) -> str | None:
    """Return why a user outside `trusted` (user ids) could replace a file in `folder`; None if no one could.

    Each directory and symbolic link on the way must belong to a trusted user, and no one else may write to the
    directories. A directory above `folder` may be writable by others if it is sticky, as `/tmp`. With `sticky`,
    `folder` may be so too. Raises OSError if a part cannot be read.
    """
    steps = list(_steps(folder))
    for number, step in enumerate(steps):
        info = os.lstat(step)
        if info.st_uid not in trusted:
            return f"{step} belongs to {user_name(info.st_uid)}"
        if stat.S_ISLNK(info.st_mode):
            continue
        if not stat.S_ISDIR(info.st_mode):
            return f"{step} is not a directory"
        above = sticky or number < len(steps) - 1
        if info.st_mode & 0o022 and not (above and info.st_mode & stat.S_ISVTX):
            who = "all users" if info.st_mode & 0o002 else "its group"
            return f"{who} can write to {step} ({stat.S_IMODE(info.st_mode):04o})"
    return None


def closed_to_others(folder: Path, group: int | None = None) -> Path | None:
    """Return the first directory on the way to `folder` that other users cannot enter; None if they can.

    With `group`, only the users of this group id count.
    """
    for step in _steps(folder):
        info = os.lstat(step)
        enter = 0o010 if group is not None and info.st_gid == group else 0o001
        if not stat.S_ISLNK(info.st_mode) and not info.st_mode & enter:
            return step
    return None


def _steps(folder: Path) -> Iterator[Path]:
    """Yield each directory and symbolic link that the kernel reads on the way to `folder`, from the root."""
    current, links = Path("/"), 0
    yield current
    rest = list(folder.absolute().parts[1:])
    while rest:
        part = rest.pop(0)
        if part == "..":
            current = current.parent
            continue
        step = current / part
        yield step
        if not step.is_symlink():
            current = step
            continue
        links += 1
        if links > MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(folder))
        target = Path(os.readlink(step))
        if target.is_absolute():
            current = Path("/")
            rest = [*target.parts[1:], *rest]
        else:
            rest = [*target.parts, *rest]
