"""The record of a running engine, by which consoles and commands of other users find its socket.

A record is trusted only if its directory was given to the user who wrote it: by root, by the user who reads it, or
because that user also owns the workspace. The client then checks that the recorded user listens on the socket.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import msgspec

from victor_engine.ownership import why_unsafe
from victor_engine.service import runtime_directory
from victor_engine.service.paths import workspace_name

FILE = "engine.json"
MAX_SIZE = 64 * 1024
"""Maximum bytes of a record, which another user wrote."""


class EngineRecord(msgspec.Struct, frozen=True):
    """The engine of a workspace, as it describes itself. `workspace` is the real path."""

    workspace: str
    pid: int
    user: str
    uid: int
    socket: str
    state_dir: str
    started: datetime
    version: str


def beside(socket: Path) -> Path:
    """Return the path of the record of an engine whose socket path is configured."""
    return socket.with_name(socket.name + ".json")


def write(path: Path, record: EngineRecord) -> None:
    """Write a record that all users can read. Raises OSError."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o644)
        file.write(msgspec.json.encode(record) + b"\n")
    fresh.rename(path)


def remove(path: Path) -> None:
    """Remove the record of this process, and its directory if it is empty."""
    found = _content(path)
    if found is None or found[0].pid != os.getpid():
        return
    with suppress(OSError):
        path.unlink()
    if path.name == FILE:
        remove_folder(path.parent)


def remove_folder(folder: Path) -> None:
    """Remove the runtime directory of an engine that has ended, if it is empty and this user may."""
    with suppress(OSError):
        folder.rmdir()


def find(
    workspace: Path, *, configured: Iterable[Path] = (), environ: Mapping[str, str] | None = None
) -> Iterator[EngineRecord]:
    """Yield the trusted records of a workspace. Their engines may have ended.

    `configured` are socket paths from configuration files of root or of this user.
    """
    real = workspace.resolve()
    for path, above in _places(real, configured, environ):
        record = read(path, real, above)
        if record is not None:
            yield record


def _places(
    real: Path, configured: Iterable[Path], environ: Mapping[str, str] | None
) -> Iterator[tuple[Path, Set[int] | None]]:
    """Yield the paths of possible records of a workspace, each with the users who may own the directories above."""
    name, me = workspace_name(real), os.geteuid()
    for parent in runtime_directory.parents(environ):
        yield parent / name / FILE, {0, me}
    for socket in configured:
        yield beside(socket), None
    if me == 0:
        # Root can read the runtime directories of all users, but trusts only the owner of the workspace.
        with suppress(OSError):
            owner = os.stat(real).st_uid
            yield Path(f"/run/user/{owner}/victor") / name / FILE, {0, owner}


def read(path: Path, workspace: Path, above: Set[int] | None) -> EngineRecord | None:
    """Return the record of a workspace in a file; None if it is missing, invalid or not to be trusted.

    The file, its directory and the record must name the same user. The directories above must belong to the users
    `above` (None: root, this user or the same user), and no one else may replace a part of the path.
    """
    found = _content(path)
    if found is None:
        return None
    record, info = found
    try:
        folder = path.parent.lstat()
        owners = {0, os.geteuid(), record.uid} if above is None else above
        safe = (
            why_unsafe(path.parent.parent, owners) is None
            and why_unsafe(path.parent, {*owners, record.uid}) is None
        )
    except OSError:
        return None
    mine = (
        stat.S_ISDIR(folder.st_mode)
        and info.st_uid == folder.st_uid == record.uid
        and not info.st_mode & 0o022
    )
    known = record.workspace == str(workspace) and Path(record.socket).is_absolute()
    return record if safe and mine and known else None


def _content(path: Path) -> tuple[EngineRecord, os.stat_result] | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode):
            return None
        try:
            return msgspec.json.decode(file.read(MAX_SIZE), type=EngineRecord), info
        except (OSError, msgspec.DecodeError):
            return None
