"""Helpers for the tests of whole engines."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from textwrap import dedent
from typing import Any

from victor_engine.api import Actor, RequestInfo, RequestQuery, RunDetail
from victor_engine.config import trust
from victor_engine.engine import Engine
from victor_engine.engine.loaded_workspace import Workspace
from victor_engine.engine.workspace import load_workspace
from victor_engine.identity import acting_as
from victor_engine.loading.loader import Loader, Order

FINAL = ("succeeded", "failed", "rejected", "cancelled")
ME = Actor(user="me", uid=os.getuid(), via="cli")


def workspace(path: Path, files: dict[str, str], *, trusted: bool = True) -> Path:
    root = path / "ws"
    for name, text in files.items():
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(dedent(text))
    if trusted:
        trust(root)
    return root


async def loaded(root: Path) -> Workspace:
    """Load a workspace without an engine."""
    loader = Loader()
    try:
        return await load_workspace(loader, Order(root, {}, None))
    finally:
        await loader.close()


@asynccontextmanager
async def engine_on(root: Path, **options: Any) -> AsyncIterator[Engine]:
    with acting_as(ME):
        engine = await Engine.open(root, root / ".state", fire=False, **options)
        try:
            yield engine
        finally:
            await engine.close()


async def until_end(engine: Engine, run_id: str) -> RunDetail:
    async with asyncio.timeout(30):
        while True:
            last = (await engine.engine()).last_event
            found = await engine.run(run_id)
            if found.run.status in FINAL:
                return found
            async for event in engine.subscribe(last):
                if event.kind == "run.finished" and event.run_id == run_id:
                    break


async def question(engine: Engine, run_id: str) -> RequestInfo:
    async with asyncio.timeout(30):
        feed = engine.subscribe(0)
        async for event in feed:
            if event.kind == "request.opened" and event.run_id == run_id:
                found = await engine.requests(RequestQuery(run_id=run_id))
                if found:
                    return found[0]
    raise AssertionError("nothing was asked")
