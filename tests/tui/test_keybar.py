"""The last line of a screen: however much can be done, it says how to get help and how to leave."""

from __future__ import annotations

from typing import Any

import pytest

from tests.tui.conftest import console
from tests.tui.realport import RealPort
from tests.tui.test_console import go, settle, table
from tests.tui.world import World
from victor_tui.keys import SCREENS
from victor_tui.widgets.key_bar import KeyBar, ShownKey


def shown(app: Any) -> list[ShownKey]:
    drawn: list[ShownKey] = app.screen.query_one(KeyBar).drawn
    return drawn


@pytest.mark.parametrize("key", ["1", "2", "3", "4", "5"])
async def test_help_and_quit_are_in_sight_on_every_row_at_80_columns(world: World, key: str) -> None:
    app: Any = console(world)
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot, key)
        rows = table(app)
        for _ in range(min(len(rows.rows), 40)):
            await settle(pilot)
            keys = shown(app)
            assert [each.description for each in keys[-2:]] == ["Help", "Quit"]
            assert sum(each.width for each in keys) <= 80
            await pilot.press("down")


async def test_what_made_room_comes_back_on_a_wider_terminal(world: World) -> None:
    app: Any = console(world)
    async with app.run_test(size=(60, 24)) as pilot:
        await go(pilot, "2")
        few = [key.description for key in shown(app)]
        await pilot.resize_terminal(120, 40)
        await settle(pilot)
        many = [key.description for key in shown(app)]
        assert few[-2:] == many[-2:] == ["Help", "Quit"]
        assert set(few) < set(many)


@pytest.mark.parametrize("mode", [mode for mode, _, _ in SCREENS])
async def test_the_keys_of_a_screen_can_be_listed_before_it_is_composed(bare: RealPort, mode: str) -> None:
    """A slow machine draws the key bar of a screen that has no widgets yet."""
    app: Any = console(bare)
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(app.MODES[mode]())
        assert not app.screen.is_mounted
        assert app.screen.active_bindings
        await pilot.pause()
        assert app.screen.is_mounted
