"""The preview pane beside a table: facts about the row under the cursor, never parsed as markup."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.style import Style
from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from victor_tui.text import clean, clean_lines
from victor_tui.theme import Tone, palette_for


class Facts:
    """The content of a preview: headings, labelled facts, lines and blocks."""

    def __init__(self, theme: str) -> None:
        self._palette = palette_for(theme)
        self._parts: list[RenderableType] = []
        self._grid: Table | None = None

    def style(self, tone: Tone) -> Style:
        return self._palette.style(tone)

    def _add(self, part: RenderableType) -> None:
        self._grid = None
        self._parts.append(part)

    def title(self, text: str, tone: Tone = "head") -> Facts:
        self._add(Text(clean(text), style=self.style(tone)))
        return self

    def heading(self, text: str) -> Facts:
        self._add(Text(f"\n{clean(text)}", style=self.style("dim") + Style(bold=True)))
        return self

    def fact(self, label: str, value: object, tone: Tone = "plain") -> Facts:
        """Add a labelled value; an empty value is left out."""
        if value is None or value == "":
            return self
        if self._grid is None:
            self._grid = Table.grid(padding=(0, 1))
            self._grid.add_column(width=11, no_wrap=True, style=self.style("dim"))
            self._grid.add_column(overflow="fold")
            self._parts.append(self._grid)
        self._grid.add_row(Text(clean(label)), Text(clean(value), style=self.style(tone)))
        return self

    def line(self, *pieces: tuple[str, Tone]) -> Facts:
        """Add one line of pieces with tones."""
        text = Text(overflow="ellipsis", no_wrap=True)
        for piece, tone in pieces:
            text.append(clean(piece), style=self.style(tone))
        self._add(text)
        return self

    def text(self, text: str, tone: Tone = "plain") -> Facts:
        """Add a paragraph with its line breaks."""
        self._add(Text(clean_lines(text), style=self.style(tone)))
        return self

    def block(self, part: RenderableType) -> Facts:
        """Add any Rich renderable. Its text must be clean already."""
        self._add(part)
        return self

    def renderable(self) -> Group:
        return Group(*self._parts)


class Preview(VerticalScroll, can_focus=True):
    """A scrolling pane that shows `Facts`."""

    def __init__(self, id: str = "preview", classes: str = "side") -> None:
        super().__init__(id=id, classes=classes)
        self._body = Static(markup=False)

    def compose(self) -> ComposeResult:
        yield self._body

    def show(self, facts: Facts, *, to_top: bool = False) -> None:
        self._body.update(facts.renderable())
        if to_top:
            self.scroll_home(animate=False)
