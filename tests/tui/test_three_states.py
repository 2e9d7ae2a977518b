"""Loading, empty and filtered are three states of each screen, and the engine's state is said as it is."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Static

from tests.engine.support import workspace
from tests.tui.conftest import console, until
from tests.tui.realport import RealPort
from tests.tui.world import World
from victor_engine.api import Port
from victor_engine.service.connect import open_engine
from victor_engine.service.paths import Paths
from victor_engine.service.read_only import ReadOnlyPort
from victor_tui.app import VictorApp
from victor_tui.widgets.header import HeaderBar, engine_words
from victor_tui.widgets.table import LineTable

EMPTY = {
    "1": "No schedules yet",
    "2": "No run has been started yet",
    "3": "No open requests",
    "4": "",  # that the engine has started is an event
    "5": "No workflow is registered",
}
FILTERED = {
    "1": "No schedule matches the filter",
    "2": "No run matches the filter",
    "3": "No request matches the filter",
    "4": "Nothing matches the filter",
}


def said(app: Any) -> str:
    tables = [table for table in app.screen.query(LineTable) if table.display]
    return str(tables[0].empty) if tables and not tables[0].rows else ""


@pytest.mark.parametrize("key", EMPTY)
async def test_a_screen_is_loading_until_its_rows_are_known(bare: RealPort, key: str) -> None:
    there = asyncio.Event()

    async def connect() -> Port:
        await there.wait()
        return bare

    app = VictorApp(connect, clock=bare.clock, zone=UTC, interval=0)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(key)
        await until(pilot, lambda: said(app) == "Loading…")
        there.set()
        await until(pilot, lambda: said(app) != "Loading…" and EMPTY[key] in said(app))


@pytest.mark.parametrize("key", FILTERED)
async def test_a_filter_that_matches_nothing_says_so(world: World, key: str) -> None:
    app = console(world)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.feed.port)
        await pilot.press(key)
        await pilot.pause()
        await pilot.press("slash", *"zzzz", "enter")
        await until(pilot, lambda: FILTERED[key] in said(app))


async def test_a_read_only_view_says_whether_an_engine_runs(tmp_path: Path) -> None:
    root = workspace(tmp_path, {"victor.yaml": "{}"})

    async def connect() -> Port:
        return ReadOnlyPort(root / ".state" / "victor.db", workspace=root)

    async def seen() -> tuple[str, str]:
        app = VictorApp(connect, zone=UTC)
        async with app.run_test(size=(120, 40)) as pilot:
            await until(pilot, lambda: app.feed.port and app.screen.query("#banner"))
            banner = app.screen.query_one("#banner", Static)
            await until(pilot, lambda: "Read-only view" in str(banner.content))
            state = app.screen.query_one(HeaderBar).state
            assert state is not None
            return str(banner.content), engine_words(state)[0]

    engine = await open_engine(Paths(root, root / ".state"), fire=False)
    try:
        banner, words = await seen()
        assert "of the running engine" in banner
        assert words == f"engine {os.getpid()} · read only"
    finally:
        await engine.close()
    banner, words = await seen()
    assert "no engine is running" in banner
    assert words == "no engine · read only"
