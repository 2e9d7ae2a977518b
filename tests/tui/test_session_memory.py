"""A console opens as the last one on this workspace ended."""

from __future__ import annotations

import stat
from datetime import UTC
from typing import Any

import pytest

from tests.tui.conftest import until
from tests.tui.test_console import go
from tests.tui.test_keys import said
from tests.tui.world import World
from victor_engine.identity import acting_as
from victor_tui.app import VictorApp
from victor_tui.saved_views import read_views, views_path
from victor_tui.session_memory import memory_path
from victor_tui.widgets.filter_bar import FilterBar
from victor_tui.widgets.table import LineTable

pytestmark = pytest.mark.usefixtures("quick_keys")


def remembering(port: World) -> Any:
    with acting_as(port.actor):
        return VictorApp(
            port.connect, clock=port.console_clock, zone=UTC, theme="victor-dark", interval=0, remember=True
        )


async def test_the_last_screen_filters_and_orders_come_back(world: World) -> None:
    world.same_everywhere = True  # the engine seems to be that of another process, so q ends only the console
    path = memory_path((await world.engine()).workspace)
    app = remembering(world)
    async with app.run_test(size=(120, 40)) as pilot:
        await go(pilot, "slash", *"deploy", "enter", "o", "O")
        order = app.screen.table.sort_key, app.screen.table.sort_reverse
        await go(pilot, "4", "v", "slash", *"workflow:purge", "enter", "q")
        await until(pilot, path.exists)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    app = remembering(world)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until(pilot, lambda: app.current_mode == "history" and app.screen.query(FilterBar))
        await until(pilot, lambda: app.screen.query_one(FilterBar).value == "workflow:purge")
        assert app.screen.view == "events"
        await go(pilot, "1")
        assert app.screen.query_one(FilterBar).value == "deploy"
        assert app.screen.query_one(FilterBar).display
        assert (app.screen.table.sort_key, app.screen.table.sort_reverse) == order
        assert {row.spec.workflow for row in app.screen.table.rows} == {"deploy"}
        assert said(app) == []
    path.write_text('{"workspace":\n oops')
    app = remembering(world)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until(pilot, lambda: said(app))
        assert f"The last session is ignored: {path}:2:2: " in said(app)[0]
        assert app.current_mode == "schedules"


async def test_views_are_saved_on_other_screens_too(world: World) -> None:
    app = remembering(world)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await go(pilot, "2", "slash", *"status:failed", "enter", "F", "s")
        await until(pilot, lambda: type(app.screen).__name__ == "SaveViewDialog")
        await go(pilot, *"broken", "ctrl+s", "slash", "escape")
        await until(pilot, lambda: app.screen.query_one(FilterBar).value == "")
        assert [each.filter for each in read_views(views_path("runs"))] == ["status:failed"]
        await go(pilot, "F", "enter")
        await until(pilot, lambda: app.screen.query_one(FilterBar).value == "status:failed")
        await until(
            pilot, lambda: {run.status for run in app.screen.query_one("#runs", LineTable).rows} == {"failed"}
        )
        await go(pilot, "1", "F")
        assert "No view is saved" in app.screen.query_one(LineTable).empty
        await go(pilot, "escape", "2", "x", "F")
        assert type(app.screen).__name__ == "DeadScreen"
