"""A YAML highlighter that needs no lexer: keys, strings, numbers and comments, line by line."""

from __future__ import annotations

import re

from rich.text import Text

from victor_tui.text import clean
from victor_tui.theme import Palette

_LINE = re.compile(r"(?P<indent>\s*(?:- )*)(?P<key>[\w.\-$\"']+(?=:(?:\s|$)))?(?P<rest>.*)")
_TOKEN = re.compile(
    r"(?P<comment>(?:^|(?<=\s))#.*)"
    r"|(?P<string>\"(?:[^\"\\]|\\.)*\"|'[^']*')"
    r"|(?P<word>\b(?:true|false|null|yes|no|on|off)\b|(?<![\w.])-?\d[\d.]*(?![\w.]))"
    r"|(?P<mark>[{}\[\],|>]|^:)"
)
_TONES = {"comment": "dim", "string": "ok", "word": "warn", "mark": "dim"}


def highlight_yaml(text: str, palette: Palette) -> Text:
    """Return `text` with styles and visible control characters."""
    result = Text(no_wrap=True)
    for number, raw in enumerate(text.rstrip("\n").split("\n")):
        line = clean(raw)
        if number:
            result.append("\n")
        match = _LINE.match(line)
        key, rest = ("", line) if match is None else (match["key"] or "", match["rest"])
        indent = line[: len(line) - len(key) - len(rest)]
        result.append(indent, palette.style("dim"))
        result.append(key, palette.style("busy"))
        at = 0
        for token in _TOKEN.finditer(rest):
            result.append(rest[at : token.start()])
            result.append(token.group(), palette.style(_TONES[token.lastgroup or "mark"]))
            at = token.end()
        result.append(rest[at:])
    return result
