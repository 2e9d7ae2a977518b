"""The last look at what is drawn: whatever widget it comes from, no text commands the terminal.

Screens and dialogs write out what a terminal would act on (`victor_tui.text`). A field that is edited
cannot: what it holds is what is sent. There this filter takes out, as it is drawn, what has no width and
puts a sign in the place of the rest; a line is as wide afterwards as it was before.
"""

from __future__ import annotations

from functools import lru_cache

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from victor_tui.text import is_harmless, steady


@lru_cache(maxsize=8192)
def powerless(text: str) -> str:
    """`text` in as many cells, without a character that a terminal acts on or draws as wide as it likes."""
    if text.isascii() and text.isprintable():
        return text
    kept = "".join(
        char if is_harmless(char) and char not in "\n\t" else "�" * min(1, cell_len(char))
        for char in steady(text)
    )
    return text if kept == text else set_cell_size(kept, cell_len(text))


class Powerless(LineFilter):
    """Draws every text of a line `powerless`."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        texts = [powerless(segment.text) for segment in segments]
        if all(text is segment.text for text, segment in zip(texts, segments, strict=True)):
            return segments
        return [
            Segment(text, segment.style, segment.control)
            for text, segment in zip(texts, segments, strict=True)
        ]
