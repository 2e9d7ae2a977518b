"""The check that no other user can replace a file: the owners and permissions of all directories above it."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
from collections.abc import Iterable, Iterator, Set
from pathlib import Path

from victor_engine.identity import user_name

MAX_LINKS = 40
"""Maximum symbolic links on a path, as in the kernel."""


def why_unsafe(
    folder: Path, trusted: Set[int], *, sticky: bool = False, private_groups: bool = False
) -> str | None:
    """Return why a user outside `trusted` (user ids) could replace a file in `folder`; None if no one could.

    Each directory and symbolic link on the way must belong to a trusted user, and no one else may write to the
    directories. A directory above `folder` may be writable by others if it is sticky, as `/tmp`. With `sticky`,
    `folder` may be so too. With `private_groups`, a group that only trusted users have may write. Raises OSError if a
    part cannot be read.
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
        if above and info.st_mode & stat.S_ISVTX:
            continue
        who = _writers(step, info, trusted, private_groups)
        if who:
            return f"{who} can write to {step} ({stat.S_IMODE(info.st_mode):04o})"
    return None


def why_exposed(root: Path, names: Iterable[str], trusted: Set[int]) -> str | None:
    """Return why a user outside `trusted` could change one of some files below `root`; None if no one could.

    The files need not exist: a user who could create one could change it. Groups that only trusted users have may write.
    """
    checked: set[Path] = set()
    try:
        for path in [root / "victor.yaml", *(root / name for name in names)]:
            for each in dict.fromkeys((path, Path(os.path.realpath(path)))):
                if each.parent not in checked:
                    if each.parent.is_dir() and (
                        why := why_unsafe(each.parent, trusted, private_groups=True)
                    ):
                        return why
                    checked.add(each.parent)
                if not os.path.lexists(each):
                    continue
                info = os.lstat(each)
                if info.st_uid not in trusted:
                    return f"{each} belongs to {user_name(info.st_uid)}"
                who = "" if stat.S_ISLNK(info.st_mode) else _writers(each, info, trusted, True)
                if who:
                    return f"{who} can write to {each} ({stat.S_IMODE(info.st_mode):04o})"
    except OSError as error:
        return f"{error.filename or root} cannot be read: {error.strerror or error}"
    return None


def _writers(path: Path, info: os.stat_result, trusted: Set[int], private_groups: bool) -> str:
    """Return the users other than the owner who can write to a file or directory, as text; empty if there are none."""
    if info.st_mode & 0o002:
        return "all users"
    if not info.st_mode & 0o020:
        return ""
    if private_groups and _is_private(info.st_gid, trusted) and not _has_access_list(path):
        return ""
    return "its group"


def _is_private(gid: int, trusted: Set[int]) -> bool:
    """Return whether a group is the private group of a trusted user: it has the user's name and no other member."""
    try:
        group = grp.getgrgid(gid)
        owners = {pwd.getpwuid(uid).pw_name for uid in trusted}
    except KeyError:
        return False
    return group.gr_name in owners and set(group.gr_mem) <= owners


def _has_access_list(path: Path) -> bool:
    """Return whether a file may have a list of further users who can write to it (POSIX ACL)."""
    try:
        return "system.posix_acl_access" in os.listxattr(path)
    except OSError:
        return False


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
