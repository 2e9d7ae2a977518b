"""A scrolling view of lines that draws only the visible ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from rich.segment import Segment
from textual.binding import BindingType
from textual.content import Content
from textual.geometry import Region, Size
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.style import Style

from victor_tui.keys import bindings
from victor_tui.theme import palette_for

_CACHE_LINES = 2000
"""Maximum number of cached lines, more than any screen shows."""


def _widest(lines: Sequence[Content]) -> int:
    """Return the width of the widest line. Lazy sequences have it as `widest`."""
    known = getattr(lines, "widest", None)
    return known if isinstance(known, int) else max((line.cell_length for line in lines), default=0)


class LineView(ScrollView, can_focus=True):
    """Lines of `Content` with an optional cursor.

    Long lines scroll sideways. Callers use `set_lines`, or subclasses override `line_at` and call
    `set_line_count`.
    """

    DEFAULT_CSS = """
    LineView {
        height: 1fr;
        background: transparent;
        scrollbar-size-vertical: 1;
        scrollbar-size-horizontal: 1;
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"lineview--cursor", "lineview--cursor-blurred"}
    BINDINGS: ClassVar[list[BindingType]] = bindings("lines")

    cursor = reactive(0, repaint=False)
    show_cursor: bool = False
    """Whether up and down move a cursor instead of scrolling."""

    def __init__(
        self, lines: Iterable[Content] = (), *, id: str | None = None, classes: str | None = None
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._lines: Sequence[Content] = lines if isinstance(lines, Sequence) else list(lines)
        self._cache: dict[int, Strip] = {}
        self._count = len(self._lines)
        self._widest = _widest(self._lines)

    # --- content -------------------------------------------------------------------------------

    @property
    def line_count(self) -> int:
        return self._count

    def line_at(self, index: int) -> Content:
        """Return the content of line `index`."""
        return self._lines[index]

    def set_lines(self, lines: Sequence[Content]) -> None:
        """Replace all lines. Scroll position and cursor stay if possible."""
        self._lines = lines
        self._widest = _widest(lines)
        self.set_line_count(len(self._lines), self._widest)

    def set_line_count(self, count: int, widest: int) -> None:
        """Set the number of lines and the width of the widest in cells, and clear the cache."""
        self._cache.clear()
        self._count = count
        self._widest = widest
        self.virtual_size = Size(widest + 1, count)
        if self.show_cursor and count:
            self.cursor = min(self.cursor, count - 1)
        self.refresh()

    def on_mount(self) -> None:
        self.virtual_size = Size(self._widest + 1, self._count)

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._cache.clear()

    # --- drawing -------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        scroll_x, scroll_y = self.scroll_offset
        index = scroll_y + y
        width = self.size.width
        base = self.visual_style
        if index >= self._count:
            return Strip.blank(width, base.rich_style)
        if self.show_cursor and index == self.cursor:
            name = "lineview--cursor" if self.has_focus else "lineview--cursor-blurred"
            base = base + self.get_visual_style(name)
            toned = not self.has_focus or palette_for(self.app.theme).cursor_tones
            strip = self._draw(index, base, toned)
        else:
            found = self._cache.get(index)
            if found is None:
                if len(self._cache) > _CACHE_LINES:
                    self._cache.clear()
                found = self._cache[index] = self._draw(index, base)
            strip = found
        return strip.crop_extend(scroll_x, scroll_x + width, base.rich_style)

    def _draw(self, index: int, base: Style, toned: bool = True) -> Strip:
        parse = self.app.stylesheet.parse_style
        line = self.line_at(index)
        parts = (line if toned else Content(line.plain)).render(base, "", parse)
        return Strip([Segment(text, style.rich_style) for text, style in parts])

    # --- moving --------------------------------------------------------------------------------

    def watch_cursor(self, old: int, new: int) -> None:
        self.refresh_line(old)
        self.refresh_line(new)
        if self.show_cursor:
            self.scroll_to_region(Region(self.scroll_offset.x, new, 1, 1), animate=False, force=True)

    def watch_has_focus(self, _focus: bool) -> None:
        super().watch_has_focus(_focus)
        if self.show_cursor:
            self.refresh_line(self.cursor)

    def move_to(self, index: int) -> None:
        """Move the cursor to `index`, limited to the existing lines."""
        self.cursor = max(0, min(index, self._count - 1))

    def action_move(self, by: int) -> None:
        if self.show_cursor:
            self.move_to(self.cursor + by)
        else:
            self.scroll_relative(y=by, animate=False)

    def action_page(self, by: int) -> None:
        step = by * max(1, self.size.height - 1)
        if self.show_cursor:
            self.move_to(self.cursor + step)
        else:
            self.scroll_relative(y=step, animate=False)

    def action_edge(self, side: int) -> None:
        if self.show_cursor:
            self.move_to(0 if side < 0 else self._count - 1)
        elif side < 0:
            self.scroll_home(animate=False)
        else:
            self.scroll_end(animate=False)
