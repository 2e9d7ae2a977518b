"""The language of the filter bar: `workflow:deploy status:failed after:yesterday took:>10m words`.

Words without a colon are searched for as text. Several fields are combined with AND. A value with spaces is
in double quotes. An error names the invalid word and the valid input.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, tzinfo
from difflib import get_close_matches

from victor_engine.api import FINAL_RUN_STATUSES, RunQuery

FIELDS: dict[str, str] = {
    "workflow": "workflow:deploy",
    "status": "status:failed,rejected or status:active",
    "after": "after:yesterday, after:2h, after:2026-03-01",
    "before": "before:today",
    "took": "took:>10m, took:<5s, took:1m..1h",
    "node": "node:build, runs that reached it",
    "error": "error:Timeout, in its type or message",
    "actor": "actor:ana, or the schedule",
    "version": "version:2.1.0",
    "schedule": "schedule:nightly",
    "run": "run:r00914",
    "kind": "kind:fire, of events",
}
"""Each field with an example."""
RUN_FIELDS = tuple(name for name in FIELDS if name != "kind")
STATUSES = ("queued", "running", "waiting", "pausing", "paused", "cancelling", *sorted(FINAL_RUN_STATUSES))
_ALIASES = {
    "active": ("queued", "running", "waiting", "pausing", "paused", "cancelling"),
    "done": tuple(sorted(FINAL_RUN_STATUSES)),
    "stuck": ("running", "pausing"),
}
_WORD = re.compile(r'(?:[^\s"]|"[^"]*"?)+')
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d|w)")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


LONGEST = 1000
"""The maximum number of characters of a filter."""


class FilterError(ValueError):
    """An invalid filter. The message names the valid input.

    `start` and `end` are the positions of the invalid characters.
    """

    start: int = 0
    end: int = 0


@dataclass(frozen=True)
class Filter:
    """A parsed filter.

    `took` and `under` are minimum and maximum durations in seconds, `after` and `before` instants.
    """

    text: str = ""
    workflow: str | None = None
    schedule: str | None = None
    run: str | None = None
    statuses: tuple[str, ...] = ()
    stuck: bool = False
    kinds: tuple[str, ...] = ()
    after: datetime | None = None
    before: datetime | None = None
    took: float | None = None
    under: float | None = None
    version: str | None = None
    actor: str | None = None
    node: str | None = None
    error: str | None = None
    fields: frozenset[str] = field(default_factory=frozenset)

    def run_query(self, limit: int) -> RunQuery:
        """Return the query for the runs that match this filter."""
        words = [word for word in (self.run, self.text) if word]
        return RunQuery(
            workflow=self.workflow,
            statuses=self.statuses,
            schedule_id=self.schedule,
            text=" ".join(words) or None,
            created_after=self.after,
            created_before=self.before,
            longer_than=self.took,
            shorter_than=self.under,
            version=self.version,
            actor=self.actor,
            node=self.node,
            error=self.error,
            limit=limit,
        )


def parse_duration(text: str) -> float:
    """Return the seconds of a duration: `90s`, `10m`, `1h30m`, `2d`. Raises FilterError."""
    if not text or _DURATION.sub("", text):
        raise FilterError(f"{text or 'nothing'!r} is not a duration: write 90s, 10m, 1h30m or 2d")
    return sum(float(number) * _UNITS[unit] for number, unit in _DURATION.findall(text))


def parse_instant(text: str, now: datetime, zone: tzinfo | None) -> datetime:
    """Return the instant of a text: `today`, `yesterday`, `2h` (ago), `14:30`, `2026-03-01` or `2026-03-01T14:30`.

    Raises FilterError for any other text.
    """
    here = now.astimezone(zone)
    midnight = here.replace(hour=0, minute=0, second=0, microsecond=0)
    days = {"now": here, "today": midnight, "yesterday": midnight - timedelta(days=1)}
    if text in days:
        return days[text]
    if _DURATION.fullmatch(text):
        return here - timedelta(seconds=parse_duration(text))
    if match := re.fullmatch(r"(\d{1,2}):(\d{2})", text):
        hour, minute = int(match[1]), int(match[2])
        if hour < 24 and minute < 60:
            return midnight.replace(hour=hour, minute=minute)
    else:
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            pass
        else:
            return found if found.tzinfo else found.replace(tzinfo=here.tzinfo)
    raise FilterError(f"{text!r} is not a time: write today, yesterday, 2h, 14:30 or 2026-03-01")


def _statuses(value: str) -> tuple[str, ...]:
    found: list[str] = []
    for word in value.split(","):
        if word in _ALIASES:
            found += _ALIASES[word]
        elif word in STATUSES:
            found.append(word)
        else:
            close = get_close_matches(word, (*STATUSES, *_ALIASES), 1)
            hint = f"did you mean {close[0]}?" if close else "write one of " + ", ".join(STATUSES)
            raise FilterError(f"unknown status {word!r}: {hint}")
    return tuple(dict.fromkeys(found))


def _took(current: Filter, value: str) -> Filter:
    """Return the filter with a duration: `>10m` or `10m`, `<5s`, `1m..1h`."""
    low, dots, high = value.partition("..")
    if dots:
        return replace(current, took=parse_duration(low), under=parse_duration(high))
    if value.startswith("<"):
        return replace(current, under=parse_duration(value[1:]))
    return replace(current, took=parse_duration(value.removeprefix(">")))


def _apply(current: Filter, name: str, value: str, now: datetime, zone: tzinfo | None) -> Filter:
    current = replace(current, fields=current.fields | {name})
    match name:
        case "workflow":
            return replace(current, workflow=value)
        case "schedule":
            return replace(current, schedule=value)
        case "run":
            return replace(current, run=value)
        case "version":
            return replace(current, version=value)
        case "actor":
            return replace(current, actor=value)
        case "node":
            return replace(current, node=value)
        case "error":
            return replace(current, error=value)
        case "status":
            return replace(current, statuses=_statuses(value), stuck="stuck" in value.split(","))
        case "kind":
            kinds = tuple(k if "." in k else f"{k}." for k in value.split(",") if k)
            return replace(current, kinds=kinds)
        case "after":
            return replace(current, after=parse_instant(value, now, zone))
        case "before":
            return replace(current, before=parse_instant(value, now, zone))
        case _:
            return _took(current, value)


def check_length(text: str) -> None:
    """Raise `FilterError` if a filter is too long, because reading it would take long."""
    if len(text) > LONGEST:
        error = FilterError(f"a filter has at most {LONGEST} characters")
        error.start, error.end = LONGEST, len(text)
        raise error


def parse_filter(text: str, now: datetime, zone: tzinfo | None = None) -> Filter:
    """Parse a filter. Raises `FilterError` with the position for an invalid filter."""
    check_length(text)
    result, words = Filter(), []
    for match in _WORD.finditer(text):
        try:
            word, result = _read(match.group(), result, now, zone)
        except FilterError as error:
            error.start, error.end = match.span()
            raise
        if word:
            words.append(word)
    return replace(result, text=" ".join(words))


def parse_words(text: str, now: datetime, zone: tzinfo | None = None) -> Filter:
    """Parse a filter that has only words. Raises `FilterError` if it is too long."""
    check_length(text)
    return Filter(text=text.strip())


def has_words(wanted: Filter, text: str) -> bool:
    """Return whether a text has each word of a filter."""
    lowered = text.lower()
    return all(word in lowered for word in wanted.text.lower().split())


def _read(raw: str, result: Filter, now: datetime, zone: tzinfo | None) -> tuple[str, Filter]:
    """Parse one word. Return its text, empty for a field, and the filter with its field."""
    name, colon, value = raw.partition(":")
    value = value.replace('"', "")
    if not colon or raw.startswith('"') or not name.isalpha():
        return raw.replace('"', ""), result
    if name not in FIELDS:
        close = get_close_matches(name, FIELDS, 1)
        hint = f"did you mean {close[0]}:?" if close else "fields are " + ", ".join(FIELDS)
        raise FilterError(f"unknown field {name!r}: {hint}")
    if not value:
        raise FilterError(f"{name}: needs a value, for example {FIELDS[name]}")
    return "", _apply(result, name, value, now, zone)


def word_at_end(text: str) -> tuple[int, str]:
    """Return the start and the text of the last word of a filter."""
    words = list(_WORD.finditer(text))
    if not words or words[-1].end() != len(text):
        return len(text), ""
    return words[-1].start(), words[-1].group()


def complete(
    text: str, known: Mapping[str, Sequence[str]], fields: Sequence[str] = tuple(FIELDS)
) -> str | None:
    """Return the filter with its last word completed, or None without a completion.

    `known` has the completions of values by field.
    """
    start, word = word_at_end(text)
    name, colon, value = word.partition(":")
    if not colon:
        found = next((field for field in fields if word and field.startswith(word)), None)
        return None if found is None else f"{text[:start]}{found}:"
    if name not in fields:
        return None
    head, _, last = value.rpartition(",")
    names = (*STATUSES, *_ALIASES) if name == "status" else known.get(name, ())
    match = next((each for each in names if each.startswith(last.strip('"')) and each != last), None)
    if match is None:
        return None
    quoted = f'"{match}"' if " " in match else match
    return f"{text[:start]}{name}:{head + ',' if head else ''}{quoted}"


def hint(text: str, fields: Sequence[str] = tuple(FIELDS)) -> str:
    """Return the possible input at the end of the filter: fields, or examples of the current field."""
    if not fields:
        return "words; each must be in the row"
    _, word = word_at_end(text)
    name, colon, _ = word.partition(":")
    if colon and name == "status":
        return " ".join((*_ALIASES, *STATUSES))
    if colon and name in fields:
        return FIELDS[name]
    begun = [field for field in fields if field.startswith(word)] or list(fields)
    return " ".join(f"{field}:" for field in begun)
