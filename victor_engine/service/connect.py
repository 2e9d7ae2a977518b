"""The ways to open a port: attach to the running engine, open an engine here, or read the store only."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from victor_engine.api import EventQuery, Port
from victor_engine.errors import (
    ConfigError,
    EngineLockedError,
    EngineUnavailableError,
    FencedError,
    PermissionDeniedError,
    StorageError,
    StoreError,
    VictorError,
)
from victor_engine.identity import current_actor, local_actor, user_name
from victor_engine.service import loop_watchdog
from victor_engine.service.engine_lock import EngineLock, engine_owner
from victor_engine.service.finding import attach, how_to_start
from victor_engine.service.paths import Paths, locate
from victor_engine.service.signals import Signals
from victor_engine.service.workspace_lock import WorkspaceLock

if TYPE_CHECKING:
    from victor_engine.engine import Engine

WORKSPACE_CHECK = 1.0
"""Seconds between two checks whether another directory has replaced the workspace."""

Mode = Literal["attach", "oneshot", "deploy", "read", "embedded"]


def find(workspace: Path | str | None = None, state_dir: Path | str | None = None) -> Paths:
    """Return the workspace and the state directory. `state_dir` has precedence over the environment."""
    paths = locate(workspace)
    return Paths(paths.workspace, Path(state_dir).expanduser().absolute()) if state_dir is not None else paths


async def how_it_ended(paths: Paths) -> str:
    """Return why and when the last engine of a state directory stopped; empty if none has run."""
    if not _store_exists(paths):
        return ""
    port = _read_only(paths)
    try:
        kinds = ("engine.started", "engine.stopped")
        found = await port.events(EventQuery(kinds=kinds, limit=1))
    finally:
        await port.close()
    for event in found:
        if event.kind == "engine.started":
            return f"the engine (process {event.data.get('pid')}) stopped unexpectedly"
        at = f"{event.at.astimezone():%H:%M:%S}"
        if "signal" in event.data:
            return f"{event.data['signal']} stopped the engine at {at}"
        return f"{event.actor.user} stopped the engine at {at}"
    return ""


async def _wait_for_lock(lock: EngineLock, mode: str, socket: Path | str) -> None:
    """Acquire the lock. Wait up to 5 seconds for a command line that holds it for one write."""
    for attempt in range(50):
        try:
            lock.try_acquire(mode, socket)
            return
        except EngineLockedError:
            owner = engine_owner(lock.state_dir)
            if (owner is not None and owner.mode != "cli") or attempt == 49:
                raise
            await asyncio.sleep(0.1)


async def _check_files(engine: Engine) -> None:
    """Begin a storage outage if the files of the store were removed or replaced, also if nothing is written."""
    try:
        engine.store.files.check()
    except StorageError:
        if engine.store.outage is None:
            with suppress(VictorError):
                await engine.store.write(lambda tx: None)


async def _keep_workspace(engine: Engine, lock: WorkspaceLock) -> None:
    """Lock a directory that replaces the workspace; stop the engine if another engine has the lock."""
    while True:
        await asyncio.sleep(WORKSPACE_CHECK)
        await _check_files(engine)
        try:
            lock.acquire()
        except EngineLockedError as error:
            engine.stop_fenced(FencedError(f"the workspace's directory was replaced. {error.message}"))
            return
        except ConfigError:
            continue  # the next reload reports it


async def open_engine(
    paths: Paths,
    *,
    mode: Literal["embedded", "daemon"] = "embedded",
    config_file: Path | None = None,
    overrides: dict[str, Any] | None = None,
    fire: bool = True,
    recover: bool = True,
    serve: bool = True,
) -> Engine:
    """Open the engine of a state directory in this process: locks, store, scheduler, runtime and socket.

    With `fire=False` the engine does not fire schedules. With `recover=False` it does not recover the runs of
    earlier engines. With `serve=False` it does not create a socket. `Engine.close` releases the locks.

    Raise EngineLockedError, with the process of the other engine, if an engine already runs on this state
    directory or on this workspace.
    """
    from victor_engine.engine import Engine
    from victor_engine.service import file_watch
    from victor_engine.service.daemon_settings import DaemonSettings, of_paths
    from victor_engine.service.listening import Listener

    paths.make()
    lock = EngineLock(paths.state_dir)
    await _wait_for_lock(lock, mode, paths.socket_path)
    if paths.socket_path.is_socket():
        paths.socket_path.unlink()  # its engine was killed
    workspace = WorkspaceLock(paths.workspace, paths.state_dir)

    def release_locks() -> None:
        workspace.release()
        lock.release()

    try:
        workspace.acquire()
        daemon = DaemonSettings(config_file)
        if config_file is None and mode != "daemon":
            daemon = await of_paths(paths)
        engine = await Engine.open(
            paths.workspace,
            paths.state_dir,
            mode=mode,
            config_file=daemon.config,
            environ=daemon.environ,
            problems=daemon.problems,
            overrides=overrides,
            fire=fire,
            recover=recover,
        )
    except BaseException:
        release_locks()
        raise
    engine.on_closed = release_locks
    engine.store.files.watch(lock.path)
    loop_watchdog.watch(engine)
    watcher = asyncio.create_task(_keep_workspace(engine, workspace))

    async def stop_watching() -> None:
        watcher.cancel()
        await asyncio.wait([watcher])

    engine.closers.append(stop_watching)
    if serve:
        listener = Listener(engine, paths, lock)
        engine.closers.append(listener.close)
        try:
            await listener.start()
        except BaseException:
            await engine.close()
            raise
        engine.files.on_used = listener.reloaded
    if serve and fire and (watch := file_watch.start(engine)) is not None:

        async def stop_files() -> None:
            watch.cancel()
            await asyncio.wait([watch])

        engine.closers.append(stop_files)
    return engine


async def open_console(
    *,
    workspace: Path | str | None = None,
    state: Path | str | None = None,
    attach_only: bool = False,
    read_only: bool = False,
    config_file: Path | None = None,
    via: str = "console",
) -> tuple[Port, bool]:
    """Return the port of a console, and whether the engine is in this process.

    Attach to the running engine, or open an engine in this process if none runs. With `attach_only`, raise
    EngineUnavailableError if no engine runs. With `read_only`, only read the store. `via` is console, or web for the
    console of a browser.
    """
    paths = find(workspace, state)
    if not read_only:
        port = await attach(paths, via)
        if port is not None:
            return port, False
        if attach_only:
            ended = await how_it_ended(paths)
            raise EngineUnavailableError(ended or how_to_start(paths))
        try:
            return await open_engine(paths, config_file=config_file), True
        except EngineLockedError:
            port = await attach(paths, via)
            if port is None:
                raise
            return port, False
    return _read_only(paths), False


def watch_silence(port: Port, report: Callable[[str], None]) -> None:
    """Call `report` with a text while an attached engine does not answer, and with an empty text when it answers again."""
    from victor_engine.service.connection import Connection

    if isinstance(port, Connection):
        port.on_silence = report


def _store_exists(paths: Paths) -> bool:
    """Return whether an engine has created the store. Raise PermissionDeniedError if it belongs to another user."""
    try:
        exists = paths.db_path.exists()
        denied = exists and not os.access(paths.db_path, os.R_OK)
    except PermissionError:
        exists, denied = True, True
    if denied:
        raise PermissionDeniedError(
            f"permission denied: {paths.state_dir} belongs to another user, and no engine runs on it that "
            f"{user_name(os.geteuid())} could ask; start the engine as its owner: victor scheduler start"
        )
    return exists


def _read_only(paths: Paths) -> Port:
    from victor_engine.service.read_only import ReadOnlyPort

    if not _store_exists(paths):
        raise StoreError(f"{paths.db_path} does not exist: {how_to_start(paths)}")
    return ReadOnlyPort.open(paths.db_path, workspace=paths.workspace)


@asynccontextmanager
async def open_port(
    workspace: Path | str | None = None,
    state_dir: Path | str | None = None,
    *,
    mode: Mode = "attach",
    config_file: Path | None = None,
) -> AsyncIterator[Port]:
    """Open a port for the command line, and close it at the end of the block.

    If an engine runs, attach to it. Otherwise `mode` decides: `attach` raises EngineUnavailableError; `read`
    only reads the store; `oneshot` writes to the store under the lock, without execution; `deploy` does so without
    the deployment that an engine makes when it starts; `embedded` opens an
    engine in this process that neither fires schedules nor recovers the runs of earlier engines.
    """
    paths = find(workspace, state_dir)
    token = current_actor.set(local_actor("cli"))
    port: Port | None = None
    try:
        port = await attach(paths, "cli")
        if port is None:
            if mode == "attach":
                raise EngineUnavailableError(how_to_start(paths))
            port = await _without_engine(paths, mode, config_file)
        yield port
    finally:
        if port is not None:
            await port.close()
        current_actor.reset(token)


async def _without_engine(paths: Paths, mode: Mode, config_file: Path | None) -> Port:
    if mode == "read":
        return _read_only(paths)
    if mode == "embedded":
        return await open_engine(paths, config_file=config_file, fire=False, recover=False)
    from victor_engine.engine import Engine
    from victor_engine.service.daemon_settings import DaemonSettings, of_paths

    paths.make()
    lock = EngineLock(paths.state_dir)
    await _wait_for_lock(lock, "cli", "")
    try:
        daemon = await of_paths(paths) if config_file is None else DaemonSettings(config_file)
        engine = await Engine.open(
            paths.workspace,
            paths.state_dir,
            config_file=daemon.config,
            environ=daemon.environ,
            problems=daemon.problems,
            work=False,
            deploy=mode != "deploy",
        )
    except BaseException:
        lock.release()
        raise
    engine.on_closed = lock.release
    return engine


# --- running as a process ----------------------------------------------------------------------


async def wait_for_stop(engine: Engine, signals: Signals) -> str:
    """Wait for a signal or for `stop_engine`. A further signal force-kills the commands.

    Return the name of the signal, or `stop`.
    """
    signals.on_repeat = engine.force_kill
    requested = asyncio.ensure_future(engine.stop_requested.wait())
    try:
        either: set[asyncio.Future[Any]] = {requested, signals.received}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not signals.received.done():
            return "stop"
        engine.stop_signal = signals.received.result().name
        return engine.stop_signal
    finally:
        requested.cancel()
