"""A console on a real engine that the test keeps when the console is left."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC
from typing import Any

from textual.pilot import Pilot
from textual.widgets import Static

from tests.tui.conftest import until
from victor_engine.api import Port
from victor_engine.engine import Engine
from victor_tui.app import VictorApp


class _Kept:
    """The engine as the console's port, without its `close`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def close(self) -> None:
        return None


@asynccontextmanager
async def console_on(engine: Engine, size: tuple[int, int] = (100, 34)) -> AsyncIterator[Pilot[Any]]:
    """Run a console on `engine`, and wait for its first screen."""
    port: Any = _Kept(engine)

    async def connect() -> Port:
        return port  # type: ignore[no-any-return]

    app = VictorApp(connect, clock=engine.clock, zone=UTC)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.screen.query("LineTable"))
        yield pilot


def text_of(pilot: Pilot[Any], selector: str) -> str:
    """Return the text of a `Static` on the screen."""
    return str(pilot.app.screen.query_one(selector, Static).content)


async def shows(pilot: Pilot[Any], selector: str, words: str) -> None:
    """Wait until a `Static` on the screen holds some words."""
    await until(pilot, lambda: pilot.app.screen.query(selector) and words in text_of(pilot, selector))
