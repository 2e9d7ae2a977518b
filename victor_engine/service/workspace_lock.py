"""The lock that allows one engine per workspace. It is on the directory, so it works across users and state
directories."""

from __future__ import annotations

import fcntl
import logging
import os
from pathlib import Path

from victor_engine.errors import ConfigError, EngineLockedError
from victor_engine.identity import user_name
from victor_engine.service import engine_record

log = logging.getLogger(__name__)

FILES = {"engine.lock", "victor.db"}
"""Files of the state directory that a running engine has open."""


class WorkspaceLock:
    """The lock of a workspace, held until `release` or the end of the process.

    It needs no write permission and creates no file. A directory that does not exist, or whose file system
    does not support locks, is not locked.
    """

    def __init__(self, workspace: Path, state_dir: Path) -> None:
        self.workspace = workspace
        self.state_dir = state_dir
        self._fd: int | None = None
        self._without_locks: int | None = None  # the device whose file system does not support locks

    @property
    def held(self) -> bool:
        return self._fd is not None

    def acquire(self) -> None:
        """Lock the directory that now has the path of the workspace.

        If another directory has replaced the locked one, lock the new one. Raise EngineLockedError, with the
        `pid` of the owner, if another engine has the lock, and ConfigError if the directory cannot be read.
        """
        try:
            fd = os.open(self.workspace, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        except OSError as error:
            raise ConfigError(
                f"{self.workspace}: cannot read the workspace: {error.strerror}; "
                "give the user of the engine read permission for the directory"
            ) from error
        if self._fd is not None and os.path.sameopenfile(fd, self._fd):
            os.close(fd)
            return
        device = os.fstat(fd).st_dev
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            try:
                raise self._refusal(fd) from None
            finally:
                os.close(fd)
        except OSError as error:
            os.close(fd)
            if self._without_locks == device:
                return
            self._without_locks = device
            log.warning(
                "%s cannot be locked (%s): a second engine with another state directory would not be detected",
                self.workspace,
                error.strerror,
            )
            return
        self.release()
        self._fd = fd

    def _refusal(self, fd: int) -> EngineLockedError:
        pid = holder(os.fstat(fd))
        if pid is None:
            return EngineLockedError(
                f"{self.workspace}: another engine runs on this workspace, in a process that is not visible to this user; "
                "stop it first"
            )
        found = state_directory_of(pid, self.state_dir) or _recorded(self.workspace, pid)
        owner = _owner(pid)
        if found is None:
            where, remedy = "its state directory cannot be read", "stop it first, or use its state directory"
        else:
            where = f"state directory {found}"
            remedy = f"use that engine with `--state-dir {found}` or VICTOR_STATE, or stop it first"
        return EngineLockedError(
            f"{self.workspace}: another engine runs on this workspace (pid {pid}{owner}, {where}), and this one has the "
            f"state directory {self.state_dir}; {remedy}",
            pid=pid,
            **({} if found is None else {"state_dir": str(found)}),
        )

    def release(self) -> None:
        if self._fd is not None:
            # A forked child may have a copy of the descriptor for a moment; unlocking does not wait for it.
            fcntl.flock(self._fd, fcntl.LOCK_UN)
            os.close(self._fd)
            self._fd = None


def holder(info: os.stat_result) -> int | None:
    """Return the process that has an exclusive lock on a file; None if it is unknown."""
    device = f"{os.major(info.st_dev):02x}:{os.minor(info.st_dev):02x}"
    near: int | None = None
    try:
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        # 1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF
        fields = line.split()
        if len(fields) < 6 or fields[1] != "FLOCK" or fields[3] != "WRITE" or not fields[4].isdigit():
            continue
        found_device, _, inode = fields[5].rpartition(":")
        pid = int(fields[4])
        if inode == str(info.st_ino) and pid > 0:
            if found_device == device:
                return pid
            near = pid  # on some file systems, stat reports another device number
    return near


def state_directory_of(pid: int, other_than: Path) -> Path | None:
    """Return the state directory of the engine in a process; None without permission to read it."""
    folder = Path("/proc") / str(pid) / "fd"
    found: dict[Path, set[str]] = {}
    try:
        for name in os.listdir(folder):
            try:
                target = Path(os.readlink(folder / name))
            except OSError:
                continue
            found.setdefault(target.parent, set()).add(target.name)
    except OSError:
        return None
    found.pop(other_than.resolve(), None)
    return next((parent for parent, names in found.items() if names >= FILES), None)


def _recorded(workspace: Path, pid: int) -> Path | None:
    """Return the state directory that the engine in a process has recorded for other users."""
    found = (record for record in engine_record.find(workspace) if record.pid == pid)
    return next((Path(record.state_dir) for record in found), None)


def _owner(pid: int) -> str:
    try:
        return f", {user_name(os.stat(f'/proc/{pid}').st_uid)}"
    except OSError:
        return ""
