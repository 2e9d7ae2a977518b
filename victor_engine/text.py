"""The conversion of untrusted text into text that is safe on a terminal. All code that prints such text uses it.

Each character that a terminal would act on is replaced with one visible character. Sequences are not parsed, so a
malformed or incomplete sequence cannot bypass the conversion, and the reader still sees it. Only plain colour
codes are removed, because logs are full of them.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_COLOUR = re.compile(r"\x1b\[[0-9;:]{0,64}m")
_SAFE = re.compile(r"[\x20-\x7e\n\t]*\Z")

_DRAWN = frozenset((*range(0x0600, 0x0606), 0x06DD, 0x070F, 0x0890, 0x0891, 0x08E2, 0x110BD, 0x110CD))
"""Visible format characters: signs of Arabic, Syriac and Kaithi that enclose numbers."""
_JOINERS = frozenset((0x200C, 0x200D))
"""Format characters that occur in words of some scripts and in emoji."""
_HIDDEN = frozenset((0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0, *range(0xE0100, 0xE01F0)))
"""Invisible letters and marks, with which different words look the same."""

_MOST_MARKS = 3
"""The maximum number of combining marks on one character: more would cover the lines around it."""


@lru_cache(maxsize=4096)
def sign(char: str) -> str:
    """Return the visible replacement of a character that acts on a terminal or is invisible, else the character."""
    code = ord(char)
    if code < 0x20:
        return char if char in "\n\t" else chr(0x2400 + code)
    match unicodedata.category(char):
        case "Cc":
            return "␡" if code == 0x7F else f"<{code:02X}>"
        case "Cs":
            return "�"
        case "Cf" if code in _DRAWN or code in _JOINERS:
            return char
        # Directions, characters without width, line ends other than those of files, and unassigned characters,
        # whose width differs between terminals.
        case "Cf" | "Zl" | "Zp" | "Cn":
            return f"<U+{code:04X}>"
    return f"<U+{code:04X}>" if code in _HIDDEN else char


@lru_cache(maxsize=4096)
def _is_mark(char: str) -> bool:
    return unicodedata.category(char) in ("Mn", "Me")


def plain(text: str) -> str:
    """Return `text` without characters that a terminal acts on, except line ends and tabs."""
    if _SAFE.match(text):
        return text
    text = _COLOUR.sub("", text.replace("\r\n", "\n"))
    used = set(text)
    acting = {char: seen for char in used if (seen := sign(char)) != char}
    if len(acting) > 8:
        text = text.translate({ord(char): seen for char, seen in acting.items()})
    else:  # many times faster in a long text
        for char, seen in acting.items():
            text = text.replace(char, seen)
    if marks := "".join(sorted(char for char in used - acting.keys() if _is_mark(char))):
        text = re.sub(f"([{marks}]{{{_MOST_MARKS}}})[{marks}]+", r"\1", text)
    return text


def shortened(text: str, limit: int) -> str:
    """Return at most `limit` characters of a text. An ellipsis stands for the rest."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def one_line(text: str, limit: int = 500) -> str:
    """Return `text` on one line of at most `limit` characters, for a cell of a table."""
    # The rest cannot be shown, even if a part of the text is colour codes, which are removed.
    line = plain(text[: 4 * limit + 4].rstrip("\n")).replace("\n", "⏎").replace("\t", " ")
    return shortened(line, limit)


def json_safe(text: str) -> str:
    """Return JSON text of the same value in which no character acts on a terminal."""

    def escape(char: str) -> str:
        units = char.encode("utf-16-be").hex()
        return "".join(f"\\u{units[place : place + 4]}" for place in range(0, len(units), 4))

    acting = {ord(char): escape(char) for char in set(text) if sign(char) != char and char >= "\x7f"}
    return text.translate(acting) if acting else text


def plural(count: int, word: str) -> str:
    """Return a count with its noun: `1 file`, `2 files`."""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"
