"""Words for values: safe text, durations, instants and countdowns, the same on every screen."""

from __future__ import annotations

import json
import re
from datetime import datetime, tzinfo
from typing import Any

from rich.cells import cell_len, set_cell_size

from victor_engine import text as safe

_UNSTEADY = re.compile("[\u200d\ufe00-\ufe0f\U0001f3fb-\U0001f3ff]")
"""Joiners, variants and skin tones: what they make of an emoji is as wide as each terminal thinks, and
where it is wider than was reckoned with, the frame to the right of it moves."""


def steady(text: str) -> str:
    """`text` whose width all terminals agree on: each emoji stands by itself, in its plain variant."""
    return text if text.isascii() else _UNSTEADY.sub("", text)


def is_harmless(char: str) -> bool:
    """Whether a character is drawn as it is."""
    return safe.sign(char) == char


def written_out(text: str) -> dict[str, int]:
    """What stands in `text` that a terminal acts on or that hides from the eye: its sign, and how often."""
    if text.isascii() and text.replace("\n", "").isprintable():
        return {}
    text = text.replace("\r\n", "\n")
    return {safe.sign(char): text.count(char) for char in sorted(set(text)) if not is_harmless(char)}


def plain(text: str) -> str:
    """`text` without anything that a terminal acts on: lines stay, tabs become spaces.

    What it cannot do is written out (`␛[2J`, `<U+202E>`), see `victor_engine.text`. Prompts, states, logs
    and errors come from files and programs: drawn as they are, their control sequences would move the
    cursor or set the clipboard, and directions would show something else than what is stored.
    """
    return safe.plain(steady(text)).expandtabs(4)


def one_line(text: str, limit: int = 500) -> str:
    """`text` on one line of at most `limit` characters; line ends show as ⏎."""
    return safe.one_line(steady(text[: 5 * limit]).lstrip("\n"), limit)


def clean(text: object) -> str:
    """The whole text like `one_line`, for what is cut where it is drawn."""
    line = str(text)
    if line.isascii() and line.isprintable():
        return line
    return safe.plain(steady(line).rstrip("\r")).replace("\n", "⏎").replace("\t", " ")


def clean_lines(text: object) -> str:
    """Like `plain`, of anything."""
    return plain(str(text))


def word(value: Any) -> str:
    """A text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def fit(text: str, width: int, align: str = "left") -> str:
    """`text` in exactly `width` terminal cells, cut with an ellipsis where it is too long."""
    size = cell_len(text)
    if size > width:
        if width < 2:
            return set_cell_size(text, width)
        return set_cell_size(set_cell_size(text, width - 1).rstrip() + "…", width)
    if align == "right":
        return " " * (width - size) + text
    return text + " " * (width - size)


def fit_path(path: str, width: int, home: str = "") -> str:
    """A path in at most `width` cells: its end tells it apart, so it is cut at its start."""
    if home.strip("/") and f"{path}/".startswith(f"{home}/"):
        path = f"~{path[len(home) :]}"
    if cell_len(path) <= width:
        return path
    for at, character in enumerate(path):
        if character == "/" and at and cell_len(path[at:]) < width:
            return "…" + path[at:]
    return "…" + "".join(reversed(set_cell_size("".join(reversed(path)), max(0, width - 1)))).lstrip()


def duration(seconds: float | None) -> str:
    """`0.4s`, `42s`, `3m 05s`, `2h 14m`, `3d 4h`."""
    if seconds is None:
        return "–"
    seconds = max(0.0, seconds)
    if seconds < 1:
        return f"{seconds:.1f}s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h {whole % 3600 // 60:02}m"
    return f"{whole // 86400}d {whole % 86400 // 3600}h"


def short_duration(seconds: float) -> str:
    """The largest unit only: `42s`, `3m`, `2h`, `5d`."""
    seconds = max(0.0, seconds)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds)}s"


def relative(instant: datetime, now: datetime) -> str:
    """`in 4m`, `3h ago`, `now`."""
    seconds = (instant - now).total_seconds()
    if abs(seconds) < 1:
        return "now"
    text = short_duration(abs(seconds))
    return f"in {text}" if seconds > 0 else f"{text} ago"


def countdown(instant: datetime, now: datetime) -> str:
    """Time left with seconds when it is short: `4m 12s`, `2h 05m`; `overdue` past the instant."""
    seconds = (instant - now).total_seconds()
    return "overdue" if seconds <= 0 else duration(seconds)


def moment(instant: datetime, now: datetime, zone: tzinfo | None) -> str:
    """Clock time today, with the weekday within a week, with the date otherwise."""
    local, here = instant.astimezone(zone), now.astimezone(zone)
    if local.date() == here.date():
        return f"{local:%H:%M:%S}" if instant <= now else f"{local:%H:%M}"
    if abs((local.date() - here.date()).days) < 7:
        return f"{local:%a %H:%M}"
    return f"{local:%d %b %H:%M}" if local.year == here.year else f"{local:%Y-%m-%d}"


def full(instant: datetime, zone: tzinfo | None) -> str:
    """`2026-03-10 14:05:07 UTC`"""
    return f"{instant.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"


def schedule_name(schedule_id: str, workflow: str) -> str:
    """The workflow and the id; once where they are the same."""
    return schedule_id if schedule_id == workflow else f"{workflow} {schedule_id}"


def plural(count: int, word: str) -> str:
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"
