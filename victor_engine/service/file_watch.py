"""The watch on the files of a workspace: with `watch: apply` a running engine deploys their changes by itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import PurePath

from victor_engine.api import ENGINE_ACTOR, ProblemInfo
from victor_engine.config import Config
from victor_engine.config.content import Content, inside
from victor_engine.engine import Engine
from victor_engine.errors import VictorError
from victor_engine.identity import acting_as

log = logging.getLogger(__name__)

INSTALL = "pip install 'victor-tui[watch]'"

DEBOUNCE_MS = 1000
"""Milliseconds in which changes are collected: an editor and a checkout write several files."""


def start(engine: Engine) -> asyncio.Task[None] | None:
    """Watch the files if the configuration says so. Return the task."""
    if engine.workspace.config.watch != "apply":
        return None
    return asyncio.create_task(_watch(engine), name="victor-files")


def concerns(config: Config, content: Content, path: str) -> bool:
    """Return whether a changed path belongs to the content of a workspace, or could be a workflow file of it."""
    name = inside(config.workspace, path)
    if name is None or any(part.startswith(".") for part in PurePath(name).parts):
        return False
    if name == "victor.yaml" or name in content.files:
        return True
    return any(name in names for names in content.bound.values()) or any(
        PurePath(name).match(pattern.replace("**/", "")) for pattern in config.workflows
    )


async def _watch(engine: Engine) -> None:
    try:
        from watchfiles import awatch
    except ImportError:
        engine.files.not_applied = ProblemInfo(
            "error",
            "watch: apply has no effect, because watchfiles, which watches the files, is not installed",
            remedy=f"Install it: {INSTALL}",
        )
        return

    def wanted(_: object, path: str) -> bool:
        return concerns(engine.workspace.config, engine.workspace.judgement.content, path)

    await _apply(engine)  # changes since the start
    root = engine.workspace_path
    try:
        async for _ in awatch(root, watch_filter=wanted, debounce=DEBOUNCE_MS, recursive=True):
            await _apply(engine)
    except (OSError, RuntimeError) as error:
        engine.files.not_applied = ProblemInfo(
            "error", f"watch: apply has ended: {root} cannot be watched: {error}", remedy="Restart the engine"
        )


async def _apply(engine: Engine, report: Callable[[str], None] = log.warning) -> None:
    """Deploy the changes of the files. If something prevents it, nothing changes, and the engine reports it."""
    before = engine.files.not_applied
    with acting_as(ENGINE_ACTOR):
        try:
            await engine.files.apply_changes()
            engine.files.not_applied = None
        except VictorError as error:
            engine.files.not_applied = ProblemInfo(
                "warning",
                f"the changed files are not in force: {error.message}",
                path=str(engine.workspace_path),
            )
            if engine.files.not_applied != before:
                report(engine.files.not_applied.message)
