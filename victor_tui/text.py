"""Words for values: safe text, durations, instants and countdowns, the same on every screen."""

from __future__ import annotations

import re
from datetime import datetime, tzinfo

from rich.cells import cell_len, set_cell_size

_CONTROL = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\u061c\ufff9-\ufffb\ud800-\udfff]"
)
_NAMES = {"\n": "⏎", "\t": " ", "\r": "", "\x1b": "␛", "\x7f": "␡"}


def _visible(match: re.Match[str]) -> str:
    char = match.group()
    if char in _NAMES:
        return _NAMES[char]
    return chr(0x2400 + ord(char)) if ord(char) < 0x20 else "�"


def clean(text: object) -> str:
    """One line without control or direction-changing characters: those become visible marks."""
    return _CONTROL.sub(_visible, str(text))


def clean_lines(text: object) -> str:
    """Like `clean`, but line breaks stay line breaks."""
    return "\n".join(clean(line) for line in str(text).replace("\r\n", "\n").split("\n"))


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
