"""The marks of states: a glyph, a word and a colour role for every status, and the palette of a theme.

This is the only place that maps a state to its glyph and colour. Each status has a glyph and a word, so that the
screens are readable without colours: under `NO_COLOR`, in 16 colours, and for users who see colours differently.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from rich.style import Style
from textual.theme import BUILTIN_THEMES

from victor_tui.themes.catalog import ANSI, BUILT_IN, DARK, LIGHT, MONO
from victor_tui.themes.roles import Look, Palette, Tone

__all__ = ["DARK", "MONO", "NO_TONES", "Look", "Mark", "Palette", "Tone", "look_for", "palette_for"]


class Mark(NamedTuple):
    """Glyph, word and tone of a status."""

    glyph: str
    word: str
    tone: Tone

    @property
    def text(self) -> str:
        return f"{self.glyph} {self.word}"


RUN_MARKS: Mapping[str, Mark] = {
    "queued": Mark("◌", "queued", "dim"),
    "running": Mark("●", "running", "busy"),
    "waiting": Mark("◆", "waiting", "wait"),
    "pausing": Mark("◍", "pausing", "warn"),
    "paused": Mark("‖", "paused", "warn"),
    "cancelling": Mark("◍", "cancelling", "warn"),
    "succeeded": Mark("✓", "succeeded", "ok"),
    "failed": Mark("✗", "failed", "bad"),
    "rejected": Mark("⊘", "rejected", "warn"),
    "cancelled": Mark("⊗", "cancelled", "dim"),
}
STUCK_MARK = Mark("▲", "stuck", "bad")
"""The mark of a run that has been at a node for far longer than the node ever took."""
NODE_MARKS: Mapping[str, Mark] = {
    "pending": Mark("·", "pending", "dim"),
    "running": RUN_MARKS["running"],
    "waiting": RUN_MARKS["waiting"],
    "retrying": Mark("↻", "retrying", "warn"),
    "succeeded": RUN_MARKS["succeeded"],
    "failed": RUN_MARKS["failed"],
    "cancelled": RUN_MARKS["cancelled"],
    "interrupted": Mark("!", "interrupted", "warn"),
    "skipped": Mark("–", "skipped", "dim"),
}
FIRE_MARKS: Mapping[str, Mark] = {
    "started": Mark("✓", "started", "ok"),
    "queued": Mark("◌", "queued", "busy"),
    "skipped": Mark("–", "skipped", "dim"),
    "missed": Mark("!", "missed", "warn"),
    "backfilled": Mark("+", "backfilled", "busy"),
}
KIND_MARKS: Mapping[str, Mark] = {
    "approval": Mark("◆", "approval", "wait"),
    "confirmation": Mark("?", "confirm", "wait"),
    "choice": Mark("≡", "choice", "wait"),
    "input": Mark("✎", "input", "wait"),
    "review": Mark("¶", "review", "wait"),
    "override": Mark("⇄", "override", "wait"),
}
UNKNOWN = Mark("?", "unknown", "dim")


_looks: dict[str, Look] = {look.name: look for look in (*BUILT_IN, MONO)}
_glyphs: dict[str, str] = {}


def register(look: Look) -> None:
    """Add a theme, or replace the theme of its name."""
    _looks[look.name] = look


def show_glyphs(theme_name: str) -> None:
    """Use the glyphs of a theme. A process has one terminal, so all of its marks use them."""
    _glyphs.clear()
    _glyphs.update(look_for(theme_name).glyphs)


def _shown(mark: Mark) -> Mark:
    glyph = _glyphs.get(mark.word)
    return mark if glyph is None else mark._replace(glyph=glyph)


def run_mark(status: str) -> Mark:
    return _shown(RUN_MARKS.get(status, UNKNOWN._replace(word=status)))


def node_mark(status: str) -> Mark:
    return _shown(NODE_MARKS.get(status, UNKNOWN._replace(word=status)))


def fire_mark(outcome: str) -> Mark:
    return _shown(FIRE_MARKS.get(outcome, UNKNOWN._replace(word=outcome)))


def kind_mark(kind: str) -> Mark:
    return _shown(KIND_MARKS.get(kind, UNKNOWN._replace(word=kind)))


def stuck_mark() -> Mark:
    return _shown(STUCK_MARK)


def state_words() -> tuple[str, ...]:
    """Return the words of all states: the names under which a theme can give glyphs."""
    tables = (RUN_MARKS, NODE_MARKS, FIRE_MARKS, KIND_MARKS)
    return tuple(sorted({mark.word for table in tables for mark in table.values()} | {STUCK_MARK.word}))


def look_for(theme_name: str) -> Look:
    """Return the theme of a name, or the dark theme for an unknown name.

    The themes of Textual get the roles of the dark, light or 16-colour theme.
    """
    if (found := _looks.get(theme_name)) is not None:
        return found
    builtin = BUILTIN_THEMES.get(theme_name)
    if builtin is None:
        return DARK
    if builtin.ansi:
        return ANSI
    return DARK if builtin.dark else LIGHT


def palette_for(theme_name: str) -> Palette:
    """Return the palette of a theme."""
    return look_for(theme_name).palette


NO_TONES = Palette({}, Style.null(), Style.null(), Style.null())
"""A palette without styles."""
