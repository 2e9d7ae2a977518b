"""Pictures of the five screens, at the sizes and in the colours that operators have."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from textual.pilot import Pilot

from tests.tui.pictures import Pictures
from tests.tui.realport import RealPort
from tests.tui.world import World

SCREENS = {"1": "schedules", "2": "runs", "3": "inbox", "4": "history", "5": "versions"}


def keys(*pressed: str) -> Callable[[Pilot[Any]], Awaitable[None]]:
    """Press keys, each when everything that came before has settled."""

    async def press(pilot: Pilot[Any]) -> None:
        for key in ("", *pressed):
            if key:
                await pilot.press(key)
            for _ in range(6):
                await pilot.pause()

    return press


async def test_screen(pictures: Pictures, live: World) -> None:
    async with pictures.console(live) as pilot:
        for key, name in SCREENS.items():
            await keys(key, "down")(pilot)
            await pictures.at_both_sizes(pilot, "{}-" + name)


async def test_screen_in_16_colours(pictures: Pictures, live: World) -> None:
    async with pictures.console(live, "victor-ansi") as pilot:
        for key, name in SCREENS.items():
            await keys(key, "down")(pilot)
            await pictures.take(pilot, name)


async def test_an_empty_inbox(pictures: Pictures, bare: RealPort) -> None:
    async with pictures.console(bare) as pilot:
        await keys("3")(pilot)
        await pictures.take(pilot, "80x24")


PAGES = {"timeline": ("v", "right", "right", "right", "right"), "month": ("m", "up"), "month-all": ("m", "o")}


async def test_page_of_schedules(pictures: Pictures, live: World) -> None:
    for name, pressed in PAGES.items():
        async with pictures.console(live) as pilot:
            await keys("down", *pressed)(pilot)
            await pictures.at_both_sizes(pilot, "{}-" + name)


async def test_page_of_schedules_in_16_colours(pictures: Pictures, live: World) -> None:
    for name, pressed in PAGES.items():
        async with pictures.console(live, "victor-ansi") as pilot:
            await keys("down", *pressed)(pilot)
            await pictures.take(pilot, name)


async def test_grid_of_runs(pictures: Pictures, live: World) -> None:
    async with pictures.console(live) as pilot:
        await keys("2", "slash", *"workflow:deploy", "enter", "v", "down", "down", "left")(pilot)
        await pictures.at_both_sizes(pilot, "{}")


async def test_versions(pictures: Pictures, live: World) -> None:
    """`q Quit` is in the footer at every size."""
    for name, pressed in {"diff": ["f"], "notices": ["N"], "rollout": []}.items():
        async with pictures.console(live) as pilot:
            await keys("5", "down", *pressed)(pilot)
            await pictures.at_both_sizes(pilot, name + "-{}")
