"""A filter of drawn lines that removes characters on which a terminal would act.

Screens and dialogs make control characters visible (`victor_tui.text`). An editable field cannot do this,
because its text is sent as it is. This filter removes characters without width and replaces others during
drawing. The width of a line does not change.
"""

from __future__ import annotations

from functools import lru_cache

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from victor_tui.text import fixed_width, is_harmless


@lru_cache(maxsize=8192)
def filter_controls(text: str) -> str:
    """Return `text` in the same width, without control characters and characters of ambiguous width."""
    if text.isascii() and text.isprintable():
        return text
    kept = "".join(
        char if is_harmless(char) and char not in "\n\t" else "�" * min(1, cell_len(char))
        for char in fixed_width(text)
    )
    return text if kept == text else set_cell_size(kept, cell_len(text))


class ControlCharacterFilter(LineFilter):
    """A line filter that applies `filter_controls` to every text."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        texts = [filter_controls(segment.text) for segment in segments]
        if all(text is segment.text for text, segment in zip(texts, segments, strict=True)):
            return segments
        return [
            Segment(text, segment.style, segment.control)
            for text, segment in zip(texts, segments, strict=True)
        ]
