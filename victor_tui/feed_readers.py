"""The screens and dialogs that are told what is new: the dialogs that are open, and the screen behind them."""

from __future__ import annotations

from victor_engine.api import EngineInfo
from victor_tui.app_context import Console
from victor_tui.banner import banner_text
from victor_tui.feed import FeedReader, Subject
from victor_tui.screen_lifecycle import is_alive
from victor_tui.widgets.header import HeaderBar, HeaderState


class Readers:
    """Tells the readers of one application, as far as they are composed."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def _open(self) -> list[FeedReader]:
        found: list[FeedReader] = []
        for screen in reversed(self._console.screen_stack):  # there is none while the console ends
            if is_alive(screen) and isinstance(screen, FeedReader):
                found.append(screen)
            if not screen.is_modal:
                break
        return found

    def tick(self) -> None:
        """Tell that a second has passed."""
        for reader in self._open():
            reader.tick()

    def refreshed(self, subject: Subject) -> None:
        """Tell that a subject was loaded again. A reader that is not composed yet draws it all when it is."""
        for reader in self._open():
            reader.feed_refreshed(subject)

    def draw_headers(self, owns_engine: bool) -> None:
        """Draw header and banner of the screen that is shown."""
        console = self._console
        engine: EngineInfo | None = console.feed.snapshots.get("engine")
        state = HeaderState(
            now=console.clock.now().replace(microsecond=0),  # it shows seconds, and is drawn when they change
            engine=engine,
            requests=tuple(console.open_requests),
            asked=console.open_count,
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
        return banner_text(engine, console.my_answer, console.clock.now(), console.zone)
