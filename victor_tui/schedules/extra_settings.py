"""The keys of a schedule without a field in the form, as YAML."""

from __future__ import annotations

from datetime import datetime, tzinfo
from typing import Any

from victor_engine.api import ScheduleSpec

MORE_KEYS = (
    "description",
    "exclude",
    "on_excluded",
    "expect",
    "jitter",
    "start_date",
    "end_date",
    "max_runs",
    "priority",
    "misfire_grace",
    "catchup_window",
    "pause_after_failures",
    "wait_for_previous",
    "anchor",
)
"""The keys of the YAML field. All others have their own field."""
_SECONDS = ("jitter", "misfire_grace", "catchup_window")
_INSTANTS = ("start_date", "end_date", "anchor")
EXAMPLE = """jitter: 2m
exclude: [holidays]
expect: {finish_by: "07:30"}
pause_after_failures: 3"""


def more_text(spec: ScheduleSpec, zone: tzinfo) -> str:
    """Return the keys of `spec` without a field as YAML, with instants in `zone` and their offset."""
    import yaml

    plain = ScheduleSpec(spec.workflow)
    found: dict[str, Any] = {}
    for key in MORE_KEYS:
        value = getattr(spec, key)
        if value == getattr(plain, key):
            continue
        found[key] = _plain(key, value, zone)
    if not found:
        return ""
    text: str = yaml.safe_dump(found, sort_keys=False, allow_unicode=True, width=72, default_flow_style=None)
    return text.rstrip("\n")


def interval_text(seconds: float) -> str:
    """Return an interval as text that parses to the same number: `1h30m` for 5400."""
    if seconds != int(seconds):
        return f"{seconds:g}s"
    parts, rest = [], int(seconds)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m"), (1, "s")):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def _plain(key: str, value: Any, zone: tzinfo) -> Any:
    if key in _SECONDS:
        return interval_text(value)
    if key in _INSTANTS:
        local: datetime = value.astimezone(zone)
        return local.isoformat(sep=" ", timespec="minutes" if not local.second else "seconds")
    if key == "exclude":
        return list(value)
    if key == "expect":
        parts = {
            "start_within": interval_text(value.start_within) if value.start_within is not None else None,
            "finish_within": interval_text(value.finish_within) if value.finish_within is not None else None,
            "finish_by": value.finish_by,
        }
        return {name: part for name, part in parts.items() if part is not None}
    return value


def read_more(text: str, workflow: str, timezone: str) -> dict[str, Any]:
    """Return the members of a spec for all keys of the YAML field, with defaults for missing keys.

    Raises ValueError with the line or the key.
    """
    import yaml

    from victor_engine.inputs import did_you_mean, spec_from_block

    try:
        block = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        location = f"Line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
        raise ValueError(f"{location}{error.problem or error.context or 'not valid YAML'}.") from None
    except RecursionError:
        raise ValueError("The YAML is nested too deeply.") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f"Not valid YAML: {str(error).splitlines()[0]}.") from None
    if block is None:
        block = {}
    if not isinstance(block, dict):
        raise ValueError("Write keys with values, such as jitter: 2m.")
    for key in block:
        if key not in MORE_KEYS:
            remedy = did_you_mean(str(key), MORE_KEYS)
            raise ValueError(f"{key!s} is not a key of this field. {remedy}")
    # A block needs a time. The form checks its own time separately.
    spec, errors = spec_from_block(workflow or "w", {"every": "1d", "timezone": timezone, **block})
    if spec is None:
        raise ValueError(
            "; ".join(error.removeprefix("schedule.").removeprefix("schedule: ") for error in errors)
        )
    return {key: getattr(spec, key) for key in MORE_KEYS}
