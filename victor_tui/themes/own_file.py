"""The theme of the user: a file that changes colours and glyphs of a built-in theme.

The file is `victor/theme.yaml` below `$XDG_CONFIG_HOME` or `~/.config`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from textual.color import Color, ColorParseError

from victor_engine.config import Source, did_you_mean, read_yaml
from victor_tui.theme import look_for, state_words
from victor_tui.themes.catalog import OWN, SHORT_NAMES
from victor_tui.themes.contrast import too_faint
from victor_tui.themes.roles import ROLE_NAMES, Look
from victor_tui.user_files import user_directory

_KEYS = ("base", "colors", "glyphs")


def own_path(environ: Mapping[str, str] | None = None) -> Path:
    """Return the path of the user's theme."""
    return user_directory("XDG_CONFIG_HOME", ".config", environ) / "theme.yaml"


def read_own(path: Path) -> tuple[Look, list[str]]:
    """Return the user's theme, and a warning for each pair of its colours that is hard to read. Blocks.

    Raises ConfigError with the place of the first error, also if the file does not exist.
    """
    source = read_yaml(path)
    if source is None:
        raise Source(str(path), {}).fail(
            (), "this file with your theme does not exist", "Create it, or choose another theme"
        )
    _known(source, (), source.data, _KEYS)
    base = source.data.get("base", "dark")
    if base not in SHORT_NAMES:
        raise source.fail(("base",), f"base cannot be {base!r}", did_you_mean(str(base), SHORT_NAMES))
    start = look_for(SHORT_NAMES[base])
    look = replace(
        start,
        name=OWN,
        roles=replace(start.roles, **_colors(source, start)),
        glyphs=_glyphs(source),
    )
    return look, _warnings(source, look)


def _section(source: Source, key: str, known: Iterable[str]) -> Mapping[str, Any]:
    """Return a mapping of the file, whose keys are known."""
    found = source.data.get(key) or {}
    if not isinstance(found, dict):
        raise source.fail((key,), f"{key} must be a mapping", f"Write {key}: and indented lines below it")
    _known(source, (key,), found, known)
    return found


def _known(source: Source, path: tuple[str, ...], found: Iterable[str], known: Iterable[str]) -> None:
    for name in found:
        if name not in known:
            raise source.fail((*path, name), f"{name} is not known here", did_you_mean(name, known))


def _colors(source: Source, base: Look) -> dict[str, str]:
    found: dict[str, str] = {}
    for role, text in _section(source, "colors", ROLE_NAMES).items():
        remedy = (
            "Write ansi_red or another of the 16 names" if base.ansi else "Write a colour such as '#d4dbe6'"
        )
        try:
            color = Color.parse(str(text))
        except ColorParseError:
            raise source.fail(("colors", role), f"{text!r} is not a colour", remedy) from None
        if (color.ansi is not None) != base.ansi or color.a != 1:
            raise source.fail(("colors", role), f"{text!r} cannot be used with this base", remedy)
        found[role] = str(text) if base.ansi else color.hex
    return found


def _glyphs(source: Source) -> dict[str, str]:
    found: dict[str, str] = {}
    for state, glyph in _section(source, "glyphs", state_words()).items():
        if not isinstance(glyph, str) or cell_len(glyph) != 1 or not glyph.isprintable() or glyph.isspace():
            raise source.fail(
                ("glyphs", state), f"{glyph!r} is not one character of one cell", "Write one, as '!'"
            )
        found[state] = glyph
    return found


def _warnings(source: Source, look: Look) -> list[str]:
    """Return the pairs that the file made hard to read."""
    if look.ansi:
        return []  # the colours are those of the terminal
    changed = source.data.get("colors") or {}
    return [
        f"{source.place(('colors', text if text in changed else background))}: {text} on {background} has a contrast "
        f"of {measured:.1f}; {least:g} is readable"
        for text, background, measured, least in too_faint(look)
        if text in changed or background in changed
    ]
