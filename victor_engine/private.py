"""Files and directories of the engine, which are for its owner alone whatever the umask is."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from victor_engine.errors import ConfigError, PermissionDeniedError
from victor_engine.identity import user_name


def make_directory(path: Path) -> None:
    """Create a directory, and those above it that are missing, with rights for the owner alone.

    Raises OSError.
    """
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
    """Open a file of the engine, created if it is missing, and take all rights but the owner's from it.

    Raises ConfigError where the path is a symbolic link, else OSError.
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
    """Raise PermissionDeniedError if a state directory belongs to somebody else."""
    _check_owner(directory, directory.stat().st_uid)


def _check_owner(directory: Path, uid: int) -> None:
    if uid != os.geteuid():
        owner = user_name(uid)
        raise PermissionDeniedError(
            f"{directory} belongs to {owner}, and only {owner} may run an engine on it; start one as {owner} "
            "(victor scheduler start) and attach to it, or set VICTOR_STATE to a directory of your own"
        )


def close_to_others(directory: Path, workspace: Path) -> str | None:
    """Take the rights of group and others from a state directory; return what was done, or None if nothing.

    A directory that holds the workspace too keeps its rights. Raises PermissionDeniedError if the directory
    belongs to somebody else, ConfigError if everybody may create files in it.
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
                f"the state directory {directory} holds the workspace and is open to others ({mode:04o}); "
                "set VICTOR_STATE to a directory that only the engine uses"
            )
        os.fchmod(descriptor, mode & 0o700)
        return (
            f"the state directory {directory} was open to others ({mode:04o}); the engine has taken the rights of "
            f"group and others from it ({mode & 0o700:04o})"
        )
    finally:
        os.close(descriptor)
