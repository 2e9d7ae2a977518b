"""Pictures of a console that are compared with stored ones, several from one console."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from pytest_textual_snapshot import SVGImageExtension
from syrupy.assertion import SnapshotAssertion
from textual.pilot import Pilot
from textual.screen import Screen

from tests.tui.realport import RealPort
from victor_tui.app import VictorApp

SMALL, LARGE = (80, 24), (120, 40)


async def settle(pilot: Pilot[Any]) -> None:
    """Return when the console and its engine have nothing left to do."""
    for _ in range(3):
        await pilot.pause()


class Nothing(Screen[None]):
    """An empty screen."""


class Pictures:
    """The pictures of one test. `wrong` has the names of those that differ from the stored ones."""

    def __init__(self, snapshot: SnapshotAssertion, console: Callable[[RealPort, str], VictorApp]) -> None:
        self.wrong: list[str] = []
        self._console = console
        self._snapshot = snapshot.use_extension(SVGImageExtension)

    @asynccontextmanager
    async def console(self, port: RealPort, theme: str = "victor-dark") -> AsyncIterator[Pilot[Any]]:
        """Run a console of 80x24 on `port`, which hides what differs from machine to machine."""
        port.same_everywhere = True
        async with self._console(port, theme).run_test(size=SMALL) as pilot:
            await settle(pilot)
            yield pilot

    @asynccontextmanager
    async def dialog(
        self, pilot: Pilot[Any], make: Callable[[Screen[Any]], Screen[Any]]
    ) -> AsyncIterator[Screen[Any]]:
        """Show the dialog that `make` returns for the current screen, and leave it afterwards.

        An empty screen stands below it, so that a change of another screen does not change the picture of each dialog.
        """
        shown = pilot.app.screen
        dialog = make(shown)
        await pilot.app.push_screen(Nothing())
        await pilot.app.push_screen(dialog)
        await settle(pilot)
        yield dialog
        while pilot.app.screen is not shown:
            await pilot.app.pop_screen()
        await settle(pilot)

    async def take(self, pilot: Pilot[Any], name: str) -> None:
        """Compare the screen with the stored picture of that name, once it has settled."""
        await pilot.wait_for_scheduled_animations()
        await settle(pilot)
        assert pilot.app._exception is None, "a picture of nothing"
        svg = pilot.app.export_screenshot(title=pilot.app.title, simplify=True)
        if not self._snapshot(name=name) == svg:  # noqa: SIM201 (a snapshot has no `!=`)
            self.wrong.append(name)

    async def at_both_sizes(self, pilot: Pilot[Any], name: str) -> None:
        """Compare the screen at 80x24 and 120x40. `{}` in the name stands for the size. End at 80x24."""
        for width, height in (LARGE, SMALL):
            await pilot.resize_terminal(width, height)
            await self.take(pilot, name.format(f"{width}x{height}"))
