"""The grid of the newest runs of a workflow, by keyboard, on a real engine."""

from __future__ import annotations

from tests.tui.conftest import console, until
from tests.tui.test_console import preview
from tests.tui.test_snapshots import keys
from tests.tui.world import World
from victor_engine.api import GridCell
from victor_engine.domain.statuses import NodeStatus
from victor_tui.runs.grid_screen import GridScreen
from victor_tui.runs.grid_view import GridView, cell_text
from victor_tui.runs.run_screen import RunScreen


async def test_the_failed_node_of_an_older_run_is_two_keys_away(live: World) -> None:
    failed = live.run_ids["failed"]
    app = console(live)
    async with app.run_test(size=(80, 24)) as pilot:
        await keys("2", "slash", *"workflow:deploy", "enter", "v")(pilot)
        screen = app.screen
        assert isinstance(screen, GridScreen)
        grid = screen.query_one(GridView)
        newest = await live.run_grid("deploy")
        assert grid.run is not None
        assert grid.run.run.id == newest.runs[0].run.id, "the cursor starts at the newest run"
        while grid.node != "roll_out":
            await pilot.press("down")
        await keys("x")(pilot)
        assert grid.run.run.id == failed
        assert grid.cell is not None
        assert grid.cell.status == "failed"
        assert failed in preview(app)
        assert "✗ failed" in preview(app)
        before = grid.run.run.id
        await keys("x")(pilot)
        assert grid.run.run.id == before, "the node failed in no older run"
        await keys("enter")(pilot)
        assert isinstance(app.screen, RunScreen)
        assert app.screen.run_id == failed
        await keys("escape")(pilot)
        assert app.screen is screen
        assert grid.run.run.id == failed
        await keys("n", "escape")(pilot)
        assert app.screen is not screen


async def test_the_cursor_keeps_its_run_when_a_new_one_starts(live: World) -> None:
    app = console(live)
    async with app.run_test(size=(80, 24)) as pilot:
        await keys("2", "slash", *"workflow:deploy", "enter", "v", "left")(pilot)
        grid = app.screen.query_one(GridView)
        assert grid.run is not None
        before, count = grid.run.run.id, len((await live.run_grid("deploy")).runs)
        await live.start_run("deploy")
        await until(pilot, lambda: grid.grid is not None and len(grid.grid.runs) == count + 1)
        assert grid.run.run.id == before


def test_a_cell_counts_its_attempts() -> None:
    assert cell_text(None) == ("· ", "dim")
    assert cell_text(GridCell(NodeStatus.SUCCEEDED)) == ("✓ ", "ok")
    assert cell_text(GridCell(NodeStatus.FAILED, 3)) == ("✗3", "bad")
    assert cell_text(GridCell(NodeStatus.RETRYING, 12)) == ("↻+", "warn")
