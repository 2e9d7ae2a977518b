"""The context of a request, each value in the best form.

Two versions of a value become a diff, a list of objects with the same keys becomes a table, source and
configuration text is highlighted, and all other values go into one tree.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from textual.content import Content

from victor_tui.text import one_line, plain
from victor_tui.widgets.json_view import (
    ValueTree,
    diff_style,
    looks_like_diff,
    shape_of,
    table_lines,
    text_lines,
)

Kind = Literal["diff", "table", "code", "text", "tree"]

_COMPARED = 4000
"""Maximum total number of lines of two versions for a diff."""
_HIGHLIGHTED = 100_000
"""Maximum length of highlighted text, in characters."""
_PAIRS = (("before", "after"), ("old", "new"), ("current", "proposed"), ("from", "to"), ("live", "planned"))
"""Names of two versions of one value."""
_LANGUAGES = {
    "py": "python", "sh": "bash", "js": "javascript", "ts": "typescript", "tf": "terraform", "rb": "ruby",
    "sql": "sql", "json": "json", "yaml": "yaml", "yml": "yaml", "toml": "toml", "ini": "ini", "xml": "xml",
    "html": "html", "css": "css", "go": "go", "rs": "rust", "python": "python", "bash": "bash",
    "dockerfile": "docker", "makefile": "make", "script": "bash", "query": "sql",
}  # fmt: skip
"""Languages by the last part of a key: `deploy.sh`, `migration_sql`."""
_YAML_LINE = re.compile(r"\s*(?:- )*[\w.\-\"'/]+:(?:\s|$)|\s*- \S|\s*#|\s*$|---$")


@dataclass(frozen=True, slots=True)
class Piece:
    """A named part of a context: its lines, or for a `tree` the value."""

    label: str
    kind: Kind
    lines: Sequence[Content] = ()
    value: Any = None


def context_pieces(context: Mapping[str, Any]) -> list[Piece]:
    """Return the parts of a context in its order. The tree is the last part."""
    found: list[Piece] = []
    tree: dict[str, Any] = {}
    rest = dict(context)
    for key in context:
        if key not in rest:
            continue  # the other half of a pair
        other = _partner(key, rest)
        if other is not None and (piece := _compare(key, rest[key], other, rest[other])):
            found.append(piece)
            del rest[key], rest[other]
            continue
        value = rest.pop(key)
        single = _piece(key, value)
        if single is None:
            tree[key] = value
        else:
            found.append(single)
    if tree:
        found.append(Piece("Context", "tree", value=tree))
    return found


def _piece(key: str, value: Any) -> Piece | None:
    if isinstance(value, str):
        return _text_piece(key, value) if "\n" in value.strip("\n") else None
    if isinstance(value, dict) and len(value) == 2:
        for before, after in _PAIRS:
            if value.keys() == {before, after}:
                return _compare(key, value[before], "", value[after])
    if shape_of(value) == "table":
        return Piece(key, "table", table_lines(value))
    return None


def _text_piece(key: str, text: str) -> Piece:
    if looks_like_diff(text):
        return Piece(key, "diff", text_lines(text, diff_style))
    language = language_of(key, text)
    if language is not None and len(text) <= _HIGHLIGHTED:
        from textual.highlight import highlight

        lines = highlight(plain(text).rstrip("\n"), language=language).split("\n", allow_blank=True)
        return Piece(key, "code", lines)
    return Piece(key, "text", text_lines(text))


def language_of(key: str, text: str) -> str | None:
    """Return the language of a text by its key, its first line, or its structure; None for plain text."""
    name = re.split(r"[._\-]", key.lower())[-1]
    if name in _LANGUAGES:
        return _LANGUAGES[name]
    start = text.lstrip()[:200]
    if start.startswith("#!"):
        return "python" if "python" in start.split("\n")[0] else "bash"
    if start.startswith(("{", "[")):
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            return None
        return "json"
    lines = text.rstrip("\n").split("\n")[:50]
    keys = sum(bool(re.match(r"\s*(?:- )*[\w.\-]+:(?:\s|$)", line)) for line in lines)
    if keys >= 2 and all(_YAML_LINE.match(line) for line in lines):
        return "yaml"
    if re.match(r"(?:from \w|import \w|def \w|class \w|async def )", start):
        return "python"
    return "sql" if re.match(r"(?i)(?:select|insert|update|delete|create|alter|with)\s", start) else None


# --- two versions ---------------------------------------------------------------------------------


def _partner(key: str, context: Mapping[str, Any]) -> str | None:
    """Return the key of the newer version of `key`: `config_after` for `config_before`."""
    for before, after in _PAIRS:
        for pattern in (rf"^{before}$", rf"^{before}(?=[_.\-])", rf"(?<=[_.\-]){before}$"):
            other = re.sub(pattern, after, key)
            if other != key and other in context:
                return other
    return None


def _compare(key: str, old: Any, other: str, new: Any) -> Piece | None:
    """Return a diff of two texts or two structures; None for other values, or if they are too long."""
    before, after = _as_lines(old), _as_lines(new)
    if before is None or after is None or len(before) + len(after) > _COMPARED:
        return None
    label = f"{key} → {other}" if other else key
    rows = list(difflib.unified_diff(before, after, lineterm="", n=3))[2:]
    if not rows:
        return Piece(label, "diff", [Content.styled("no difference", "$text-muted")])
    return Piece(label, "diff", [Content.styled(plain(row), diff_style(row)) for row in rows])


def _as_lines(value: Any) -> list[str] | None:
    if isinstance(value, str):
        return value.splitlines() if "\n" in value else None
    if isinstance(value, dict | list):
        return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True, default=str).split("\n")
    return None


# --- without a cursor -----------------------------------------------------------------------------


def context_content(pieces: Sequence[Piece], limit: int, more: str) -> Content:
    """Return all parts as one text with at most `limit` lines each. `more` is the hint to the rest."""
    blocks: list[Content] = []
    for piece in pieces:
        lines = piece.lines if piece.kind != "tree" else ValueTree(piece.value).shown_lines
        blocks.append(Content.styled(one_line(piece.label, 80), "$text-muted bold"))
        blocks.extend(lines[:limit])
        if len(lines) > limit:
            blocks.append(
                Content.styled(f"… {len(lines) - limit:,} more lines: {more}", "$text-muted italic")
            )
        blocks.append(Content(""))
    return Content("\n").join(blocks)
