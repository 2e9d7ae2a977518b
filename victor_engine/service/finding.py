"""The ways from a workspace to its engine: the lock of the state directory, or the record for other users."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from victor_engine.errors import EngineUnavailableError, PermissionDeniedError, VictorError
from victor_engine.identity import user_name
from victor_engine.service import engine_record
from victor_engine.service.engine_lock import engine_owner
from victor_engine.service.engine_record import EngineRecord
from victor_engine.service.identity import group_name
from victor_engine.service.paths import Paths
from victor_engine.service.workspace_lock import holder

if TYPE_CHECKING:
    from victor_engine.service.client import Client
    from victor_engine.service.protocol import OnBehalf


async def attach(paths: Paths, via: str, on_behalf: OnBehalf | None = None) -> Client | None:
    """Return a client of the engine that runs on this state directory or workspace; None if no engine runs.

    The lock of the state directory names the engine. Another user cannot read it, and another state directory has
    another lock; then the record of the engine in its runtime directory does. A chosen state directory must be
    the recorded one. `on_behalf` is the token for which the client calls. Raise PermissionDeniedError if the engine
    does not accept this user.
    """
    client = await _attach(paths, via, on_behalf)
    if client is not None:
        client.reopen = partial(attach, paths, via, on_behalf)  # the next engine can have another socket
    return client


async def _attach(paths: Paths, via: str, on_behalf: OnBehalf | None) -> Client | None:
    from victor_engine.service.client import Client

    owner = engine_owner(paths.state_dir)
    if owner is not None and owner.mode != "cli":
        path = Path(owner.socket) if owner.socket else paths.socket_path
        return await Client.connect(
            path, via=via, trusted={paths.lock_path.stat().st_uid}, on_behalf=on_behalf
        )
    for record in engine_record.find(paths.workspace, configured=_configured_sockets()):
        if paths.chosen and Path(record.state_dir) != paths.state_dir.resolve():
            continue
        try:
            return await Client.connect(
                Path(record.socket), via=via, trusted={record.uid}, on_behalf=on_behalf
            )
        except EngineUnavailableError as error:
            if not error.details.get("stale"):
                raise
        except PermissionDeniedError as error:
            if not error.details.get("closed"):
                raise
            if is_running(record):
                me = user_name(os.geteuid())
                raise PermissionDeniedError(
                    f"permission denied: the socket of the engine of {record.user} (process {record.pid}) does not admit "
                    f"{me}, ask {record.user} {_remedy(Path(record.socket))}"
                ) from error
    return None


def _remedy(socket: Path) -> str:
    """Return how to get access to a socket: by its group, or by a role."""
    try:
        info = socket.stat()
    except OSError:
        return "for a role: `permissions` in the scheduler.yaml of the engine"
    if info.st_mode & 0o020:
        return f"to add you to the group {group_name(info.st_gid)} (socket.group)"
    return "for a role: `permissions` in the scheduler.yaml of the engine"


def engine_paths(paths: Paths) -> Paths:
    """Return the paths of the engine that runs on the workspace, also of another user; without one, `paths`.

    A state directory that the user has chosen stays.
    """
    if paths.chosen or engine_owner(paths.state_dir) is not None:
        return paths
    for record in engine_record.find(paths.workspace, configured=_configured_sockets()):
        if is_running(record):
            return replace(paths, state_dir=Path(record.state_dir))
    return paths


def how_to_start(paths: Paths) -> str:
    """Return a message that no engine runs, with the ways to start one."""
    for record in engine_record.find(paths.workspace, configured=_configured_sockets()):
        if is_running(record) and not paths.chosen:
            return (
                f"the engine of {record.user} (process {record.pid}) of {paths.workspace} does not accept connections "
                "while it starts or ends; try again"
            )
        if is_running(record):
            return (
                f"no engine runs on {paths.state_dir}; the engine of {record.user} (process {record.pid}) of this "
                f"workspace has the state directory {record.state_dir}: omit --state-dir and VICTOR_STATE to use it"
            )
        if record.uid != os.geteuid():
            return (
                f"the engine of {record.user} (process {record.pid}) of {paths.workspace} has ended; start it again as "
                f"{record.user}: victor scheduler start"
            )
    return (
        f"no engine runs on {paths.state_dir}; start one with `victor scheduler start`, or open "
        f"victor-tui in {paths.workspace}"
    )


def _configured_sockets() -> Iterator[Path]:
    """Yield `socket.path` of the file of this user and of the file of the system."""
    from victor_engine.config.security import SYSTEM_FILE, untrusted_file
    from victor_engine.config.yaml_locations import read_yaml

    for file in (Path.home() / ".victor" / "scheduler.yaml", SYSTEM_FILE):
        if untrusted_file(file) is not None:
            continue
        try:
            source = read_yaml(file)
        except VictorError:
            continue  # the commands that need the configuration report it
        section = source.data.get("socket") if source is not None else None
        path = section.get("path") if isinstance(section, Mapping) else None
        if isinstance(path, str) and path.startswith("/"):
            yield Path(path)


def is_running(record: EngineRecord) -> bool:
    """Return whether the recorded process still runs an engine. It holds the lock of the workspace."""
    try:
        pid = holder(os.stat(record.workspace))
    except OSError:
        pid = None
    return process_exists(record.pid) if pid is None else pid == record.pid


def process_exists(pid: int) -> bool:
    """Return whether a process, also of another user, has not ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
