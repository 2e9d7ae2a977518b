"""The language of the filter bar: `workflow:deploy status:failed after:yesterday took:>10m words`.

Words without a colon are searched for as text; several fields are combined with and; a value with
spaces is put in double quotes. A fault names the word that is wrong and what would be right.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, tzinfo
from difflib import get_close_matches

from victor_engine.api import FINAL_RUN_STATUSES, RunQuery

FIELDS: dict[str, str] = {
    "workflow": "workflow:deploy",
    "schedule": "schedule:nightly",
    "run": "run:r00914",
    "status": "status:failed,rejected",
    "kind": "kind:fire",
    "after": "after:yesterday, after:2h, after:2026-03-01",
    "before": "before:today",
    "took": "took:>10m",
}
"""Each field with an example."""
STATUSES = ("queued", "running", "waiting", "paused", "cancelling", *sorted(FINAL_RUN_STATUSES))
_ALIASES = {
    "active": ("queued", "running", "waiting", "paused", "cancelling"),
    "done": tuple(sorted(FINAL_RUN_STATUSES)),
}
_WORD = re.compile(r'(?:[^\s"]|"[^"]*"?)+')
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d|w)")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


class FilterError(ValueError):
    """A filter that cannot be understood; the message says what would be."""


@dataclass(frozen=True)
class Filter:
    """A parsed filter. `took` is in seconds, `after` and `before` are instants."""

    text: str = ""
    workflow: str | None = None
    schedule: str | None = None
    run: str | None = None
    statuses: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    after: datetime | None = None
    before: datetime | None = None
    took: float | None = None
    fields: frozenset[str] = field(default_factory=frozenset)

    def run_query(self, limit: int) -> RunQuery:
        """The query for runs that this filter means."""
        words = [word for word in (self.run, self.text) if word]
        return RunQuery(
            workflow=self.workflow,
            statuses=self.statuses,
            schedule_id=self.schedule,
            text=" ".join(words) or None,
            created_after=self.after,
            created_before=self.before,
            longer_than=self.took,
            limit=limit,
        )


def parse_duration(text: str) -> float:
    """`90s`, `10m`, `1h30m`, `2d` in seconds."""
    if not text or _DURATION.sub("", text):
        raise FilterError(f"{text or 'nothing'!r} is no duration: write 90s, 10m, 1h30m or 2d")
    return sum(float(number) * _UNITS[unit] for number, unit in _DURATION.findall(text))


def parse_instant(text: str, now: datetime, zone: tzinfo | None) -> datetime:
    """`today`, `yesterday`, `2h` (ago), `14:30`, `2026-03-01` or `2026-03-01T14:30`."""
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
    raise FilterError(f"{text!r} is no time: write today, yesterday, 2h, 14:30 or 2026-03-01")


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
            raise FilterError(f"no status {word!r}: {hint}")
    return tuple(dict.fromkeys(found))


def _apply(current: Filter, name: str, value: str, now: datetime, zone: tzinfo | None) -> Filter:
    current = replace(current, fields=current.fields | {name})
    match name:
        case "workflow":
            return replace(current, workflow=value)
        case "schedule":
            return replace(current, schedule=value)
        case "run":
            return replace(current, run=value)
        case "status":
            return replace(current, statuses=_statuses(value))
        case "kind":
            kinds = tuple(k if "." in k else f"{k}." for k in value.split(",") if k)
            return replace(current, kinds=kinds)
        case "after":
            return replace(current, after=parse_instant(value, now, zone))
        case "before":
            return replace(current, before=parse_instant(value, now, zone))
        case _:
            return replace(current, took=parse_duration(value.removeprefix(">")))


def parse_filter(text: str, now: datetime, zone: tzinfo | None = None) -> Filter:
    """Read a filter; raises `FilterError` for one that means nothing."""
    result, words = Filter(), []
    for raw in _WORD.findall(text):
        name, colon, value = raw.partition(":")
        value = value.replace('"', "")
        if not colon or raw.startswith('"') or not name.isalpha():
            words.append(raw.replace('"', ""))
            continue
        if name not in FIELDS:
            close = get_close_matches(name, FIELDS, 1)
            hint = f"did you mean {close[0]}:?" if close else "fields are " + ", ".join(FIELDS)
            raise FilterError(f"no field {name!r}: {hint}")
        if not value:
            raise FilterError(f"{name}: needs a value, for example {FIELDS[name]}")
        result = _apply(result, name, value, now, zone)
    return replace(result, text=" ".join(words))
