"""The `schedule:` block of a workflow file, and the ids of schedules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from victor_engine import jsonio
from victor_engine.api import ScheduleSpec
from victor_engine.config.yaml_locations import did_you_mean
from victor_engine.errors import UsageError
from victor_engine.scheduling.cron import same_times
from victor_engine.scheduling.spec_clauses import duration, read_after, read_expect, read_wait
from victor_engine.scheduling.timezones import get_zone, zone_table
from victor_engine.scheduling.timing import Timing
from victor_engine.scheduling.wall_interval import is_wall_interval, read_wall_interval

KEYS = frozenset(
    {
        "cron", "every", "interval", "anchor", "at", "once", "after", "timezone", "tz", "version", "initial_state",
        "state", "enabled", "catchup", "catchup_window", "misfire_grace", "overlap", "max_active_runs", "jitter",
        "start_date", "end_date", "max_runs", "priority", "description", "exclude", "on_excluded", "expect",
        "pause_after_failures", "wait_for_previous",
    }
)  # fmt: skip
"""The keys of a `schedule:` block."""

OVERLAPS = ("skip", "buffer_one", "buffer_all", "cancel_running", "allow")

ON_EXCLUDED = ("skip", "next_day", "previous_day")

SYNONYMS = (("timezone", "tz"), ("every", "interval"), ("at", "once"), ("initial_state", "state"))
"""Keys with the same meaning."""


def parse_at(value: Any, zone: ZoneInfo) -> datetime:
    """Return the instant of `at:`. Raise UsageError for a time that a change of calendar skips."""
    wall = _given(value, end=False)
    if wall.tzinfo is None and zone_table(zone.key).skips(_wall_seconds(wall)):
        raise UsageError(
            f"{wall.isoformat()} does not exist in {zone.key}: the calendar skips it; give another time"
        )
    return parse_instant(value, zone)


def parse_instant(value: Any, zone: ZoneInfo, *, end: bool = False) -> datetime:
    """Return the instant of ISO text, a date or a datetime, in UTC. Without an offset it is wall time in `zone`.

    A wall time in a gap of the clock is the first instant after the gap, as a cron expression has it. A date without a
    time is its first second or, with `end`, its last. Raise UsageError if `value` is not an instant.
    """
    found = _given(value, end)
    if found.tzinfo is not None:
        return found.astimezone(UTC)
    table = zone_table(zone.key)
    change = table.gap(_wall_seconds(found))
    if change is not None:
        return datetime.fromtimestamp(change[0], UTC)
    return found.replace(tzinfo=zone).astimezone(UTC)


def _wall_seconds(wall: datetime) -> int:
    return int((wall.replace(tzinfo=UTC, microsecond=0) - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())


def _given(value: Any, end: bool) -> datetime:
    """Return a date or time as it is written, with or without an offset."""
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime.combine(value, time(23, 59, 59) if end else time())
    text = str(value).strip()
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is not a date or time; write 2026-03-31 or 2026-03-31T09:00") from None
    return datetime.combine(found.date(), time(23, 59, 59)) if end and len(text) == 10 else found


def parse_catchup(value: Any) -> Any:
    """Return the catch-up policy for false, `latest`, or true/`all`."""
    word = str(value).strip().lower()
    found = {
        "false": "none",
        "none": "none",
        "no": "none",
        "true": "all",
        "all": "all",
        "yes": "all",
        "latest": "latest",
    }
    if word not in found:
        raise UsageError(f"catchup must be false, latest or all, not {value!r}")
    return found[word]


def spec_from_block(
    workflow: str, block: Mapping[str, Any], defaults: Mapping[str, Any] | None = None
) -> tuple[ScheduleSpec | None, list[str]]:
    """Return the spec of a block, or None, and its errors."""
    problems: list[str] = []
    for key in block:
        if key not in KEYS:
            problems.append(f"schedule: unknown key {key!r}. {did_you_mean(str(key), KEYS)}")
    written = {key: value for key, value in block.items() if value is not None}
    for names in SYNONYMS:
        if len(twice := [name for name in names if name in written]) > 1:
            problems.append(f"schedule: {' and '.join(twice)} mean the same; remove one of them")
    # A key of the block overrides the default of its synonym.
    overridden = {name for names in SYNONYMS if written.keys() & set(names) for name in names}
    given = {**{key: value for key, value in (defaults or {}).items() if key not in overridden}, **written}
    fields: dict[str, Any] = {"workflow": workflow}

    def take(name: str, read: Any, *keys: str) -> None:
        key = next((key for key in keys if key in given), None)
        if key is None:
            return
        try:
            fields[name] = read(given[key])
        except (UsageError, ValueError, TypeError) as error:
            problems.append(f"schedule.{key}: {error}")

    def whole(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise UsageError(f"{value!r} is not a whole number")
        return value

    def at_least_one(value: Any) -> int:
        if whole(value) < 1:
            raise UsageError(f"must be at least 1, not {value}")
        return whole(value)

    def interval(value: Any) -> float:
        if is_wall_interval(value):
            seconds, fields["every_at"] = read_wall_interval(value)
            return seconds
        if duration(value) < 1:
            raise UsageError(f"{value!r} is less than a second; an interval must be at least one second")
        return duration(value)

    def yes_or_no(value: Any) -> bool:
        if not isinstance(value, bool):
            raise UsageError(f"must be true or false, not {value!r}")
        return value

    def on_excluded(value: Any) -> str:
        if value not in ON_EXCLUDED:
            raise UsageError(
                f"{value!r} is not a value of on_excluded. {did_you_mean(str(value), ON_EXCLUDED)}"
            )
        return str(value)

    def overlap(value: Any) -> str:
        if value not in OVERLAPS:
            raise UsageError(f"{value!r} is not an overlap policy. {did_you_mean(str(value), OVERLAPS)}")
        return str(value)

    take("timezone", str, "timezone", "tz")
    try:
        zone = get_zone(fields.get("timezone", "UTC"))
    except ValueError as error:
        problems.append(f"schedule.timezone: {error}")
        zone = ZoneInfo("UTC")
    take("cron", _cron, "cron")
    take("every_seconds", interval, "every", "interval")
    take("anchor", lambda value: parse_instant(value, zone), "anchor")
    take("at", lambda value: parse_at(value, zone), "at", "once")
    take("after", read_after, "after")
    take("exclude", _calendars, "exclude")
    take("on_excluded", on_excluded, "on_excluded")
    take("expect", read_expect, "expect")
    take("wait_for_previous", read_wait, "wait_for_previous")
    take("pause_after_failures", at_least_one, "pause_after_failures")
    take("version", str, "version")
    take("initial_state", _state, "initial_state", "state")
    take("enabled", yes_or_no, "enabled")
    take("catchup", parse_catchup, "catchup")
    take("catchup_window", duration, "catchup_window")
    take("misfire_grace", duration, "misfire_grace")
    take("overlap", overlap, "overlap")
    take("max_active_runs", at_least_one, "max_active_runs")
    take("jitter", duration, "jitter")
    take("start_date", lambda value: parse_instant(value, zone), "start_date")
    take("end_date", lambda value: parse_instant(value, zone, end=True), "end_date")
    take("max_runs", at_least_one, "max_runs")
    take("priority", whole, "priority")
    take("description", str, "description")
    if problems:
        return None, problems
    spec = ScheduleSpec(**fields)
    try:
        Timing(spec, "0" * 12, datetime(2026, 1, 1, tzinfo=UTC))
    except UsageError as error:
        return None, [f"schedule: {error}"]
    return spec, []


_PLACE = re.compile(r"schedule\.(\w+):|schedule: unknown key '([^']*)'")


def place_of(problem: str, places: Mapping[str, tuple[int, int]]) -> tuple[int, int]:
    """Return the line and column of an error of `spec_from_block`, given the places of the keys of the block."""
    found = _PLACE.match(problem)
    key = (found[1] or found[2]) if found is not None else ""
    return places.get(key) or places.get("") or (1, 1)


def changed_spec(spec: ScheduleSpec, block: Mapping[str, Any]) -> tuple[ScheduleSpec | None, list[str]]:
    """Return `spec` with the keys of a block applied, or None, and the errors. Null resets a key to its default."""
    ways = {"cron": "cron", "every": "every_seconds", "interval": "every_seconds", "at": "at", "once": "at"}
    ways |= {"after": "after"}
    given = {key: value for key, value in block.items() if value is not None}
    dropped = [key for key, value in block.items() if value is None]
    base: dict[str, Any] = {} if "tz" in given else {"timezone": spec.timezone}
    if not given.keys() & ways.keys():
        # The reader requires times; any will do to read the other keys.
        base["cron"] = "@yearly"
    if "on_excluded" in given and "exclude" not in given:
        base["exclude"] = "calendar"  # so that the key can be read; the whole spec is checked below
    read, problems = spec_from_block(spec.workflow, {**base, **given})
    if read is None:
        return None, problems
    names = {"tz": "timezone", "state": "initial_state", **ways}
    changes = {names.get(key, key): getattr(read, names.get(key, key)) for key in given}
    for key in dropped:
        name = names.get(key, key)
        if name not in ScheduleSpec.__struct_fields__ or name == "workflow":
            return None, [f"schedule: unknown key {key!r}. {did_you_mean(str(key), KEYS)}"]
        changes[name] = getattr(ScheduleSpec(workflow=spec.workflow), name)
    if given.keys() & ways.keys():
        way = next(ways[key] for key in given if key in ways)
        changes.update({name: None for name in set(ways.values()) if name != way})
        changes["every_at"] = read.every_at
    found = msgspec.structs.replace(spec, **changes)
    try:
        Timing(found, "0" * 12, datetime(2026, 1, 1, tzinfo=UTC))
    except UsageError as error:
        return None, [f"schedule: {error.message}"]
    return found, []


def _cron(value: Any) -> str:
    """Return a cron expression, or several expressions with `;` between them, with single spaces."""
    items = value if isinstance(value, list | tuple) else str(value).split(";")
    if not items or not all(isinstance(item, str) for item in items):
        raise UsageError(
            'must be a cron expression, or a list of expressions: ["0 9 * * 1-5", "0 12 * * sat"]'
        )
    return "; ".join(" ".join(item.split()) for item in items)


def _state(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise UsageError("must be a mapping")
    return dict(value)


def _calendars(value: Any) -> tuple[str, ...]:
    names = value if isinstance(value, list) else [value]
    if not all(isinstance(name, str) and name.strip() for name in names):
        raise UsageError("must be the name of a calendar, or a list of names")
    return tuple(dict.fromkeys(name.strip() for name in names))


def schedule_id(spec: ScheduleSpec) -> str:
    """Return the id of a schedule: twelve hex digits of the digest of workflow, times, zone, state and version."""
    identity = [
        spec.workflow, spec.cron, spec.every_seconds, spec.anchor, spec.at,
        msgspec.to_builtins(spec.after) if spec.after is not None else [], spec.timezone,
        spec.version, spec.initial_state,
    ]  # fmt: skip
    if spec.every_at is not None:  # the ids of other schedules stay as they were without this field
        identity.append(spec.every_at)
    return jsonio.digest(identity)[:12]


def same_schedule(one: ScheduleSpec, other: ScheduleSpec) -> bool:
    """Return whether two specs have the same identity, with times that can be written differently."""
    return one.workflow == other.workflow and schedule_id(one) == schedule_id(
        msgspec.structs.replace(other, cron=one.cron if same_times(one.cron, other.cron) else other.cron)
    )


def file_schedule_id(workflow: str) -> str:
    """Return the id of the schedule in a workflow file. It does not change when the block is edited."""
    return jsonio.digest(["file", workflow])[:12]


def _text(value: Any) -> str:
    return jsonio.dumps_text(msgspec.to_builtins(value))


def describe_changes(old: ScheduleSpec, new: ScheduleSpec) -> list[str]:
    """Return the differences between two specs, one line for each field. Equal times are equal however written."""
    return [
        f"{key}: {_text(getattr(old, key))} -> {_text(getattr(new, key))}"
        for key in ScheduleSpec.__struct_fields__
        if getattr(old, key) != getattr(new, key) and not (key == "cron" and same_times(old.cron, new.cron))
    ]
