"""The roles of a theme: every colour that the console draws, by its use.

A theme is one `Look`: a colour for each role, and glyphs that replace those of `victor_tui.theme`. The variables of the
stylesheets and the styles of the widgets that draw line by line are both derived from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property

from rich.style import Style
from rich.theme import Theme as RichTheme
from textual.theme import BUILTIN_THEMES, Theme

Tone = str
"""The role of a coloured text: ok, busy, wait, warn, bad, dim, head, key or plain."""
STATE_TONES = ("ok", "busy", "wait", "warn", "bad")


@dataclass(frozen=True, kw_only=True)
class Roles:
    """The colours of a theme, as Textual writes them.

    `ok` to `bad` are the colours of states. The others are texts and the backgrounds and lines around them.
    """

    background: str
    surface: str
    panel: str
    text: str
    strong: str
    muted: str
    placeholder: str
    border: str
    focus: str
    field: str
    field_focused: str
    field_border: str
    selection: str
    selection_text: str
    selection_blurred: str
    ok: str
    busy: str
    wait: str
    warn: str
    bad: str

    def items(self) -> Iterator[tuple[str, str]]:
        for each in fields(self):
            yield each.name, getattr(self, each.name)


ROLE_NAMES = tuple(each.name for each in fields(Roles))


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


@dataclass(frozen=True, kw_only=True)
class Look:
    """One theme.

    `ansi` draws with the 16 colours of the terminal. `reverse` marks the cursor by exchanged colours and the states by
    weight, for terminals without colours. `glyphs` replaces the glyphs of states, by their word.
    """

    name: str
    roles: Roles
    dark: bool = True
    ansi: bool = False
    reverse: bool = False
    glyphs: Mapping[str, str] = field(default_factory=dict)

    def theme(self) -> Theme:
        """Return the theme for Textual, with each variable that a stylesheet can use."""
        roles = self.roles
        return Theme(
            name=self.name,
            ansi=self.ansi,
            dark=self.dark,
            primary=roles.focus,
            secondary=roles.muted,
            accent=roles.wait,
            success=roles.ok,
            warning=roles.warn,
            error=roles.bad,
            foreground=roles.text,
            background=roles.background,
            surface=roles.surface,
            panel=roles.panel,
            boost=roles.field_focused,
            variables=variables(self),
        )

    @cached_property
    def palette(self) -> Palette:
        """Return the styles of the widgets that draw line by line."""
        roles = self.roles
        rich = {name: _rich(colour) for name, colour in roles.items()}
        tones = {tone: Style(color=rich[tone], bold=tone == "bad" or None) for tone in STATE_TONES}
        tones["dim"] = Style(color=rich["muted"])
        tones["head"] = Style(color=rich["strong"], bold=True)
        tones["key"] = Style(color=rich["focus"], bold=True)
        if self.reverse or self.ansi:
            return Palette(
                tones=tones,
                cursor=Style(reverse=True),
                cursor_blurred=Style(bold=True, underline=True),
                header=Style(bold=True, underline=True),
                cursor_tones=False,
            )
        same = roles.selection_text == roles.text
        return Palette(
            tones=tones,
            cursor=Style(bgcolor=rich["selection"], color=None if same else rich["selection_text"]),
            cursor_blurred=Style(bgcolor=rich["selection_blurred"]),
            header=Style(color=rich["muted"], bgcolor=rich["panel"]),
            cursor_tones=same,
        )

    def markdown(self) -> RichTheme:
        """Return the styles of the Markdown that Rich draws in previews."""
        style = self.palette.style
        strong, plain = style("head"), Style.null()
        return RichTheme(
            {
                **{f"markdown.h{level}": strong for level in range(1, 8)},
                "markdown.code": style("warn"),
                "markdown.code_block": style("warn"),
                "markdown.block_quote": style("dim"),
                "markdown.list": plain,
                "markdown.item.bullet": style("key"),
                "markdown.item.number": style("key"),
                "markdown.hr": style("dim"),
                "markdown.link": style("busy"),
                "markdown.link_url": style("busy"),
                "markdown.table.border": style("dim"),
                "markdown.table.header": strong,
            }
        )


def _rich(colour: str) -> str:
    """Return a colour as Rich writes it."""
    return colour.removeprefix("ansi_")


def own_variables(look: Look) -> dict[str, str]:
    """Return the variables that the stylesheets of this console have in addition to those of Textual."""
    roles = look.roles
    return {
        "field": roles.field,
        "field-focused": roles.field_focused,
        "field-border": roles.field_border,
        "field-border-focused": roles.focus,
        "placeholder": roles.placeholder,
        "selection-style": "reverse" if look.reverse else "none",
    }


def variables(look: Look) -> dict[str, str]:
    """Return the variables of the stylesheets for a theme."""
    roles = look.roles
    cursor_style = "reverse" if look.reverse else "bold"
    texts = {
        "text": roles.text,
        "text-muted": roles.muted,
        "text-disabled": roles.placeholder,
        "foreground-muted": roles.muted,
        "foreground-disabled": roles.placeholder,
        "text-primary": roles.busy,
        "text-secondary": roles.muted,
        "text-accent": roles.wait,
        "text-success": roles.ok,
        "text-warning": roles.warn,
        "text-error": roles.bad,
        "button-foreground": roles.text,
        "button-color-foreground": roles.background,
        "link-color": roles.busy,
        "link-color-hover": roles.busy,
        "link-background-hover": "initial",
        **{f"markdown-h{level}-color": roles.strong for level in range(1, 7)},
    }
    lines = {
        "border": roles.border,
        "border-blurred": roles.border,
        "scrollbar": roles.border,
        "scrollbar-hover": roles.muted,
        "scrollbar-active": roles.focus,
        "scrollbar-background": roles.surface,
        "scrollbar-background-hover": roles.surface,
        "scrollbar-background-active": roles.surface,
        "scrollbar-corner-color": roles.surface,
    }
    cursors = {
        "block-cursor-background": roles.selection,
        "block-cursor-foreground": roles.selection_text,
        "block-cursor-text-style": cursor_style,
        "block-cursor-blurred-background": roles.selection_blurred,
        "block-cursor-blurred-foreground": roles.text,
        "block-cursor-blurred-text-style": "bold" if look.reverse else "none",
        "block-hover-background": roles.field_focused,
        "input-cursor-background": roles.text,
        "input-cursor-foreground": roles.background,
        "input-cursor-text-style": "reverse" if look.reverse else "none",
        "input-selection-background": roles.selection,
        "input-selection-foreground": roles.selection_text,
        "screen-selection-background": roles.selection,
        "screen-selection-foreground": roles.selection_text,
    }
    footer = {
        "footer-background": roles.surface,
        "footer-foreground": roles.text,
        "footer-item-background": roles.surface,
        "footer-key-background": roles.surface,
        "footer-key-foreground": roles.focus,
        "footer-description-background": roles.surface,
        "footer-description-foreground": roles.muted,
    }
    ansi = BUILTIN_THEMES["ansi-dark"].variables if look.ansi else {}
    return {**ansi, **own_variables(look), **texts, **lines, **cursors, **footer}
