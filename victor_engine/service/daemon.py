"""The engine as a daemon: it serves until a signal, and notifies the service manager."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from victor_engine.api import EventInfo
from victor_engine.engine import Engine
from victor_engine.errors import VictorError
from victor_engine.identity import current_actor, local_actor
from victor_engine.service import heartbeat, log_rotation, metrics, tracing
from victor_engine.service.connect import find, open_engine, wait_for_stop
from victor_engine.service.memory import settle
from victor_engine.service.service_manager import ServiceManager
from victor_engine.service.signals import Signals

LOG_FILE = "engine.log"
"""The log of an engine in the background, in its state directory."""


async def serve(
    workspace: Path | str | None = None,
    state_dir: Path | str | None = None,
    *,
    config_file: Path | None = None,
    overrides: dict[str, Any] | None = None,
    on_ready: Callable[[Engine], None] | None = None,
    on_event: Callable[[EventInfo], None] | None = None,
    report: Callable[[str], None] | None = None,
) -> int:
    """Run the engine as a daemon until SIGTERM, SIGINT or `stop_engine`, or the end of its terminal; return 0.

    Active nodes get `scheduler.drain_timeout` to end; a second signal ends them. SIGHUP to a daemon without a terminal
    deploys the files, if none has an error; `report` gets the result. The service manager is notified of each change.
    Raise FencedError if a newer engine has taken over the store.
    """
    current_actor.set(local_actor("cli"))
    with Signals() as signals:
        manager = ServiceManager.of_process()
        engine = await open_engine(
            find(workspace, state_dir), mode="daemon", config_file=config_file, overrides=overrides
        )
        metrics.start(engine)
        tracing.start(engine)
        background = [
            asyncio.create_task(manager.watch(engine)),
            asyncio.create_task(heartbeat.watch(engine)),
            asyncio.create_task(log_rotation.watch(engine.state_dir / LOG_FILE)),
        ]
        watcher = asyncio.create_task(_watch(engine, on_event)) if on_event is not None else None
        settle()
        deploying: set[asyncio.Task[None]] = set()

        def deploy() -> None:
            task = asyncio.create_task(_reload(engine, manager, report or _ignore))
            deploying.add(task)
            task.add_done_callback(deploying.discard)

        signals.on_hangup = deploy
        try:
            if on_ready is not None:
                on_ready(engine)
            manager.ready()
            await wait_for_stop(engine, signals)
            if engine.fenced is not None:
                raise engine.fenced
            return 0
        finally:
            if watcher is not None:
                watcher.cancel()
            if deploying:
                await asyncio.wait(deploying)
            drain = engine.workspace.config.scheduler.drain_timeout if engine.fenced is None else 0.0
            manager.stopping(drain)
            engine.drain_seconds = drain
            await engine.close()
            for task in background:
                task.cancel()
            await asyncio.wait(background)


def _ignore(text: str) -> None:
    """Report nothing."""


async def _reload(engine: Engine, manager: ServiceManager, report: Callable[[str], None]) -> None:
    manager.reloading()
    try:
        await _deploy_files(engine, report)
    finally:
        manager.ready()


async def _deploy_files(engine: Engine, report: Callable[[str], None]) -> None:
    """Deploy the files if none has an error; read them again if nothing changes. Report the result."""
    try:
        plan = await engine.plan_deployment()
        if plan.changes or plan.errors or plan.untrusted:
            done = await engine.deploy()
            for line in done.lines:
                report(f"deployment {done.number}: {line}")
        else:
            await engine.reload()
            report("the files were read again; no version and no schedule changes")
    except VictorError as error:
        report(error.message)


async def _watch(engine: Engine, on_event: Callable[[EventInfo], None]) -> None:
    last = (await engine.engine()).last_event
    async for event in engine.subscribe(last):
        on_event(event)
