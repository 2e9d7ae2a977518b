"""The distribution of refreshes and ticks to the open dialogs and the screen behind them."""

from __future__ import annotations

from victor_engine.api import EngineInfo
from victor_tui.app_context import Console
from victor_tui.banner import banner_text
from victor_tui.feed import FeedReader, Subject
from victor_tui.screen_lifecycle import is_alive
from victor_tui.widgets.header import HeaderBar, HeaderState


class FeedDistributor:
    """The distributor of one application. It skips screens that are not composed."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def _open(self) -> list[FeedReader]:
        found: list[FeedReader] = []
        for screen in reversed(self._console.screen_stack):  # empty while the console is closing
            if is_alive(screen) and isinstance(screen, FeedReader):
                found.append(screen)
            if not screen.is_modal:
                break
        return found

    def tick(self) -> None:
        """Call `tick` of the open screens, every second."""
        for reader in self._open():
            reader.tick()

    def show_access(self) -> None:
        """Show the open screens what the current user may do, after the roles were loaded."""
        for reader in self._open():
            reader.show_access()

    def refreshed(self, subject: Subject) -> None:
        """Pass a refreshed subject to the open screens. A screen that is not composed draws it later."""
        for reader in self._open():
            reader.feed_refreshed(subject)

    def draw_headers(self, owns_engine: bool) -> None:
        """Draw header and banner of the current screen."""
        console = self._console
        engine: EngineInfo | None = console.feed.snapshots.get("engine")
        state = HeaderState(
            now=console.clock.now().replace(
                microsecond=0
            ),  # the header shows seconds and is redrawn when they change
            engine=engine,
            queue=console.queue,
            owns_engine=owns_engine,
            problem="engine lost" if console.lost else "",
        )
        for screen in reversed(console.screen_stack):
            for header in screen.query(HeaderBar):
                header.zone = console.zone
                header.state = state
            if not screen.is_modal:
                break
        banner = self._banner(engine)
        for reader in self._open():
            reader.show_banner(banner)

    def _banner(self, engine: EngineInfo | None) -> str:
        console = self._console
        if console.lost:
            return console.lost
        if engine is None:
            return "Connecting to the engine…"
        return banner_text(engine, console.answers.mine, console.clock.now(), console.zone)
