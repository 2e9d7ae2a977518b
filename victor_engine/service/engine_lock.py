"""The lock that allows one engine per state directory. The operating system releases it with the process."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType

import msgspec

from victor_engine.errors import ConfigError, EngineLockedError, PermissionDeniedError, StorageError
from victor_engine.identity import user_name
from victor_engine.private import check_owner
from victor_engine.service.paths import SERVICE_STATE_DIR

NETWORK_FILE_SYSTEMS = frozenset(
    [
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "ncpfs",
        "afs",
        "ceph",
        "lustre",
        "glusterfs",
        "beegfs",
        "fuse.sshfs",
        "fuse.glusterfs",
        "fuse.ceph",
        "fuse.s3fs",
        "fuse.rclone",
        "davfs",
        "fuse.davfs",
    ]
)
"""File systems on which file locks and the shared memory of SQLite are not reliable between machines."""

_PROBES = 5
_PROBE_PAUSE = 0.004
"""Seconds. A process that only checks for an engine holds the lock for microseconds, so probe several times."""


class LockOwner(msgspec.Struct, frozen=True, omit_defaults=True):
    """The content of the lock file: the process, user and socket of the engine."""

    pid: int
    user: str
    mode: str
    socket: str
    host: str = ""


class EngineLock:
    """The lock of a state directory, held until `release` or the end of the process."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.path = state_dir / "engine.lock"
        self._fd: int | None = None

    @property
    def held(self) -> bool:
        return self._fd is not None

    def try_acquire(self, mode: str, socket: Path | str) -> None:
        """Acquire the lock without waiting. `mode` is embedded, daemon or cli. The directory must exist.

        Raise EngineLockedError, with the `pid` of the owner, if another process has the lock;
        PermissionDeniedError if this user cannot run an engine here; ConfigError on a network file system.
        """
        if self._fd is not None:
            return
        check_local(self.state_dir)
        self._check_owner(mode)
        for attempt in range(_PROBES):
            fd = self._open()
            if self._lock(fd):
                self._fd = fd
                try:
                    self._describe(fd, mode, str(socket))
                except OSError as error:
                    self.release()
                    raise StorageError(f"{self.path} cannot be written: {error.strerror}") from error
                return
            os.close(fd)
            if attempt < _PROBES - 1:
                time.sleep(_PROBE_PAUSE)
        owner = read_owner(self.path)
        if owner is None:
            raise EngineLockedError(f"{self.state_dir}: another process holds the lock {self.path.name}")
        raise EngineLockedError(
            f"{self.state_dir}: an engine already runs (pid {owner.pid}, {owner.user}, {owner.mode})",
            pid=owner.pid,
            user=owner.user,
            mode=owner.mode,
            socket=owner.socket,
        )

    def _open(self) -> int:
        try:
            return os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise ConfigError(
                f"{self.path}: cannot open the lock file: {error.strerror}; "
                "the engine needs write permission for its state directory"
            ) from error

    def _lock(self, fd: int) -> bool:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        # Another process may have removed or replaced the file between the open and the lock.
        try:
            named = os.stat(self.path)
        except FileNotFoundError:
            return False
        ours = os.fstat(fd)
        return (named.st_dev, named.st_ino) == (ours.st_dev, ours.st_ino)

    def set_socket(self, socket: Path) -> None:
        """Write the path of the socket into the lock file, if the engine listens elsewhere than it announced."""
        owner = read_owner(self.path)
        if self._fd is not None and owner is not None and owner.socket != str(socket):
            try:
                self._describe(self._fd, owner.mode, str(socket))
            except OSError as error:
                raise StorageError(f"{self.path} cannot be written: {error.strerror}") from error

    def _describe(self, fd: int, mode: str, socket: str) -> None:
        owner = LockOwner(
            pid=os.getpid(), user=user_name(os.geteuid()), mode=mode, socket=socket, host=os.uname().nodename
        )
        text = msgspec.json.encode(owner) + b"\n"
        os.pwrite(fd, text, 0)
        os.ftruncate(fd, len(text))

    def _check_owner(self, mode: str) -> None:
        check_owner(self.state_dir)
        if mode == "embedded" and self.state_dir.resolve() == SERVICE_STATE_DIR:
            raise PermissionDeniedError(
                f"{self.state_dir} is the state directory of the system service; to start its engine, run: "
                "systemctl start victor-scheduler"
            )

    def release(self) -> None:
        """Release the lock and keep the file. If it were removed, two processes could have a lock each."""
        if self._fd is not None:
            os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> EngineLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def read_owner(lock_path: Path) -> LockOwner | None:
    """Return the content of a lock file, whose process may have ended; None if it cannot be read."""
    try:
        return msgspec.json.decode(lock_path.read_bytes(), type=LockOwner)
    except (OSError, msgspec.DecodeError):
        return None


def engine_owner(state_dir: Path) -> LockOwner | None:
    """Return the owner of the lock of a state directory; None if no process holds it. Change nothing."""
    path = state_dir / "engine.lock"
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return read_owner(path) or LockOwner(pid=0, user="", mode="", socket=str(state_dir / "engine.sock"))
    finally:
        os.close(fd)
    return None


def check_local(path: Path, mounts: str | None = None) -> None:
    """Raise ConfigError if `path` is on a network file system. `mounts` is the text of mountinfo."""
    kind = file_system(path, mounts)
    if kind in NETWORK_FILE_SYSTEMS:
        raise ConfigError(
            f"{path} is on a network file system ({kind}), where file locks and the shared memory of SQLite "
            "are not reliable and a run could be executed twice; set VICTOR_STATE to a local directory"
        )


def file_system(path: Path, mounts: str | None = None) -> str:
    """Return the type of the file system of `path`, as in /proc/self/mountinfo; empty if it is unknown."""
    if mounts is None:
        try:
            mounts = Path("/proc/self/mountinfo").read_text()
        except OSError:
            return ""
    full = path.resolve()
    best, kind = -1, ""
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        fields, described = left.split(), right.split()
        if len(fields) < 5 or not described:
            continue
        point = Path(fields[4].encode().decode("unicode_escape"))
        # Later mounts on the same point hide earlier ones.
        if full.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), described[0]
    return kind
