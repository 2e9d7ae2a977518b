"""Untrusted text made harmless for a terminal, by whoever prints it.

Every character that a terminal would act on becomes one visible sign, in place: nothing is parsed
as a sequence, so a malformed or unfinished one is no way round it, and what was there can still be
seen. Only plain colour codes vanish, because logs are full of them.
"""

from __future__ import annotations

import re

_COLOUR = re.compile(r"\x1b\[[0-9;:]{0,64}m")

_BIDI = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
"""Marks, embeddings, overrides and isolates: they reorder what stands around them."""

_HIDDEN = (0x00AD, 0x200B, 0x2028, 0x2029, *range(0x2060, 0x2065), 0xFEFF, *range(0xFFF9, 0xFFFC))
"""Characters without a width that can hide in a word, and line ends that are none in a file."""

_TAGS = range(0xE0000, 0xE0080)
"""Tag characters: invisible copies of ASCII."""

_SIGNS: dict[int, str] = {
    **{code: chr(0x2400 + code) for code in range(0x20) if code not in (0x09, 0x0A)},
    0x7F: "␡",
    **{code: f"<{code:02X}>" for code in range(0x80, 0xA0)},
    **{code: f"<U+{code:04X}>" for code in (*_BIDI, *_HIDDEN, *_TAGS)},
    **dict.fromkeys(range(0xD800, 0xE000), "�"),
}
_HARMLESS = re.compile(r"[\x20-\x7e\n\t]*\Z")
_JSON_UNSAFE = re.compile(
    "[\x7f-\x9f" + "".join(map(chr, (*_BIDI, *_HIDDEN))) + chr(_TAGS[0]) + "-" + chr(_TAGS[-1]) + "]"
)


def plain(text: str) -> str:
    """`text` with nothing left that a terminal acts on; line ends and tabs stay."""
    if _HARMLESS.match(text):
        return text
    return _COLOUR.sub("", text.replace("\r\n", "\n")).translate(_SIGNS)


def one_line(text: str, limit: int = 500) -> str:
    """`text` on one line of at most `limit` characters, for a cell of a table."""
    # Only what could be shown is looked at, with room for the colour codes that vanish.
    line = plain(text[: 4 * limit + 4].rstrip("\n")).replace("\n", "⏎").replace("\t", " ")
    return line if len(line) <= limit else line[: limit - 1] + "…"


def json_safe(text: str) -> str:
    """JSON text in which no character acts on a terminal; it decodes to the very same value."""

    def escape(match: re.Match[str]) -> str:
        units = match.group().encode("utf-16-be").hex()
        return "".join(f"\\u{units[place : place + 4]}" for place in range(0, len(units), 4))

    return _JSON_UNSAFE.sub(escape, text)
