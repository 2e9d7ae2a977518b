"""What makes screens appear at once: built ahead, few widgets, rules parsed once, keys drawn in one line."""

from __future__ import annotations

import asyncio
import gc
import itertools
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from textual.css import stylesheet as textual_stylesheet

from tests.tui.conftest import console, until
from tests.tui.test_console import go
from tests.tui.world import World
from victor_engine.errors import StoreError
from victor_tui import prepared_screens
from victor_tui.base_screen import ConsoleScreen
from victor_tui.keys import SCREENS
from victor_tui.textual_compat import CachedStylesheet
from victor_tui.widgets.key_bar import KeyBar
from victor_tui.widgets.table import LineTable

WIDGETS = 17
"""How many widgets a main screen may have: each costs a pass over the rules and a place in the layout."""


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[Any, ...]]:
    """How often each source was parsed."""
    counts: Counter[tuple[Any, ...]] = Counter()
    parse = textual_stylesheet.parse

    def counted(scope: str, css: str, read_from: Any, **more: Any) -> Any:
        counts[read_from, css, more["tie_breaker"]] += 1
        return parse(scope, css, read_from, **more)

    monkeypatch.setattr(textual_stylesheet, "parse", counted)
    return counts


@pytest.fixture
def thaw() -> Iterator[None]:
    """Getting ready puts what stands aside for good; not in the process of the tests."""
    yield
    gc.unfreeze()


async def test_opening_screens_parses_no_rule_twice(world: World, parsed: Counter[Any]) -> None:
    app = console(world)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        known = set(parsed)
        parsed.clear()
        await go(pilot, "2", "3", "4", "5", "1", "question_mark", "escape")
        assert parsed, "the other screens have rules of their own"
        assert set(parsed.values()) == {1}
        assert not known & set(parsed)
        parsed.clear()
        app.theme = "victor-ansi"
        await pilot.pause()
        again = {source for source, *_ in parsed}
        assert {source for source, *_ in known} <= again, "a theme is what rules read their variables from"


def test_an_error_in_a_sheet_leaves_what_was_parsed() -> None:
    sheet = CachedStylesheet(variables={"x": "red"})
    sheet.add_source("Screen { color: $x; }", ("a", ""))
    sheet.reparse()
    kept = sheet.rules
    sheet.add_source("Screen { colour: red; }", ("b", ""))
    with pytest.raises(textual_stylesheet.StylesheetParseError):
        sheet.reparse()
    assert sheet._rules == kept
    sheet.set_variables({"x": "blue"})
    del sheet.source["b", ""]
    sheet.reparse()
    assert "#0000FF" in sheet.css


@pytest.mark.parametrize("mode", [mode for mode, _, _ in SCREENS])
async def test_a_main_screen_has_few_widgets(world: World, mode: str) -> None:
    app = console(world)
    async with app.run_test(size=(120, 40)) as pilot:
        await go(pilot, str([name for name, _, _ in SCREENS].index(mode) + 1))
        assert len(app.screen.walk_children()) <= WIDGETS


async def test_screens_are_built_ahead_without_a_look_at_them(
    world: World, monkeypatch: pytest.MonkeyPatch, thaw: None
) -> None:
    monkeypatch.setattr(prepared_screens, "IDLE_SECONDS", 0.0)
    app = console(world)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        first, watched = app.screen, app.feed._watched
        await app.prepare().wait()
        await pilot.pause()
        assert app.screen is first
        assert app.feed._watched == watched == ("schedules",)
        assert world.reads.count(("workflows", (None, "heads"))) == 1
        ahead = {mode: app._screen_stacks[mode][0] for mode, _, _ in SCREENS}
        assert all(isinstance(screen, ConsoleScreen) and screen.query(LineTable) for screen in ahead.values())
        assert gc.get_freeze_count() > 0
        world.fail_reads["workflows"] = StoreError("the first frame waits for no read")
        await go(pilot, "5")
        assert app.screen is ahead["versions"]
        assert app.screen.query_one(LineTable).rows
        assert app.focused is app.screen.query_one(LineTable)
        assert {"workflows", "aliases"} == set(app.feed._watched)


