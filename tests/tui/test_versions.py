"""The Versions screen: folding, notices, rollouts in one key, and moving what runs."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from textual.widgets import Button, Static, TextArea

from tests.tui.conftest import console, until
from tests.tui.realport import RealPort
from tests.tui.test_console import go, preview, settle, table
from tests.tui.world import World
from victor_tui import screen_lifecycle
from victor_tui.versions.alias_dialog import AliasDialog
from victor_tui.versions.migrate_dialog import MigrateDialog
from victor_tui.widgets.key_bar import KeyBar


def names(port: RealPort) -> list[str]:
    return [name for name, _ in port.calls]


MANY = 120


async def test_many_versions_are_folded_and_unfold_one_by_one(bare: RealPort) -> None:
    for number in range(MANY):
        content = {
            "version": f"1.{number}.0",
            "nodes": [{"id": "a", "type": "transform", "transform": "b = 1"}],
        }
        bare.write(f"workflows/{number}.yaml", json.dumps({"workflows": {"deploy": content}}))
    await bare.engine_.reload()
    app: Any = console(bare)
    async with app.run_test(size=(120, 40)) as pilot:
        await go(pilot, "5")
        assert len(table(app).rows) == 1
        assert [row.folded for row in table(app).rows] == [MANY - 1]
        assert ("workflows", (None, "all")) not in bare.reads
        table(app).select(("deploy", f"1.{MANY - 1}.0"))
        await settle(pilot)
        await go(pilot, "right")
        assert ("workflows", ("deploy", "all")) in bare.reads
        assert len(table(app).rows) == MANY
        await go(pilot, "down", "down", "left")
        assert len(table(app).rows) == 1
        assert table(app).row.id == ("deploy", f"1.{MANY - 1}.0")  # type: ignore[union-attr]
        await go(pilot, "enter")
        assert len(table(app).rows) == MANY


async def test_the_rollout_is_promoted_or_rolled_back_with_one_key(world: World) -> None:
    app: Any = console(world)
    async with app.run_test(size=(120, 40)) as pilot:
        await go(pilot, "5")
        table(app).select(("data_pipeline", "2.0.0"))
        await settle(pilot)
        text = preview(app)
        assert "80%          20%" in text
        assert "7, 0 active  1, 0 active" in text
        await go(pilot, "p", *"good", "ctrl+s")
        assert ("promote_alias", ("data_pipeline", "stable", None, "good")) in world.calls
        table(app).select(("deploy", "2.1.0"))
        await settle(pilot)
        await go(pilot, "b", "escape")
        assert "roll_back_alias" not in names(world)
        await go(pilot, "b", "ctrl+s")
        assert ("roll_back_alias", ("deploy", "stable", "")) in world.calls
        await settle(pilot)
        assert table(app).row.id == ("deploy", "2.1.0")  # type: ignore[union-attr]


async def test_notices_are_in_one_place(world: World) -> None:
    app: Any = console(world)
    async with app.run_test(size=(120, 40)) as pilot:
        await go(pilot, "5", "N")
        text = preview(app)
        assert "data_pipeline 1.0.0" in text
        assert "1 schedule, 0 active runs still use it" in text
        assert "reads the old feed; use 2.0.0" in text
        await go(pilot, "N")
        assert "still use it" not in preview(app)


async def test_removing_and_taking_back(world: World) -> None:
    app: Any = console(world)
    async with app.run_test(size=(120, 40)) as pilot:
        await go(pilot, "5")
        table(app).select(("data_pipeline", "1.0.0"))
        await settle(pilot)
        await go(pilot, "X", *"gone", "ctrl+s")
        assert ("remove_version", ("data_pipeline", "1.0.0", "gone")) in world.calls
        await settle(pilot)
        assert "removed, new runs cannot start: gone" in preview(app)
        await go(pilot, "u")
        assert ("restore_version", ("data_pipeline", "1.0.0")) in world.calls


async def test_an_alias_is_set_with_a_share(world: World) -> None:
    app: Any = console(world)
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot, "5")
        table(app).select(("deploy", "2.0.0"))
        await settle(pilot)
        await go(pilot, "L", "tab", "backspace", "backspace", "backspace", "5", "0", "0", "ctrl+s")
        assert isinstance(app.screen, AliasDialog)
        assert "1 to 100" in str(app.screen.query_one("#error", Static).content)
        await go(pilot, "backspace", "backspace", "5", "ctrl+s")
        assert ("set_alias", ("deploy", "stable", "2.1.0", "2.0.0", 55, "")) in world.calls


async def test_runs_are_tried_and_moved(world: World) -> None:
    app: Any = console(world)
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot, "5")
        table(app).select(("data_pipeline", "2.0.0"))
        await settle(pilot)
        await go(pilot, "m")
        assert isinstance(app.screen, MigrateDialog)
        await settle(pilot)
        said = str(app.screen.query_one("#runs", Static).content)
        assert "would migrate" in said
        assert "position: check → checks" in said
        state = app.screen.query_one("#state", TextArea).text
        assert json.loads(state)["rows"] == 12
        assert "migrate_runs" not in names(world)
        button = app.screen.query_one("#move", Button)
        assert str(button.label).startswith("Migrate 3 runs")
        button.press()
        await until(pilot, lambda: "3 runs migrated" in str(app.screen.query_one("#runs", Static).content))
        assert [(await world.run(world.run_ids[f"moving-{n}"])).run.version for n in range(3)] == [
            "2.0.0"
        ] * 3
        assert "3 runs migrated" in str(app.screen.query_one("#runs", Static).content)
        await until(pilot, lambda: str(button.label) == "Undo 3 runs")
        await go(pilot, "enter")
        await until(
            pilot,
            lambda: "3 runs are on 1.1.0 again" in str(app.screen.query_one("#runs", Static).content),
        )
        assert [(await world.run(world.run_ids[f"moving-{n}"])).run.version for n in range(3)] == [
            "1.1.0"
        ] * 3


async def test_one_run_is_moved_by_its_id_and_goes_back(world: World) -> None:
    app: Any = console(world)
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot, "5")
        table(app).select(("data_pipeline", "2.0.0"))
        await settle(pilot)
        run_id = world.run_ids["moving-1"]
        await go(pilot, "m", *run_id)
        button = app.screen.query_one("#move", Button)
        async with asyncio.timeout(20):
            while str(button.label) != "Migrate 1 run":
                await pilot.pause()
        await go(pilot, "tab", "tab", "enter")
        await until(pilot, lambda: str(button.label) == "Undo")
        assert (await world.run(run_id)).run.version == "2.0.0"
        assert (await world.run(world.run_ids["moving-0"])).run.version == "1.1.0"
        await go(pilot, "enter")
        await until(pilot, lambda: "unmigrate_run" in names(world))
        await until(pilot, lambda: "Migration undone" in str(app.screen.query_one("#runs", Static).content))
        assert (await world.run(run_id)).run.version == "1.1.0"
        assert "Migration undone" in str(app.screen.query_one("#runs", Static).content)


async def test_nothing_is_moved_before_the_preview_of_this_input(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    app: Any = console(world)
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot, "5")
        table(app).select(("data_pipeline", "2.0.0"))
        await settle(pilot)
        await go(pilot, "m")
        dialog = app.screen
        button = dialog.query_one("#move", Button)
        async with asyncio.timeout(20):
            while str(button.label) != "Migrate 3 runs":
                await pilot.pause()
        monkeypatch.setattr(screen_lifecycle, "QUIET", 3600.0)
        await pilot.press("r")
        await pilot.pause(0.05)
        assert button.disabled  # the preview is about another input
        dialog._migrate()  # as a click that was on its way
        await pilot.pause(0.05)
        assert "migrate_runs" not in names(world)
        monkeypatch.setattr(screen_lifecycle, "QUIET", 0.001)
        await pilot.press("backspace")
        async with asyncio.timeout(20):
            while button.disabled:
                await pilot.pause()
        button.press()
        await settle(pilot)
        assert "migrate_runs" in names(world)


@pytest.mark.parametrize("row", [("data_pipeline", "2.0.0"), ("deploy", "2.1.0")])
async def test_quit_is_in_the_footer_at_80_columns(world: World, row: tuple[str, str]) -> None:
    app: Any = console(world)
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot, "5")
        table(app).select(row)
        await settle(pilot)
        keys = app.screen.query_one(KeyBar).drawn
        assert keys[-1].description == "Quit"
        assert sum(key.width for key in keys) <= 80
