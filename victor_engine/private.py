"""Files and directories of the engine, which only its owner can access, independent of the umask."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from victor_engine.errors import ConfigError, PermissionDeniedError
from victor_engine.identity import user_name


def make_directory(path: Path) -> None:
    """Create a directory and its missing parents, with permissions for the owner only. Raises OSError."""
    missing = []
    for folder in (path, *path.parents):
        if folder.exists():
            break
        missing.append(folder)
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)
    if not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))


def open_file(path: Path, flags: int) -> int:
    """Open a file of the engine, create it if it is missing, and remove the permissions of group and others.

    Return the file descriptor. Raises ConfigError if the path is a symbolic link, else OSError.
    """
    try:
        descriptor = os.open(path, flags | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise ConfigError(
            f"{path} is a symbolic link, and the engine does not write through one; remove it"
        ) from error
    try:
        info = os.fstat(descriptor)
        if stat.S_ISREG(info.st_mode) and info.st_uid == os.geteuid() and info.st_mode & 0o077:
            os.fchmod(descriptor, stat.S_IMODE(info.st_mode) & 0o700)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def check_owner(directory: Path) -> None:
    """Raise PermissionDeniedError if a state directory belongs to another user."""
    _check_owner(directory, directory.stat().st_uid)


def _check_owner(directory: Path, uid: int) -> None:
    if uid != os.geteuid():
        owner = user_name(uid)
        raise PermissionDeniedError(
            f"{directory} belongs to {owner}, and only {owner} may run an engine on it; start one as {owner} "
            "(victor scheduler start) and attach to it, or set VICTOR_STATE to a directory of your own"
        )


def close_to_others(directory: Path, workspace: Path) -> str | None:
    """Remove the permissions of group and others from a state directory. Return a notice, or None without a change.

    A directory that also contains the workspace keeps its permissions. Raises PermissionDeniedError if the directory
    belongs to another user, and ConfigError if all users may create files in it.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        info = os.fstat(descriptor)
        mode = stat.S_IMODE(info.st_mode)
        _check_owner(directory, info.st_uid)
        if not mode & 0o077:
            return None
        if mode & stat.S_ISVTX:
            raise ConfigError(
                f"{directory} is shared by several users; set VICTOR_STATE to a directory that only the engine uses"
            )
        if workspace.resolve().is_relative_to(directory.resolve()):
            return (
                f"the state directory {directory} contains the workspace and other users can access it ({mode:04o}); "
                "set VICTOR_STATE to a directory that only the engine uses"
            )
        os.fchmod(descriptor, mode & 0o700)
        return (
            f"other users could access the state directory {directory} ({mode:04o}); the engine has removed the "
            f"permissions of group and others ({mode & 0o700:04o})"
        )
    finally:
        os.close(descriptor)
