"""The only module that uses private names of Textual.

Each function or class covers one gap in Textual's public interface. ``tests/tui/test_textual_compat.py`` tests
each of them against the pinned release, so that an upgrade that changes a private name fails there first.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any, TextIO, TypeVar

from rich.console import Console
from rich.control import Control
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual.app import App
from textual.binding import BindingsMap
from textual.cache import LRUCache
from textual.css.stylesheet import Stylesheet
from textual.dom import DOMNode
from textual.driver import Driver
from textual.filter import LineFilter, Monochrome, NoColor
from textual.notifications import Notification
from textual.screen import Screen
from textual.strip import Strip
from textual.timer import Timer
from textual.widgets import OptionList
from textual.widgets._toast import ToastRack as ToastRack

from victor_tui.changed_cells import ShownCells

ResultT = TypeVar("ResultT")

PARSED_SOURCES = 1024
"""Number of stylesheet sources whose rules are cached. A smaller cache than the number of sources has no hits,
because the sources are always parsed in the same order."""


class CachedStylesheet(Stylesheet):
    """A stylesheet that parses a source again only when the theme's variables change.

    Textual parses the rules of every widget up to three times when a screen opens for the first time. That
    takes about 20 ms each time, between a key and the screen that it opens.
    """

    def __init__(self, *, variables: dict[str, str] | None = None) -> None:
        super().__init__(variables=variables)
        self._parse_cache = LRUCache(PARSED_SOURCES)

    def set_variables(self, variables: dict[str, str]) -> None:
        if variables != self._variables:
            super().set_variables(variables)

    def reparse(self) -> None:
        self.parse()


class QuietFile:
    """A text file whose errors do not end the thread that writes to it.

    Textual's writer thread ends at the first error of a terminal that is gone. Its queue then fills up, and the
    event loop waits for a free position in it for ever.
    """

    def __init__(self, file: TextIO | None) -> None:
        assert file is not None
        self._file = file

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            self._file.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._file.flush()

    def fileno(self) -> int:
        return self._file.fileno()

    def isatty(self) -> bool:
        return self._file.isatty()


def persistent_driver(base: type[Driver]) -> type[Driver]:
    """Return a driver class that survives the loss of its terminal, for a `base` that writes to one."""
    from textual.drivers.linux_driver import LinuxDriver

    if not issubclass(base, LinuxDriver):
        return base

    class PersistentDriver(base):  # type: ignore[valid-type,misc]
        def __init__(self, *args: Any, **more: Any) -> None:
            super().__init__(*args, **more)
            setattr(self, "_file", QuietFile(sys.__stderr__))  # noqa: B010 (its type is TextIO)

    return PersistentDriver


class ChangedCells(CompositorUpdate):
    """An update of the screen that writes only the cells that differ from those that the terminal shows."""

    def __init__(self, update: LayoutUpdate | ChopsUpdate, shown: ShownCells) -> None:
        self.update = update
        self.shown = shown

    def render_segments(self, console: Console) -> str:
        return "".join(
            Control.move_to(start, y).segment.text + part.render(console)
            for x, y, strip in _strips(self.update)
            for start, part in self.shown.changes(x, y, strip)
        )


def _strips(update: LayoutUpdate | ChopsUpdate) -> Iterator[tuple[int, int, Strip]]:
    """Yield column, row and content of each part of an update."""
    if isinstance(update, LayoutUpdate):
        for y, line in enumerate(update.strips, update.region.y):
            yield update.region.x, y, Strip.join(line)
        return
    for y, x1, x2 in update.spans:
        for end, (x, strip) in zip(update.chop_ends[y], update.chops[y].items(), strict=False):
            if strip is not None and x <= x2 and end > x1:
                yield x, y, strip if x1 <= x < x2 and end <= x2 else strip.crop(0, min(end, x2) - x)


class ChangedCellsApp(App[ResultT]):
    """An application that writes only changed cells to its terminal."""

    def __init__(self) -> None:
        super().__init__()
        self.shown_cells = ShownCells()

    def on_resize(self) -> None:
        self.shown_cells.forget()

    def action_redraw(self) -> None:
        """Write all cells again."""
        self.shown_cells.forget()
        self.refresh(layout=True)

    def _display(self, screen: Screen[Any], renderable: Any) -> None:
        if isinstance(renderable, LayoutUpdate | ChopsUpdate):
            renderable = ChangedCells(renderable, self.shown_cells)
        super()._display(screen, renderable)


class GutterOptionList(OptionList):
    """An option list that leaves `gutter_width` columns free on the left of each option."""

    def gutter_width(self) -> int:
        return 0

    def _get_left_gutter_width(self) -> int:
        return self.gutter_width()


def add_line_filter(app: App[Any], line_filter: LineFilter) -> None:
    """Apply `line_filter` to every line that `app` draws, after Textual's own filters."""
    app._filters.append(line_filter)


