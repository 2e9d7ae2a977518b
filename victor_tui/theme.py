"""Colours and marks: a dark theme, a theme for 16 colours, and a glyph and word for every status.

Each status has a glyph and a word, so that the screens are readable without colours: under `NO_COLOR`, in 16
colours, and for users who see colours differently.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from rich.style import Style
from textual.theme import BUILTIN_THEMES, Theme

DARK = Theme(
    name="victor-dark",
    primary="#6cb2f5",
    secondary="#8793a6",
    accent="#c7a5f7",
    success="#6fc48f",
    warning="#e3b562",
    error="#f2777f",
    foreground="#d4dbe6",
    background="#10141b",
    surface="#151a23",
    panel="#1d2430",
    dark=True,
    variables={
        "border": "#2b3546",
        "border-blurred": "#2b3546",
        "scrollbar": "#2b3546",
        "scrollbar-hover": "#3a475d",
        "scrollbar-active": "#6cb2f5",
        "scrollbar-background": "#151a23",
        "scrollbar-background-hover": "#151a23",
        "scrollbar-background-active": "#151a23",
        "scrollbar-corner-color": "#151a23",
        "footer-background": "#151a23",
        "footer-key-foreground": "#6cb2f5",
        "footer-description-foreground": "#97a2b4",
        "block-cursor-background": "#24405f",
        "block-cursor-foreground": "#f2f6fc",
        "input-selection-background": "#24405f",
    },
)
ANSI = Theme(
    name="victor-ansi",
    ansi=True,
    primary="ansi_bright_blue",
    secondary="ansi_cyan",
    accent="ansi_magenta",
    success="ansi_green",
    warning="ansi_yellow",
    error="ansi_bright_red",
    foreground="ansi_default",
    background="ansi_default",
    surface="ansi_default",
    panel="ansi_default",
    boost="ansi_default",
    dark=True,
    variables={
        **BUILTIN_THEMES["ansi-dark"].variables,
        "border": "ansi_bright_black",
        "border-blurred": "ansi_bright_black",
        "footer-background": "ansi_default",
        "footer-foreground": "ansi_default",
        "footer-key-foreground": "ansi_bright_blue",
        "footer-key-background": "ansi_default",
        "footer-description-foreground": "ansi_default",
        "footer-description-background": "ansi_default",
        "footer-item-background": "ansi_default",
        "block-cursor-foreground": "ansi_black",
        "block-cursor-background": "ansi_white",
        "input-cursor-background": "ansi_white",
        "input-cursor-foreground": "ansi_black",
        "input-selection-background": "ansi_bright_blue",
        "input-selection-foreground": "ansi_black",
        "scrollbar": "ansi_bright_black",
        "scrollbar-background": "ansi_default",
    },
)
THEMES = (DARK, ANSI)

Tone = str
"""The meaning of a colour: ok, busy, wait, warn, bad, dim, head, key or plain."""


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


def run_mark(status: str) -> Mark:
    return RUN_MARKS.get(status, UNKNOWN._replace(word=status))


def node_mark(status: str) -> Mark:
    return NODE_MARKS.get(status, UNKNOWN._replace(word=status))


def fire_mark(outcome: str) -> Mark:
    return FIRE_MARKS.get(outcome, UNKNOWN._replace(word=outcome))


def kind_mark(kind: str) -> Mark:
    return KIND_MARKS.get(kind, UNKNOWN._replace(word=kind))


@dataclass(frozen=True)
class Palette:
    """The Rich styles of widgets that draw line by line."""

    tones: Mapping[Tone, Style]
    cursor: Style
    cursor_blurred: Style
    header: Style
    cursor_tones: bool = True
    """Whether cells keep their tones under the cursor. Reversed tones would look like patches."""

    def style(self, tone: Tone) -> Style:
        return self.tones.get(tone, Style.null())


def palette_for(theme_name: str) -> Palette:
    """Return the palette of a theme. Other themes than those for 16 colours get the dark palette."""
    if theme_name == ANSI.name or theme_name.startswith("ansi"):
        return Palette(
            tones={
                "ok": Style(color="green"),
                "busy": Style(color="bright_blue"),
                "wait": Style(color="magenta"),
                "warn": Style(color="yellow"),
                "bad": Style(color="bright_red", bold=True),
                "dim": Style(dim=True),
                "head": Style(bold=True),
                "key": Style(color="bright_blue", bold=True),
            },
            cursor=Style(reverse=True),
            cursor_blurred=Style(bold=True, underline=True),
            header=Style(bold=True, underline=True),
            cursor_tones=False,
        )
    return Palette(
        tones={
            "ok": Style(color=DARK.success),
            "busy": Style(color=DARK.primary),
            "wait": Style(color=DARK.accent),
            "warn": Style(color=DARK.warning),
            "bad": Style(color=DARK.error, bold=True),
            "dim": Style(color="#78849a"),
            "head": Style(color="#f2f6fc", bold=True),
            "key": Style(color=DARK.primary, bold=True),
        },
        cursor=Style(bgcolor="#24405f"),
        cursor_blurred=Style(bgcolor="#1d2736"),
        header=Style(color="#97a2b4", bgcolor="#1d2430"),
    )


NO_TONES = Palette({}, Style.null(), Style.null(), Style.null())
"""A palette without styles."""
