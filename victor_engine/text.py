"""Untrusted text made harmless for a terminal, by whoever prints it.

Every character that a terminal would act on becomes one visible sign, in place: nothing is parsed
as a sequence, so a malformed or unfinished one is no way round it, and what was there can still be
seen. Only plain colour codes vanish, because logs are full of them.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_COLOUR = re.compile(r"\x1b\[[0-9;:]{0,64}m")
_HARMLESS = re.compile(r"[\x20-\x7e\n\t]*\Z")

_DRAWN = frozenset((*range(0x0600, 0x0606), 0x06DD, 0x070F, 0x0890, 0x0891, 0x08E2, 0x110BD, 0x110CD))
"""Format characters that are drawn: signs of Arabic, Syriac and Kaithi that enclose numbers."""
_JOINERS = frozenset((0x200C, 0x200D))
"""Format characters that words of some scripts and emoji are written with."""
_HIDDEN = frozenset((0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0, *range(0xE0100, 0xE01F0)))
"""Letters and marks that are drawn as nothing, so that words which differ look the same."""

_MOST_MARKS = 3
"""Combining marks on one character; with more of them it grows over the lines around it."""


@lru_cache(maxsize=4096)
def sign(char: str) -> str:
    """What stands for this character: itself, unless it acts on a terminal or hides from the eye."""
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
        # Directions, what has no width, line ends that are none in a file, and what is no character
        # (yet), on whose width no two terminals agree.
        case "Cf" | "Zl" | "Zp" | "Cn":
            return f"<U+{code:04X}>"
    return f"<U+{code:04X}>" if code in _HIDDEN else char


@lru_cache(maxsize=4096)
def _is_mark(char: str) -> bool:
    return unicodedata.category(char) in ("Mn", "Me")


def plain(text: str) -> str:
    """`text` with nothing left that a terminal acts on; line ends and tabs stay."""
    if _HARMLESS.match(text):
        return text
    text = _COLOUR.sub("", text.replace("\r\n", "\n"))
    used = set(text)
    acting = {char: seen for char in used if (seen := sign(char)) != char}
    if len(acting) > 8:
        text = text.translate({ord(char): seen for char, seen in acting.items()})
    else:  # which is many times faster in a long text
        for char, seen in acting.items():
            text = text.replace(char, seen)
    if marks := "".join(sorted(char for char in used - acting.keys() if _is_mark(char))):
        text = re.sub(f"([{marks}]{{{_MOST_MARKS}}})[{marks}]+", r"\1", text)
    return text


def one_line(text: str, limit: int = 500) -> str:
    """`text` on one line of at most `limit` characters, for a cell of a table."""
    # Only what could be shown is looked at, with room for the colour codes that vanish.
    line = plain(text[: 4 * limit + 4].rstrip("\n")).replace("\n", "⏎").replace("\t", " ")
    return line if len(line) <= limit else line[: limit - 1] + "…"


def json_safe(text: str) -> str:
    """JSON text in which no character acts on a terminal; it decodes to the very same value."""

    def escape(char: str) -> str:
        units = char.encode("utf-16-be").hex()
        return "".join(f"\\u{units[place : place + 4]}" for place in range(0, len(units), 4))

    acting = {ord(char): escape(char) for char in set(text) if sign(char) != char and char >= "\x7f"}
    return text.translate(acting) if acting else text
