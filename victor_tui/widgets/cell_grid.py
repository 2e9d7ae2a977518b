"""The base of widgets that draw a row of cells for each of their objects."""

from __future__ import annotations

from textual.scroll_view import ScrollView

from victor_tui.theme import Palette, palette_for


class CellGrid(ScrollView, can_focus=True):
    """A widget of rows below a head, drawn line by line with the styles of the current theme."""

    DEFAULT_CSS = """
    CellGrid { height: 1fr; background: $background; color: $foreground; overflow-x: hidden;
        scrollbar-size-vertical: 1; }
    """

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._palette: Palette = palette_for("")

    def on_mount(self) -> None:
        self._restyle()
        self.watch(self.app, "theme", self._restyle, init=False)

    def _restyle(self) -> None:
        self._palette = palette_for(self.app.theme)
        self.refresh()

    def show_row(self, row: int, fixed: int) -> None:
        """Scroll until a row is visible. `fixed` is the number of lines that do not scroll."""
        visible, top = max(1, self.size.height - fixed), round(self.scroll_y)
        if row < top:
            self.scroll_to(y=row, animate=False, force=True)
        elif row >= top + visible:
            self.scroll_to(y=row - visible + 1, animate=False, force=True)
