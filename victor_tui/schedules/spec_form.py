"""The conversion between the spec of a schedule and the texts of the form. It uses no widgets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, get_args
from zoneinfo import ZoneInfo

import msgspec

from victor_engine.api import After, Catchup, Overlap, ScheduleSpec
from victor_tui.dialogs.base import json_object, json_text
from victor_tui.schedules.extra_settings import interval_text, more_text, read_more

Way = Literal["cron", "every", "once", "after"]
WAYS: tuple[Way, ...] = get_args(Way)
TIMES = ("cron", "every_seconds", "every_at", "at", "after")
"""The members of a spec that have its times."""
OVERLAPS: tuple[Overlap, ...] = get_args(Overlap)
CATCHUPS: tuple[Catchup, ...] = get_args(Catchup)
HINTS: Mapping[Way, str] = {
    "cron": "30 6 * * mon-fri, or several: 0 9 * * 1-5; 0 12 * * 6",
    "every": "90s, 15m, 1h30m, 2d, or 2 weeks at 09:00",
    "once": "2026-03-10 14:00, in the time zone below",
    "after": "workflows separated by commas, or {workflows: [a, b], require: any, on: failure}",
}


@dataclass(frozen=True, slots=True)
class SpecFields:
    """The texts of the fields of a schedule."""

    workflow: str = ""
    way: Way = "cron"
    expression: str = ""
    timezone: str = "UTC"
    state: str = "{}"
    version: str = ""
    overlap: Overlap = "skip"
    active: str = "1"
    catchup: Catchup = "none"
    enabled: bool = True
    more: str = ""


def fields_from(spec: ScheduleSpec) -> SpecFields:
    """Return the texts of the fields for `spec`."""

    way: Way
    if spec.cron is not None:
        way, expression = "cron", spec.cron
    elif spec.every_seconds is not None:
        way, expression = "every", every_text(spec.every_seconds, spec.every_at)
    elif spec.at is not None:
        local = spec.at.astimezone(zone_or_utc(spec.timezone))
        seconds = ":%S" if local.second else ""
        way, expression = "once", local.strftime(f"%Y-%m-%d %H:%M{seconds}")
    else:
        way, expression = "after", after_text(spec.after)
    return SpecFields(
        workflow=spec.workflow,
        way=way,
        expression=expression,
        timezone=spec.timezone,
        state=json_text(spec.initial_state),
        version=spec.version or "",
        overlap=spec.overlap,
        active=str(spec.max_active_runs),
        catchup=spec.catchup,
        enabled=spec.enabled,
        more=more_text(spec, zone_or_utc(spec.timezone)),
    )


def fields_of_new(defaults: Mapping[str, Any]) -> SpecFields:
    """Return the texts of the fields of a new schedule, with the defaults of the configuration."""
    from victor_engine.inputs import spec_from_block

    spec, _ = spec_from_block("", {"every": "1h"}, defaults)
    return replace(fields_from(spec), way="cron", expression="") if spec is not None else SpecFields()


def zone_or_utc(name: str) -> ZoneInfo:
    from victor_engine.inputs import get_zone

    try:
        return get_zone(name)
    except ValueError:
        return ZoneInfo("UTC")


def parse_once(text: str, zone: ZoneInfo) -> datetime:
    """Return the instant of the wall time `text` in `zone`, in UTC; the first if the wall time occurs twice.

    Raises ValueError for an invalid time, and for a time that the clocks skip.
    """
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError("Not a time. Write 2026-03-10 14:00.") from None
    if found.tzinfo is not None:
        return found.astimezone(UTC)
    instant = found.replace(tzinfo=zone).astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) != found:
        raise ValueError(f"{found:%H:%M} does not exist on that day in {zone.key}: the clocks go forward.")
    return instant


def spec_from(fields: SpecFields, base: ScheduleSpec | None) -> tuple[ScheduleSpec | None, dict[str, str]]:
    """Return the spec of the fields, and the errors by field. The spec is None without a valid time.

    Unchanged fields keep the exact values of `base`, because their texts can be less precise.
    """
    from victor_engine.inputs import get_zone

    errors: dict[str, str] = {}
    changes: dict[str, Any] = {
        "workflow": fields.workflow,
        "timezone": fields.timezone.strip() or "UTC",
        "version": fields.version.strip() or None,
        "overlap": fields.overlap,
        "catchup": fields.catchup,
        "enabled": fields.enabled,
        "cron": None,
        "every_seconds": None,
        "every_at": None,
        "at": None,
        "after": None,
    }
    if not fields.workflow:
        errors["workflow"] = "Choose a workflow."
    zone = ZoneInfo("UTC")
    try:
        zone = get_zone(str(changes["timezone"]))
    except ValueError as error:
        errors["timezone"] = f"{str(error)[:1].upper()}{str(error)[1:]}"
    try:
        changes.update(_timing(fields, zone))
    except ValueError as error:
        errors["expression"] = str(error)
    state, problem = json_object(fields.state)
    if state is None:
        errors["state"] = problem
    else:
        changes["initial_state"] = state
    if fields.active.strip().isdecimal() and int(fields.active) >= 1:
        changes["max_active_runs"] = int(fields.active)
    else:
        errors["active"] = "Enter a whole number of 1 or more."
    was = fields_from(base) if base is not None else SpecFields()
    if fields.more.strip() != was.more.strip():
        try:
            changes.update(read_more(fields.more, fields.workflow, zone.key))
        except ValueError as error:
            errors["more"] = str(error)
    if "expression" in errors or "timezone" in errors:
        return None, errors
    if base is None:
        return ScheduleSpec(**changes), errors
    same_time = was.expression == fields.expression and was.way == fields.way
    if same_time and base.timezone == changes["timezone"]:
        changes.update({name: getattr(base, name) for name in TIMES})
    return msgspec.structs.replace(base, **changes), errors


def _timing(fields: SpecFields, zone: ZoneInfo) -> dict[str, Any]:
    """Return the member of a spec that has the time. Raises ValueError for an invalid text."""
    text = fields.expression.strip()
    if not text:
        raise ValueError(f"Enter a time: {HINTS[fields.way]}.")
    match fields.way:
        case "cron":
            return {"cron": text}
        case "every":
            return _every(text)
        case "once":
            return {"at": parse_once(text, zone)}
        case "after":
            return {"after": parse_after(text)}


def every_text(seconds: float, at: str | None) -> str:
    """Return the text of an interval: `1h30m`, or `2 weeks at 09:00`."""
    from victor_engine.inputs import wall_interval_text

    return interval_text(seconds) if at is None else wall_interval_text(seconds, at)


def _every(text: str) -> dict[str, Any]:
    from victor_engine.errors import UsageError
    from victor_engine.inputs import is_wall_interval, parse_duration, read_wall_interval

    if is_wall_interval(text):
        try:
            seconds, at = read_wall_interval(text)
        except UsageError as error:
            raise ValueError(error.message) from None
        return {"every_seconds": seconds, "every_at": at}
    found = parse_duration(text)
    if not found:
        raise ValueError(f"Not an interval. Write {HINTS['every']}.")
    return {"every_seconds": found}


def after_text(after: After | None) -> str:
    """Return names separated by commas, or a YAML mapping if `after` has more than names."""
    if after is None:
        return ""
    if after == After(workflows=after.workflows):
        return ", ".join(after.workflows)
    import yaml

    content = {"workflows": list(after.workflows), **msgspec.to_builtins(after)}
    text: str = yaml.safe_dump(content, default_flow_style=True, width=10_000, sort_keys=False)
    return text.strip()


def parse_after(text: str) -> After:
    """Parse names separated by commas, or a mapping in braces. Raises ValueError for an invalid text."""
    import yaml

    from victor_engine.errors import UsageError
    from victor_engine.inputs import read_after

    try:
        if text.startswith("{"):
            return read_after(yaml.safe_load(text))
        return read_after([name.strip() for name in text.split(",") if name.strip()])
    except UsageError as error:
        raise ValueError(error.message) from None
    except RecursionError:
        raise ValueError("The mapping is nested too deeply.") from None
    except yaml.YAMLError as error:
        raise ValueError(f"Not a valid mapping: {str(error).splitlines()[0]}") from None