def remove_colours(app: App[Any]) -> None:
    """Draw without colours and backgrounds where Textual would draw in shades of grey."""
    app._filters[:] = [NoColor() if isinstance(each, Monochrome) else each for each in app._filters]


def always_fired(timer: Timer) -> Timer:
    """Make a new one-shot timer fire when it is late, and return it.

    Textual skips the intervals that a timer has missed. If the process pauses for longer than the delay while a
    one-shot timer starts, Textual skips its only call.
    """
    timer._skip = False
    return timer


def delay_drawing(app: App[Any], delay: float) -> None:
    """Draw nothing for `delay` seconds, and then the current screen, unless the application has closed it."""
    app._begin_batch()

    def draw() -> None:
        app._end_batch()
        if not app._batch_count and app.screen_stack:
            app.screen.refresh()

    app.set_timer(delay, draw, name="delay_update")


def binding_chain(screen: Screen[Any]) -> list[tuple[DOMNode, BindingsMap]]:
    """Return the nodes whose bindings reach `screen`, the focused widget first, with their bindings.

    Unlike ``Screen.active_bindings`` the result includes bindings that are disabled at the moment.
    """
    return screen._binding_chain


def is_mode_built(app: App[Any], mode: str) -> bool:
    """Return whether the screen of `mode` exists."""
    return bool(app._screen_stacks.get(mode))


def mode_screen(app: App[Any], mode: str) -> Screen[Any]:
    """Return the bottom screen of `mode`, which must be built."""
    return app._screen_stacks[mode][0]


async def build_mode(app: App[Any], mode: str) -> Screen[Any]:
    """Create and mount the screen of `mode` without showing it, and return it.

    The screen is marked as styled. Otherwise Textual applies all its styles again when it is first shown.
    """
    mounted = app._init_mode(mode)
    screen = mode_screen(app, mode)
    await mounted
    screen._css_update_count = app._css_update_count
    return screen


async def prepared_mode(app: App[Any], mode: str) -> Screen[Any] | None:
    """Return the bottom screen of `mode`, built if necessary; None while `app` closes, which removes the screens."""
    if not app._exit and not is_mode_built(app, mode):
        await build_mode(app, mode)
    return None if app._exit else mode_screen(app, mode)


def remove_notification(app: App[Any], notification: Notification, *, refresh: bool = True) -> None:
    """Remove `notification` from the screen. With `refresh=False` the caller redraws."""
    app._unnotify(notification, refresh=refresh)


def write_to_terminal(app: App[Any], sequence: str) -> bool:
    """Write an escape sequence through the driver, so that it never splits a frame.

    Return whether a terminal exists.
    """
    driver = app._driver
    if driver is None or app.is_headless:
        return False
    driver.write(sequence)
    return True


def keep_copied(app: App[Any], text: str) -> None:
    """Keep a text for a paste inside the application, without a sequence for the terminal."""
    app._clipboard = text
