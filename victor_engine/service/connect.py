"""Ways to a console port: attach to the engine that runs, be the engine, or only look."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from victor_engine.api import EventInfo, EventQuery, Port
from victor_engine.errors import (
    ConfigError,
    EngineLockedError,
    EngineUnavailableError,
    FencedError,
    StoreError,
)
from victor_engine.identity import current_actor, local_actor
from victor_engine.service.lock import EngineLock, engine_owner
from victor_engine.service.memory import settle
from victor_engine.service.paths import Paths, locate
from victor_engine.service.signals import Signals
from victor_engine.service.workspacelock import WorkspaceLock

if TYPE_CHECKING:
    from victor_engine.engine import Engine

WORKSPACE_CHECK = 1.0
"""Seconds between two looks at whether another directory has taken the workspace's place."""

Mode = Literal["attach", "oneshot", "read", "embedded"]


def find(workspace: Path | str | None = None, state_dir: Path | str | None = None) -> Paths:
    """The workspace and state directory in question; `state_dir` wins over the environment."""
    paths = locate(workspace)
    return Paths(paths.workspace, Path(state_dir).expanduser().absolute()) if state_dir is not None else paths


async def attach(paths: Paths, via: str) -> Port | None:
    """The engine that runs on this state directory, over its socket; None if none runs."""
    owner = engine_owner(paths.state_dir)
    if owner is None or owner.mode == "cli":
        return None
    from victor_engine.service.client import Client

    path = Path(owner.socket) if owner.socket else paths.socket_path
    return await Client.connect(path, via=via)


def how_to_start(paths: Paths) -> str:
    return (
        f"no engine runs on {paths.state_dir}; start one with `victor scheduler start`, or open victor-tui "
        f"in {paths.workspace}"
    )


async def how_it_ended(paths: Paths) -> str:
    """Return who or what ended the last engine of a state directory, and when; empty where none has run."""
    if not paths.db_path.exists():
        return ""
    port = _read_only(paths)
    try:
        kinds = ("engine.started", "engine.stopped")
        found = await port.events(EventQuery(kinds=kinds, limit=1))
    finally:
        await port.close()
    for event in found:
        if event.kind == "engine.started":
            return f"the engine (process {event.data.get('pid')}) ended without a word"
        at = f"{event.at.astimezone():%H:%M:%S}"
        if "signal" in event.data:
            return f"the engine was ended by {event.data['signal']} at {at}"
        return f"{event.actor.user} stopped the engine at {at}"
    return ""


async def _wait_for_lock(lock: EngineLock, mode: str, socket: Path | str) -> None:
    """Take the lock; a command line that holds it for one write is waited for."""
    for attempt in range(50):
        try:
            lock.try_acquire(mode, socket)
            return
        except EngineLockedError:
            owner = engine_owner(lock.state_dir)
            if (owner is not None and owner.mode != "cli") or attempt == 49:
                raise
            await asyncio.sleep(0.1)


async def _keep_workspace(engine: Engine, lock: WorkspaceLock) -> None:
    """Lock the directory that takes the place of the workspace; end the engine if another one has it."""
    while True:
        await asyncio.sleep(WORKSPACE_CHECK)
        try:
            lock.acquire()
        except EngineLockedError as error:
            engine.give_way(FencedError(f"the workspace's directory was replaced. {error.message}"))
            return
        except ConfigError:
            continue  # the next reload says so


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
    """Be the engine of a state directory: lock, store, scheduler, runtime, socket.

    With `recover=False` the runs of earlier engines are left to the next one.

    EngineLockedError names the process that is it already, on this state directory or on this workspace.
    Closing the engine lets everything go.
    """
    from victor_engine.engine import Engine
    from victor_engine.service.server import PortServer

    paths.make()
    lock = EngineLock(paths.state_dir)
    await _wait_for_lock(lock, mode, paths.socket_path)
    workspace = WorkspaceLock(paths.workspace, paths.state_dir)

    def let_go() -> None:
        workspace.release()
        lock.release()

    try:
        workspace.acquire()
        engine = await Engine.open(
            paths.workspace,
            paths.state_dir,
            mode=mode,
            config_file=config_file,
            overrides=overrides,
            fire=fire,
            recover=recover,
        )
    except BaseException:
        let_go()
        raise
    engine.on_closed = let_go
    watcher = asyncio.create_task(_keep_workspace(engine, workspace))

    async def stop_watching() -> None:
        watcher.cancel()
        await asyncio.wait([watcher])

    engine.closers.append(stop_watching)
    if serve:
        server = PortServer(engine, paths.socket_path)
        try:
            await server.start()
        except BaseException:
            await engine.close()
            raise
        engine.closers.append(server.close)
    return engine


