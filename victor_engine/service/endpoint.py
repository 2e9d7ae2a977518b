"""The path and the permissions of the socket of an engine, as its configuration and its machine allow."""

from __future__ import annotations

import grp
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from victor_engine.api import ProblemInfo
from victor_engine.config import Config
from victor_engine.config.yaml_locations import place_from_text
from victor_engine.errors import ConfigError, VictorError
from victor_engine.identity import user_name
from victor_engine.ownership import closed_to_others
from victor_engine.service import runtime_directory
from victor_engine.service.paths import SOCKET_PATH_LIMIT, Paths, workspace_name

NAME = "engine.sock"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The socket of an engine. `problem` says why other users cannot connect although they have permissions.

    `configured` is true if `socket.path` names the socket, `shared` if other users can connect.
    """

    path: Path
    mode: int = 0o600
    group: int | None = None
    configured: bool = False
    problem: str = ""

    @property
    def shared(self) -> bool:
        return self.mode != 0o600

    def prepare(self, *, occupied: bool = False) -> None:
        """Create the directory of a socket that is not in the state directory.

        Raise ConfigError if it cannot be created, or if another engine listens on the socket. `occupied` is true if
        this engine listens on it.
        """
        if not (self.configured or self.shared):
            return
        try:
            if self.shared:
                runtime_directory.make(self.path.parent)
        except OSError as error:
            raise ConfigError(
                f"{error.filename}: cannot create the directory of the socket: {error.strerror}; set socket.path to a "
                f"path in a directory of {user_name(os.geteuid())}"
            ) from error
        if not occupied and _listens(self.path):
            raise ConfigError(
                f"socket.path: another engine listens on {self.path}; each engine needs a path of its own"
            )


def plan(paths: Paths, config: Config, environ: Mapping[str, str] | None = None) -> Endpoint:
    """Return the socket of an engine of this user. Create nothing.

    Raise ConfigError if `socket.path` or `socket.group` cannot be used.
    """
    mode, group = 0o600, None
    if config.permissions is not None:
        group = _group(config.socket.group)
        mode = 0o666 if group is None else 0o660
    if config.socket.path is not None:
        path = config.socket.path
        _check_configured(path)
        return Endpoint(path, mode, group, configured=True, problem=_closed(path.parent, mode, group))
    if mode == 0o600:
        return Endpoint(paths.socket_path)
    folder = runtime_directory.system_parent(environ) / workspace_name(paths.workspace)
    reason = runtime_directory.why_unusable(folder)
    if reason is None:
        return Endpoint(folder / NAME, mode, group, problem=_closed(folder, mode, group))
    return Endpoint(
        paths.socket_path,
        problem=f"{folder} cannot be used: {reason}. Set socket.path, or run the engine as the service that "
        "`victor scheduler install` describes",
    )


def problems(paths: Paths, config: Config, *, validating: bool = False) -> list[ProblemInfo]:
    """Return the problems of the socket of an engine of this user.

    With `validating`, the engine can be of the user to whom root gave the runtime directory.
    """
    if validating and _of_other_user(runtime_directory.system_parent() / workspace_name(paths.workspace)):
        return []
    severity, text, key = "warning", "", "socket.path"
    try:
        text = plan(paths, config).problem
        if text:
            key = "permissions"
            text = f"other users cannot connect to the engine although they have permissions: {text}"
        elif config.socket.group is not None and config.permissions is None:
            key = "socket.group"
            text = "socket.group has no effect without permissions: only root and the user of the engine can connect"
    except VictorError as error:
        severity, text = "error", error.message
        key = "socket.group" if text.startswith("socket.group") else key
    if not text:
        return []
    places = (place for name, place in config.origins.items() if name.startswith(key))
    path, line, column = place_from_text(next(places, ""))
    return [
        ProblemInfo("error" if severity == "error" else "warning", text, path=path, line=line, column=column)
    ]


def _of_other_user(folder: Path) -> bool:
    try:
        return folder.stat().st_uid != os.geteuid()
    except OSError:
        return False


def _group(name: str | None) -> int | None:
    if name is None:
        return None
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise ConfigError(
            f"socket.group: the group {name} does not exist on this machine; add it (groupadd {name}), or correct the "
            "name"
        ) from None


def _check_configured(path: Path) -> None:
    if len(os.fsencode(path)) > SOCKET_PATH_LIMIT:
        raise ConfigError(
            f"socket.path: {path} is longer than {SOCKET_PATH_LIMIT} bytes; choose a shorter path"
        )
    reason = runtime_directory.why_unusable(path.parent)
    if reason is not None:
        raise ConfigError(
            f"socket.path: {path} cannot be used: {reason}; choose a path in a directory that {user_name(os.geteuid())} "
            "owns and that no other user can write"
        )


def _closed(folder: Path, mode: int, group: int | None) -> str:
    """Return which directory keeps the users of a socket out; empty if none does."""
    if mode == 0o600:
        return ""
    existing = next(each for each in (folder, *folder.parents) if os.path.lexists(each))
    try:
        closed = closed_to_others(existing, group)
    except OSError as error:
        return f"cannot read {error.filename}: {error.strerror}"
    return "" if closed is None else f"they cannot enter {closed}. To permit it, run: chmod a+x {closed}"


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
