"""The paths of the workspace, of the state directory, and of the files in it."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from victor_engine.errors import ConfigError, PermissionDeniedError
from victor_engine.private import check_owner, make_directory

SERVICE_STATE_DIR = Path("/var/lib/victor")
"""The state directory of the system service. Only a daemon may run an engine on it."""

WORKSPACE_FILE = "victor.yaml"
SOCKET_PATH_LIMIT = 100
"""Maximum bytes of a socket path. The limit of the kernel is 107, and the new socket first gets a longer name."""


@dataclass(frozen=True, slots=True)
class Paths:
    """A workspace and the files of its state directory. `make` creates the directory.

    `chosen` is false if the state directory is only the default, so that an engine with another one is used too.
    """

    workspace: Path
    state_dir: Path
    chosen: bool = True

    @property
    def db_path(self) -> Path:
        return self.state_dir / "victor.db"

    @property
    def lock_path(self) -> Path:
        return self.state_dir / "engine.lock"

    @property
    def socket_path(self) -> Path:
        """Return the socket path for an engine of this user. A running engine has its path in its lock file."""
        return socket_path(self.state_dir)

    def make(self) -> None:
        """Create the state directory with permissions for its owner only.

        Raise PermissionDeniedError if it belongs to another user, ConfigError if it cannot be created.
        """
        try:
            make_directory(self.state_dir)
            check_owner(self.state_dir)
        except OSError as error:
            raise ConfigError(
                f"{self.state_dir}: cannot create the state directory: {error.strerror}; "
                "set VICTOR_STATE to a writable directory"
            ) from error


def find_workspace(
    explicit: str | Path | None = None, *, cwd: Path | None = None, environ: Mapping[str, str] | None = None
) -> Path:
    """Return `explicit`, else the nearest directory from `cwd` upwards with a victor.yaml, else `~/.victor`.

    `explicit` is a directory or the path of a victor.yaml. Raise ConfigError if it does not exist.
    """
    env = os.environ if environ is None else environ
    if explicit is not None:
        given = Path(explicit).expanduser()
        if given.name == WORKSPACE_FILE and given.is_file():
            given = given.parent
        if not given.is_dir():
            raise ConfigError(
                f"{given}: the workspace is not a directory; create it, or give another --workspace"
            )
        return given.resolve()
    start = (cwd or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / WORKSPACE_FILE).is_file():
            return folder
    return _home(env) / ".victor"


def state_directory(
    workspace: Path, *, environ: Mapping[str, str] | None = None, service: bool = False
) -> Path:
    """Return `VICTOR_STATE`, else the directory of the service, else a directory below `XDG_STATE_HOME`."""
    env = os.environ if environ is None else environ
    if given := env.get("VICTOR_STATE"):
        return Path(given).expanduser().absolute()
    if service:
        return SERVICE_STATE_DIR
    base = env.get("XDG_STATE_HOME") or ""
    # The XDG base directory specification requires that relative paths are ignored.
    root = Path(base) if base.startswith("/") else _home(env) / ".local" / "state"
    return root / "victor" / workspace_name(workspace)


def workspace_name(workspace: Path) -> str:
    """Return the name of a workspace in directories of several: its last part, and a digest of its real path."""
    full = workspace.resolve()
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", full.name).strip("-")[:40] or "workspace"
    return f"{name}-{_short_hash(full)}"


def locate(
    workspace: str | Path | None = None,
    *,
    cwd: Path | None = None,
    environ: Mapping[str, str] | None = None,
    service: bool = False,
) -> Paths:
    """Return the paths that the command line and the environment give."""
    env = os.environ if environ is None else environ
    found = find_workspace(workspace, cwd=cwd, environ=env)
    chosen = service or bool(env.get("VICTOR_STATE"))
    return Paths(found, state_directory(found, environ=env, service=service), chosen)


def socket_path(state_dir: Path, environ: Mapping[str, str] | None = None) -> Path:
    """Return `engine.sock` in the state directory, or a shorter path if that is too long for a socket."""
    direct = state_dir / "engine.sock"
    if len(os.fsencode(direct)) <= SOCKET_PATH_LIMIT:
        return direct
    env = os.environ if environ is None else environ
    runtime = env.get("XDG_RUNTIME_DIR") or ""
    name = f"{_short_hash(state_dir.absolute())}.sock"
    short = Path(runtime) / "victor" / name if runtime.startswith("/") else None
    if short is not None and len(os.fsencode(short)) <= SOCKET_PATH_LIMIT:
        return short
    return Path("/tmp") / f"victor-{os.getuid()}" / name


def make_socket_directory(path: Path) -> None:
    """Create the directory of a socket.

    Raise PermissionDeniedError if another user could replace files in it.
    """
    folder = path.parent
    make_directory(folder)
    info = folder.lstat()
    mine = info.st_uid == os.geteuid() and stat.S_ISDIR(info.st_mode)
    if not mine or info.st_mode & 0o022:
        raise PermissionDeniedError(
            f"{folder}: other users can write to the directory of the engine's socket; "
            f"remove their permissions: chmod 700 {folder}"
        )


def _home(env: Mapping[str, str]) -> Path:
    return Path(env["HOME"]) if env.get("HOME") else Path.home()


def _short_hash(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:10]
