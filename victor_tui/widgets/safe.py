"""Untrusted text made harmless before it is drawn.

Prompts, states, logs and errors come from files and programs. Drawn as they are, their control
sequences would move the cursor, set the title or the clipboard, and bidirectional overrides would
show something else than what is stored. Colour codes vanish; every other control becomes a visible
sign of one cell.
"""

from __future__ import annotations

import json
import re
from typing import Any

_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_SEQUENCE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI
    r"|\x1b[\]PX^_][^\x07\x1b\x9c]{0,4096}(?:\x07|\x1b\\|\x9c)"  # OSC, DCS, SOS, PM, APC
    r"|\x1b[ -/]*[0-~]"  # two-byte escapes
    r"|\x9b[0-?]*[ -/]*[@-~]"  # CSI in C1
)
_SIGNS: dict[int, str] = {
    **{code: chr(0x2400 + code) for code in range(0x20) if code not in (0x09, 0x0A)},
    0x7F: "␡",
    **dict.fromkeys(range(0x80, 0xA0), "�"),
    # Embeddings, overrides and isolates reorder what stands around them; invisible ones hide it.
    **dict.fromkeys((0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)), "�"),
    **dict.fromkeys((0x200B, 0x2028, 0x2029, 0x2060, 0xFEFF), "�"),
    **dict.fromkeys(range(0xD800, 0xE000), "�"),
    **dict.fromkeys(range(0xFFF9, 0xFFFC), "�"),
}
_PLAIN = re.compile(r"[\x20-\x7e\n]*\Z")
_COMBINING_RUN = re.compile(
    r"([\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff]{3})[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff]+"
)


def plain(text: str) -> str:
    """`text` without terminal control: lines stay, tabs become spaces, colour codes vanish.

    At most three combining marks stay on one character, so that none grows over its neighbours.
    """
    if _PLAIN.match(text):
        return text
    text = text.replace("\r\n", "\n")
    if "\x1b" in text or "\x9b" in text:
        text = _SEQUENCE.sub("␛", _COLOUR.sub("", text))
    text = _COMBINING_RUN.sub(r"\1", text)
    return text.translate(_SIGNS).expandtabs(4)


def one_line(text: str, limit: int = 500) -> str:
    """`text` on one line of at most `limit` characters; line ends show as ⏎."""
    cut = text[: limit + 1]
    line = plain(cut).strip("\n").replace("\n", "⏎")
    return line if len(text) <= limit else line[: limit - 1] + "…"


def word(value: Any) -> str:
    """A text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
