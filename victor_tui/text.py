"""The formats of values on all screens: safe text, durations, instants and countdowns."""

from __future__ import annotations

import json
import re
from datetime import datetime, tzinfo
from typing import Any

from rich.cells import cell_len, set_cell_size

from victor_engine import text as safe
from victor_engine.api import Count
from victor_engine.text import plural as plural

_WIDTH_MODIFIERS = re.compile("[\u200d\ufe00-\ufe0f\U0001f3fb-\U0001f3ff]")
"""Joiners, variation selectors and skin tones. Terminals disagree about the width of the resulting emoji, which
would move the rest of the line."""


def fixed_width(text: str) -> str:
    """Return `text` without modifiers of emoji, so that all terminals use the same width."""
    return text if text.isascii() else _WIDTH_MODIFIERS.sub("", text)


def is_harmless(char: str) -> bool:
    """Return whether a character can be drawn unchanged."""
    return safe.sign(char) == char


def control_characters(text: str) -> dict[str, int]:
    """Return the control and invisible characters in `text`: their visible sign, and their number."""
    if text.isascii() and text.replace("\n", "").isprintable():
        return {}
    text = text.replace("\r\n", "\n")
    return {safe.sign(char): text.count(char) for char in sorted(set(text)) if not is_harmless(char)}


def plain(text: str) -> str:
    """Return `text` with visible control characters. Line ends stay, tabs become spaces.

    Control characters are drawn as signs (`␛[2J`, `<U+202E>`), see `victor_engine.text`. Prompts, states, logs
    and errors come from files and programs. Their control sequences could move the cursor or set the clipboard,
    and marks of text direction could hide the stored text.
    """
    return safe.plain(fixed_width(text)).expandtabs(4)


def one_line(text: str, limit: int = 500) -> str:
    """Return `text` on one line of at most `limit` characters, with line ends as ⏎."""
    return safe.one_line(fixed_width(text[: 5 * limit]).lstrip("\n"), limit)


def clean(text: object) -> str:
    """Return the complete text on one line like `one_line`, without a limit."""
    line = str(text)
    if line.isascii() and line.isprintable():
        return line
    return safe.plain(fixed_width(line).rstrip("\r")).replace("\n", "⏎").replace("\t", " ")


def clean_lines(text: object) -> str:
    """Return any value as text like `plain`."""
    return plain(str(text))


def word(value: Any) -> str:
    """Return a text unchanged, and any other value as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def fit(text: str, width: int, align: str = "left") -> str:
    """Return `text` in exactly `width` cells, with an ellipsis if it is too long."""
    size = cell_len(text)
    if size > width:
        if width < 2:
            return set_cell_size(text, width)
        return set_cell_size(set_cell_size(text, width - 1).rstrip() + "…", width)
    if align == "right":
        return " " * (width - size) + text
    return text + " " * (width - size)


def fit_path(path: str, width: int, home: str = "") -> str:
    """Return a path in at most `width` cells, cut at its start, with `home` as `~`."""
    if home.strip("/") and f"{path}/".startswith(f"{home}/"):
        path = f"~{path[len(home) :]}"
    if cell_len(path) <= width:
        return path
    for at, character in enumerate(path):
        if character == "/" and at and cell_len(path[at:]) < width:
            return "…" + path[at:]
    return "…" + "".join(reversed(set_cell_size("".join(reversed(path)), max(0, width - 1)))).lstrip()


def duration(seconds: float | None) -> str:
    """Return a duration as text: `0.4s`, `42s`, `3m 05s`, `2h 14m`, `3d 4h`; `–` for None."""
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
    """Return a duration in its largest unit: `42s`, `3m`, `2h`, `5d`."""
    seconds = max(0.0, seconds)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds)}s"


def relative(instant: datetime, now: datetime) -> str:
    """Return an instant relative to `now`: `in 4m`, `3h ago`, `now`."""
    seconds = (instant - now).total_seconds()
    if abs(seconds) < 1:
        return "now"
    text = short_duration(abs(seconds))
    return f"in {text}" if seconds > 0 else f"{text} ago"


def countdown(instant: datetime, now: datetime) -> str:
    """Return the remaining time: `4m 12s`, `2h 05m`; `overdue` after the instant."""
    seconds = (instant - now).total_seconds()
    return "overdue" if seconds <= 0 else duration(seconds)


def moment(instant: datetime, now: datetime, zone: tzinfo | None) -> str:
    """Return an instant as time of day, with the weekday within a week, else with the date."""
    local, here = instant.astimezone(zone), now.astimezone(zone)
    if local.date() == here.date():
        return f"{local:%H:%M:%S}" if instant <= now else f"{local:%H:%M}"
    if abs((local.date() - here.date()).days) < 7:
        return f"{local:%a %H:%M}"
    return f"{local:%d %b %H:%M}" if local.year == here.year else f"{local:%Y-%m-%d}"


def full(instant: datetime, zone: tzinfo | None) -> str:
    """Return an instant in full: `2026-03-10 14:05:07 UTC`."""
    return f"{instant.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"


def cut(shown: int, total: Count | None, word: str = "") -> str:
    """Return the number of shown rows, and of how many: `500 of 202,006`, `500 of 10,000+`; `12` for all of them."""
    of = (
        ""
        if total is None or (total.number <= shown and not total.more)
        else f" of {max(total.number, shown):,}"
    )
    more = "+" if of and total is not None and total.more else ""
    return f"{shown:,}{of}{more}{f' {word}' if word else ''}"


def schedule_name(schedule_id: str, workflow: str) -> str:
    """Return the workflow and the id of a schedule, or one of them if they are equal."""
    return schedule_id if schedule_id == workflow else f"{workflow} {schedule_id}"