async def test_nothing_is_built_right_behind_a_key(
    world: World, monkeypatch: pytest.MonkeyPatch, thaw: None
) -> None:
    lulls = [0.0, 0.05, 1.0]
    slept: list[float] = []
    app = console(world)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        sleep = asyncio.sleep

        async def noted(seconds: float) -> None:
            if seconds:
                slept.append(seconds)
            await sleep(0)

        monkeypatch.setattr(prepared_screens.asyncio, "sleep", noted)  # type: ignore[attr-defined]
        await prepared_screens.prepare(lambda: lulls.pop(0) if len(lulls) > 1 else lulls[0], app.build)
    assert [seconds for seconds in slept if seconds > 0.05][:2] == pytest.approx([0.15, 0.1])


async def test_keys_of_the_bar_can_be_clicked(world: World) -> None:
    app = console(world)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        bar = app.screen.query_one(KeyBar)
        place, x = 0, 0
        while bar.drawn[place].description != "Help":
            x += bar.drawn[place].width
            place += 1
        await pilot.hover(KeyBar, offset=(x + 1, 0))
        assert bar.tooltip == "Show all keys of this screen"
        await pilot.click(KeyBar, offset=(x + 1, 0))
        await until(pilot, lambda: type(app.screen).__name__ == "HelpDialog")


async def test_the_bar_shows_each_action_once_and_dims_what_is_not_possible(world: World) -> None:
    app = console(world)
    async with app.run_test(size=(120, 40)) as pilot:
        await go(pilot, "5")
        bar = app.screen.query_one(KeyBar)
        shown = [key.description for key in bar.keys]
        assert len(shown) == len(set(shown))
        bar.keys = tuple(replace(key, enabled=key.description != "Start") for key in bar.keys)
        styles = {piece.text.strip(): piece.style for piece in bar.render_line(0) if piece.text.strip()}
        start, leave = styles["Start"], styles["Quit"]
        assert start is not None
        assert start.dim
        assert leave is not None
        assert not leave.dim


async def test_the_rows_of_a_screen_load_before_it_is_composed(world: World) -> None:
    """A screen that is opened while the console starts is loaded as soon as it exists."""
    app = console(world)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "requests" in app.feed.snapshots)
        for mode, make in app.MODES.items():
            assert not isinstance(make, str)
            screen = make()
            assert isinstance(screen, ConsoleScreen)
            for subject, load in screen.loaders().items():
                assert await load(world) is not None, (mode, subject)


async def test_a_screen_is_drawn_although_the_machine_was_busy(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look at the clock takes 10 ms, which is more than drawing is delayed after a change of screens."""
    looks = itertools.count()
    app = console(world)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        monkeypatch.setattr("textual.timer._time.get_time", lambda: time.monotonic() + next(looks) * 0.01)
        for mode in ("runs", "inbox", "schedules"):
            app.show_mode(mode)
            await until(pilot, lambda: app._batch_count == 0)


async def test_a_change_of_screens_while_the_console_closes_is_not_drawn(world: World) -> None:
    app = console(world)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        app.delay_update()
        stack = app._screen_stack
        screens, stack[:] = list(stack), []
        async with asyncio.timeout(20):
            while app._batch_count:
                await asyncio.sleep(0.001)
        stack[:] = screens


async def test_no_screen_is_prepared_while_the_console_closes(world: World) -> None:
    app = console(world)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await app.build("inbox")
        app.exit()
        for stack in (app._screen_stacks["inbox"], app._screen_stacks["schedules"]):
            screens, stack[:] = list(stack), []
            await app.build("inbox")
            assert "runs" not in app._screen_stacks
            await app.build("runs")
            assert "runs" not in app._screen_stacks
            stack[:] = screens
