"""What the five screens look like, at the sizes and colours that operators have."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from tests.tui.conftest import console
from tests.tui.fake_port import FakePort

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


@pytest.mark.parametrize("key", SCREENS, ids=SCREENS.values())
@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
def test_screen(snap_compare: Any, size: tuple[int, int], key: str) -> None:
    assert snap_compare(console(FakePort()), run_before=keys(key, "down"), terminal_size=size)


@pytest.mark.parametrize("key", SCREENS, ids=SCREENS.values())
def test_screen_in_16_colours(snap_compare: Any, key: str) -> None:
    app = console(FakePort(), theme="victor-ansi")
    assert snap_compare(app, run_before=keys(key, "down"), terminal_size=(80, 24))


def test_an_empty_inbox(snap_compare: Any) -> None:
    app = console(FakePort(empty=True))
    assert snap_compare(app, run_before=keys("3"), terminal_size=(80, 24))


PAGES = {"timeline": ("v", "right", "right", "right", "right"), "month": ("m", "up"), "month-all": ("m", "a")}


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
def test_page_of_schedules(snap_compare: Any, size: tuple[int, int], page: str) -> None:
    assert snap_compare(console(FakePort()), run_before=keys("down", *PAGES[page]), terminal_size=size)


@pytest.mark.parametrize("page", PAGES)
def test_page_of_schedules_in_16_colours(snap_compare: Any, page: str) -> None:
    app = console(FakePort(), theme="victor-ansi")
    assert snap_compare(app, run_before=keys("down", *PAGES[page]), terminal_size=(80, 24))


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
@pytest.mark.parametrize("shown", ["diff", "notices", "rollout"])
def test_versions(snap_compare: Any, size: tuple[int, int], shown: str) -> None:
    """What the Versions screen says beside its tree; `q Quit` is in the footer at every size."""
    pressed = {"diff": ["f"], "notices": ["N"], "rollout": []}[shown]
    app = console(FakePort())
    assert snap_compare(app, run_before=keys("5", "down", *pressed), terminal_size=size)
