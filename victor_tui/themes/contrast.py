"""The contrast of two colours, as WCAG 2.2 defines it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from textual.color import Color

from victor_tui.themes.roles import STATE_TONES, Look

TEXT_CONTRAST = 4.5
"""Least contrast of text (success criterion 1.4.3)."""
LINE_CONTRAST = 3.0
"""Least contrast of the border of a field (success criterion 1.4.11)."""


def luminance(colour: Color) -> float:
    """Return the relative luminance: 0 for black, 1 for white."""

    def linear(part: int) -> float:
        value = part / 255
        return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4

    red, green, blue = colour.rgb
    return 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)


def contrast(one: Color, other: Color) -> float:
    """Return the contrast of two colours, from 1 to 21."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def pairs(look: Look) -> Iterator[tuple[str, str, float]]:
    """Yield each pair of roles that is drawn together: text or line, background, and their least contrast."""
    backgrounds = ["background", "surface", "panel", "selection_blurred", "field", "field_focused"]
    if look.palette.cursor_tones:
        backgrounds.append("selection")  # cells keep their colours under the cursor
    for text in ("text", "strong", "muted", "focus", *STATE_TONES):
        for background in backgrounds:
            yield text, background, TEXT_CONTRAST
    for background in ("field", "field_focused", "background"):
        yield "placeholder", background, TEXT_CONTRAST
    yield "selection_text", "selection", TEXT_CONTRAST
    for line in ("field_border", "focus"):
        for background in ("background", "surface", "panel", "field", "field_focused"):
            yield line, background, LINE_CONTRAST


def too_faint(look: Look, parse: Callable[[str], Color] = Color.parse) -> list[tuple[str, str, float, float]]:
    """Return the pairs of a theme that lack contrast: two roles, their contrast, and the least one."""
    colours = {name: parse(colour) for name, colour in look.roles.items()}
    measured = (
        (text, background, contrast(colours[text], colours[background]), least)
        for text, background, least in pairs(look)
    )
    return [each for each in measured if each[2] < each[3]]
