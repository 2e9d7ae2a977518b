"""What reaches a screen before it is composed, and while it is being taken away, harms nothing."""

from __future__ import annotations

import asyncio

from textual.app import App, ComposeResult
from textual.screen import Screen
from textual.widgets import Static

from tests.tui.conftest import console
from tests.tui.realport import RealPort
from victor_tui.app import VictorApp
from victor_tui.feed import Refreshed
from victor_tui.inbox.answer_dialog import AnswerDialog
from victor_tui.screen_lifecycle import DebounceTimer, ManagedScreen, is_alive


class Slow(Static):
    """A child that is being taken away until it is let go."""

    def __init__(self, let_go: asyncio.Event) -> None:
        super().__init__("slow", id="slow")
        self._let_go = let_go

    async def on_unmount(self) -> None:
        await self._let_go.wait()


class Waiting(Screen[None], ManagedScreen):
    """A screen that shows what the engine says, whenever that comes."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go, self.said, self.ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    def compose(self) -> ComposeResult:
        yield Static("quick", id="quick")
        yield Slow(self.let_go)

    async def listen(self) -> None:
        try:
            await self.said.wait()
            self.query_one("#quick", Static).update("said")
        finally:
            self.ended.set()


async def test_a_tick_and_a_snapshot_before_a_dialog_is_composed_and_after_it_is_closed(
    bare: RealPort,
) -> None:
    request = await bare.ask("input", input_schema={"type": "integer"})
    async with console(bare).run_test(size=(80, 24)) as pilot:
        app = pilot.app
        assert isinstance(app, VictorApp)
        dialog = AnswerDialog(request)
        app.push_screen(dialog)
        assert not is_alive(dialog)
        app._tick()
        app.on_refreshed(Refreshed("requests"))
        await pilot.pause()
        assert is_alive(dialog)
        await dialog.dismiss(None)
        assert not is_alive(dialog)
        app._tick()
    app._tick()


async def test_a_worker_ends_before_the_children_of_its_screen_go() -> None:
    async with App[None]().run_test() as pilot:
        screen = Waiting()
        await pilot.app.push_screen(screen)
        worker = screen.run_worker(screen.listen())
        await pilot.pause()
        screen.dismiss(None)
        await asyncio.wait_for(screen.ended.wait(), 10)
        assert worker.is_cancelled
        screen.said.set()
        screen.let_go.set()


async def test_what_waits_for_a_quiet_moment_does_not_reach_a_closed_screen() -> None:
    called: list[str] = []
    async with App[None]().run_test() as pilot:
        screen = Waiting()
        screen.let_go.set()
        await pilot.app.push_screen(screen)
        quiet = DebounceTimer(screen)
        quiet.call(lambda: called.append("first"))
        assert quiet.is_pending
        quiet.call(lambda: called.append("second"))
        waiting = quiet._timer
        assert waiting is not None
        await screen.dismiss(None)
        waiting._callback()
    assert called == []
