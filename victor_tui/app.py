"""The application: it opens immediately, connects in a worker, and manages the screens.

Screens are imported on first use, so that the first frame is drawn without delay.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import tzinfo
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual import work
from textual.actions import ActionParseResult
from textual.app import App
from textual.command import CommandPalette
from textual.dom import DOMNode
from textual.screen import Screen
from textual.worker import Worker, WorkerCancelled, WorkerFailed

from victor_engine.api import EngineInfo, Port, RequestQuery
from victor_engine.clock import Clock
from victor_engine.errors import PermissionDeniedError, VictorError
from victor_engine.identity import user_name
from victor_tui.app_context import Console
from victor_tui.attention import Announcer
from victor_tui.config import console_settings
from victor_tui.dialogs.shared import SharedDialogs
from victor_tui.engine_actions import EngineActions
from victor_tui.exit_signals import install_signals
from victor_tui.feed import (
    INTERVAL,
    Connected,
    FeedReader,
    Happened,
    LoadFailed,
    Lost,
    Refreshed,
    Subject,
)
from victor_tui.feed_readers import FeedDistributor
from victor_tui.inbox.drafts import delete_decided
from victor_tui.inbox.queue import Queue, QueueLoader
from victor_tui.keymap_report import report_keymap
from victor_tui.keys import SCREENS, bindings
from victor_tui.navigation import ScreenNavigator
from victor_tui.output_guard import ControlCharacterFilter
from victor_tui.palette_providers import PROVIDERS
from victor_tui.session_memory import SessionMemory
from victor_tui.text import clean, full
from victor_tui.textual_compat import (
    CachedStylesheet,
    add_line_filter,
    delay_drawing,
    persistent_driver,
    prepared_mode,
)
from victor_tui.widgets.header import HeaderBar

if TYPE_CHECKING:
    from textual.driver import Driver

    from victor_engine.service.signals import Signals
    from victor_tui.global_keys import GlobalKeys

ALWAYS_LOADED: tuple[Subject, ...] = ("requests", "held", "engine", "caller")
"""Subjects that are always refreshed, independent of the visible screen."""
TRANSITION = 0.005
"""Maximum delay in seconds before drawing after a change of screens."""
ROLES_SECONDS = 30
_UNREPORTED: tuple[tuple[int, Subject], ...] = ((5, "engine"), (ROLES_SECONDS, "caller"))
"""Seconds between two refreshes: a changed file and a changed group of the user write no event."""
HAND_OVER = "daemon"
"""Result of the application if a daemon must take over its engine."""


def _module(mode: str) -> str:
    return f"victor_tui.{mode}.screen"


def _screen(mode: str) -> Callable[[], Screen[Any]]:
    def load() -> Screen[Any]:
        module = import_module(_module(mode))
        screen: Screen[Any] = getattr(module, f"{mode.capitalize()}Screen")()
        return screen

    return load


async def _answer_first(app: Console, query: RequestQuery) -> None:
    """Open the first request that matches a query."""
    try:
        found = await app.port.requests(query)
        others = 0 if found else await app.port.request_count(RequestQuery())
    except VictorError as error:
        app.report(error)
        return
    if found:
        await app.dialogs.answer_request(found[0])
    elif others:
        app.notify(f"No request waits for you. A opens the first of {others} for other users.", markup=False)
    else:
        app.notify("No requests are open.", markup=False)


class VictorApp(Console):
    """The application. `connect` returns a port, and is called again after the connection is lost.

    `allow_start` is called when the user lets the next `connect` start an engine. Without it, the console
    starts none. With `remember`, it opens as the last session ended.
    `run` returns `HAND_OVER` if a daemon must take over the embedded engine.
    """

    TITLE = "victor"
    CSS_PATH = "app.tcss"
    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = {
        mode: _screen(mode) for mode, _, _ in SCREENS
    }
    DEFAULT_MODE = "schedules"
    BINDINGS = bindings("app")
    COMMANDS = set(PROVIDERS)
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-medium"), (150, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-short"), (34, "-tall")]

    def __init__(
        self,
        connect: Callable[[], Awaitable[Port]],
        *,
        clock: Clock | None = None,
        zone: tzinfo | None = None,
        theme: str | None = None,
        interval: float = INTERVAL,
        allow_start: Callable[[], None] | None = None,
        remember: bool = False,
    ) -> None:
        super().__init__(
            connect,
            navigator=ScreenNavigator,
            dialogs=lambda console: SharedDialogs(
                console, lambda request: self.announcer.request_opened(request)
            ),
            clock=clock,
            zone=zone,
            interval=interval,
            theme=theme,
        )
        self._allow_start = allow_start
        self.stylesheet = CachedStylesheet(variables=self.get_css_variables())
        self.owns_engine = False
        self.announcer = Announcer(self)
        self._distributor = FeedDistributor(self)
        self._engine = EngineActions(self)
        self._prepared = False
        self._memory = SessionMemory(self, remember)
        self.first_shown, self.leaving = self._memory.show_last, self._memory.keep
        self._seconds = 0
        self._keys: GlobalKeys | None = None
        self._feeding: Worker[None] | None = None
        self._signals: Signals | None = None
        add_line_filter(self, ControlCharacterFilter())

    def get_driver_class(self) -> type[Driver]:
        return persistent_driver(super().get_driver_class())

    # --- lifecycle ----------------------------------------------------------------------------

    def on_mount(self) -> None:
        self.themes.start()
        if not self.is_headless:
            self._signals = install_signals(self)
        self.app_resume_signal.subscribe(
            self, lambda _: self.action_redraw()
        )  # the shell has cleared the screen
        report_keymap(self)
        self.feed.keep("requests", QueueLoader())
        self.feed.keep("held", lambda port: port.requests(RequestQuery(statuses=("held",))))
        self.feed.keep("engine", lambda port: port.engine())
        self.feed.keep("caller", lambda port: port.whoami())
        self.set_interval(1.0, self._tick)

        def start_feed() -> None:
            self._feeding = self.run_worker(self.feed.run(), name="feed", group="feed")

        self.call_after_refresh(start_feed)

    async def on_unmount(self) -> None:
        self.announcer.restore_title()
        self._memory.close()
        if self._feeding is not None:
            # The feed can be starting an engine: its port is closed below, or the feed closes it.
            self._feeding.cancel()
            with suppress(WorkerCancelled, WorkerFailed):
                await self._feeding.wait()
        port = self.feed.port
        if self._signals is not None:
            self._signals.on_repeat = getattr(port, "force_kill", None)  # only an embedded engine has it
        if port is not None:
            await port.close()
        if self._signals is not None:
            self._signals.uninstall()

    def _tick(self) -> None:
        self.update_header()
        engine: EngineInfo | None = self.feed.snapshots.get("engine")
        if engine is not None and engine.mode == "readonly":
            self.feed.mark_stale("engine")  # a killed engine writes no event
        self._seconds += 1
        for seconds, subject in _UNREPORTED:
            if self._seconds % seconds == 0:
                self.feed.mark_stale(subject)
        self._distributor.tick()
        self._memory.tick()

    # --- feed ---------------------------------------------------------------------------------

    def on_connected(self, message: Connected) -> None:
        engine: EngineInfo = self.feed.snapshots["engine"]
        self.owns_engine = engine.mode == "embedded" and engine.pid == os.getpid()
        if self.lost:
            self.notify("Connected to the engine again.", markup=False)
        self.lost = ""
        self._memory.restore(engine.workspace)
        if self.access.limited:
            self.show_mode("inbox")  # the only screen with something to see
        if engine.engine_user not in ("", user_name(os.geteuid())):
            kind = "daemon" if engine.mode == "daemon" else "engine"
            where = f"Attached to the {kind} of {engine.engine_user}: process {engine.pid}, socket {engine.socket}."
            self.notify(clean(where), markup=False)
        self._read_settings(Path(engine.workspace))
        if not engine.trusted:
            self.run_worker(self._engine.ask_for_trust(), group="dialog")
        self.run_worker(delete_decided(message.port, engine), group="drafts", exclusive=True)

    @work(group="settings", exclusive=True)
    async def _read_settings(self, workspace: Path) -> None:
        """Read the settings in a thread, show the theme, and detect the notifications of the terminal."""
        try:
            settings = await asyncio.to_thread(console_settings, workspace)
        except VictorError as error:
            self.report(error)
            return
        self.themes.configure(settings.theme)
        if not self.is_headless:
            await self.announcer.detect_terminal(settings.notify, os.environ)

    def on_lost(self, message: Lost) -> None:
        retry = "" if message.retry_in is None else f" · retry in {message.retry_in:g} s"
        start = " · F9 starts one here" if retry and self._may_start else ""
        self.lost_at = self.lost_at if self.lost else self.clock.now()
        since = f" · data as of {full(self.lost_at, self.zone)}" if "caller" in self.feed.snapshots else ""
        self.lost = clean(message.error.message) + start + retry + since
        self.owns_engine = False
        self.update_header()

    def on_load_failed(self, message: LoadFailed) -> None:
        if isinstance(message.error, PermissionDeniedError):
            self.feed.mark_stale("caller")
            if self.access.limited:
                return  # the screen is left, see `on_connected`
        self.report(message.error)

    def on_refreshed(self, message: Refreshed) -> None:
        if message.subject == "requests":
            queue: Queue | None = self.feed.snapshots.get("requests")
            if queue is not None:
                self.announcer.queue_changed(queue)
        if message.subject in ("engine", "requests", "held"):
            self.update_header()
        if message.subject not in ALWAYS_LOADED and not self._prepared and not self.is_headless:
            self._prepared = True
            self.call_after_refresh(self.prepare)
        if message.subject == "caller" and self.screen_stack:  # empty while the console is closing
            self.screen.refresh_bindings()
            self._distributor.show_access()
        self._distributor.refreshed(message.subject)

    @work(group="prepare")
    async def prepare(self) -> None:
        """Prepare the other main screens after the first has shown its rows."""
        from victor_tui.prepared_screens import prepare

        await prepare(lambda: self.key_queue.idle_seconds, self.build)

    async def build(self, mode: str) -> None:
        """Import, compose and lay out a main screen without showing it, and load its first snapshots."""
        await asyncio.to_thread(import_module, _module(mode))
        screen: object = await prepared_mode(self, mode)
        if isinstance(screen, FeedReader) and not self.access.limited:
            await self.feed.prefetch(screen.loaders())

    def delay_update(self, delay: float = 0.05) -> None:
        """Limit the delay of drawing after a change of screens: the screens here are composed already."""
        delay_drawing(self, min(delay, TRANSITION))

    def on_happened(self, message: Happened) -> None:
        self.announcer.happened(message.event)

    def update_header(self) -> None:
        """Draw header and banner of the current screen."""
        self._distributor.draw_headers(self.owns_engine)

    # --- actions ------------------------------------------------------------------------------

    async def run_action(
        self,
        action: str | ActionParseResult,
        default_namespace: DOMNode | None = None,
        namespaces: Mapping[str, DOMNode] | None = None,
    ) -> bool:
        """Run an action that the roles of the current user permit. Otherwise show the role that it needs."""
        node = default_namespace or self
        if isinstance(action, str) and (refused := self.access.refusal(action, node)) is not None:
            available = any(
                active.binding.action == action and active.enabled
                for active in self.screen.active_bindings.values()
            )
            if available:
                self.notify(refused, severity="warning", markup=False)
            return available
        return await super().run_action(action, default_namespace, namespaces)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Disable keys that leave the screen or open another dialog while a dialog is open."""
        if action == "start_engine" and not (self.lost and self._may_start):
            return False
        if action == "everywhere" and parameters == ("copy",):
            return True  # a value of a dialog can be copied too
        blocked = action in ("show", "answer", "leave", "reload", "drain", "everywhere", "start_engine")
        return not (blocked and self.screen.is_modal)

    @property
    def _may_start(self) -> bool:
        """Whether this console may start an engine: not in place of the engine of another user."""
        owner = getattr(self.feed.snapshots.get("engine"), "engine_user", "")
        return self._allow_start is not None and owner in ("", user_name(os.geteuid()))

    def action_command_palette(self) -> None:
        if not CommandPalette.is_open(cast("App[object]", self)):
            words = "name of an action or a thing, or both: pause nightly"
            self.push_screen(CommandPalette(id="--command-palette", placeholder=words))

    def action_show(self, mode: str) -> None:
        self.show_mode(mode)

    def on_header_bar_screen_picked(self, message: HeaderBar.ScreenPicked) -> None:
        if not self.screen.is_modal:
            self.action_show(message.mode)

    @work(group="dialog", exclusive=True)
    async def action_answer(self, all_users: bool = False) -> None:
        """Open the next request of the user's queue, or of all users."""
        query = RequestQuery(limit=1) if all_users else RequestQuery(answerable=True, limit=1)
        with self.key_queue.hold():
            await _answer_first(self, query)

    @work(group="dialog")
    async def action_everywhere(self, name: str) -> None:
        """Execute the action of a global key."""
        from victor_tui.global_keys import GlobalKeys

        if self._keys is None:
            self._keys = GlobalKeys(self)
        await self._keys.run(name)

    def action_start_engine(self) -> None:
        """Start an engine in this console, unless another one is running."""
        if self._allow_start is not None:
            self._allow_start()
            self.feed.retry()

    async def action_help(self) -> None:
        from victor_tui.dialogs.help import HelpDialog

        if not isinstance(self.screen, HelpDialog):
            await self.push_screen(HelpDialog(self.screen))

    @work(group="dialog")
    async def action_reload(self) -> None:
        await self._engine.reload()

    @work(group="dialog", exclusive=True)
    async def action_drain(self) -> None:
        """Drain the engine, or stop draining, after a confirmation."""
        await self._engine.drain()

    @work(group="dialog", exclusive=True)
    async def action_leave(self) -> None:
        self._memory.tick()
        if not self.owns_engine:
            self.exit()
            return
        from victor_tui.dialogs.quit import QuitDialog

        choice = await self.push_screen_wait(QuitDialog(self.feed.snapshots["engine"]))
        if choice in ("stop", "daemon"):
            self.exit(HAND_OVER if choice == "daemon" else None)