async def open_console(
    *,
    workspace: Path | str | None = None,
    state: Path | str | None = None,
    attach_only: bool = False,
    read_only: bool = False,
) -> tuple[Port, bool]:
    """The port of a console, and whether this process is the engine.

    Attaches to an engine that runs; else becomes it, unless told not to. Without an engine and with
    `attach_only` or `read_only` it shows what is.
    """
    paths = find(workspace, state)
    if not read_only:
        port = await attach(paths, "console")
        if port is not None:
            return port, False
        if attach_only:
            ended = await how_it_ended(paths)
            raise EngineUnavailableError(ended or how_to_start(paths))
        try:
            return await open_engine(paths), True
        except EngineLockedError:
            port = await attach(paths, "console")
            if port is None:
                raise
            return port, False
    return _read_only(paths), False


def _read_only(paths: Paths) -> Port:
    from victor_engine.service.readonly import ReadOnlyPort

    if not paths.db_path.exists():
        raise StoreError(f"there is nothing to show yet: {how_to_start(paths)}")
    return ReadOnlyPort.open(paths.db_path, workspace=paths.workspace)


@asynccontextmanager
async def open_port(
    workspace: Path | str | None = None,
    state_dir: Path | str | None = None,
    *,
    mode: Mode = "attach",
    config_file: Path | None = None,
) -> AsyncIterator[Port]:
    """A port for the command line, closed at the end of the block.

    `attach` needs an engine that runs; `read` looks at the store without one; `oneshot` writes
    under the lock without one, and neither recovers nor fires; `embedded` runs an engine here that
    fires nothing and leaves the runs of earlier engines alone.
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

    paths.make()
    lock = EngineLock(paths.state_dir)
    await _wait_for_lock(lock, "cli", "")
    try:
        engine = await Engine.open(paths.workspace, paths.state_dir, config_file=config_file, work=False)
    except BaseException:
        lock.release()
        raise
    engine.on_closed = lock.release
    return engine


# --- running as a process ----------------------------------------------------------------------


async def until_told(engine: Engine, signals: Signals) -> str:
    """Wait for a signal or for `stop_engine`; return which it was. A further signal kills commands at once."""
    signals.again = engine.hurry
    asked = asyncio.ensure_future(engine.stop_requested.wait())
    try:
        either: set[asyncio.Future[Any]] = {asked, signals.told}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not signals.told.done():
            return "stop"
        engine.stopped_how = signals.told.result().name
        return engine.stopped_how
    finally:
        asked.cancel()


async def serve(
    workspace: Path | str | None = None,
    state_dir: Path | str | None = None,
    *,
    config_file: Path | None = None,
    overrides: dict[str, Any] | None = None,
    on_ready: Callable[[Engine], None] | None = None,
    on_event: Callable[[EventInfo], None] | None = None,
) -> int:
    """Run the engine as a daemon until SIGTERM, SIGINT, SIGHUP or `stop_engine`; 0 at a clean end.

    FencedError if a newer engine has taken the store over.
    """
    current_actor.set(local_actor("cli"))
    with Signals() as signals:
        engine = await open_engine(
            find(workspace, state_dir), mode="daemon", config_file=config_file, overrides=overrides
        )
        watcher = asyncio.create_task(_watch(engine, on_event)) if on_event is not None else None
        settle()
        try:
            if on_ready is not None:
                on_ready(engine)
            await until_told(engine, signals)
            if engine.overtaken is not None:
                raise engine.overtaken
            return 0
        finally:
            if watcher is not None:
                watcher.cancel()
            await engine.close()


async def _watch(engine: Engine, on_event: Callable[[EventInfo], None]) -> None:
    last = (await engine.engine()).last_event
    async for event in engine.subscribe(last):
        on_event(event)
