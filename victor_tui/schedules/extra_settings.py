"""The keys of a schedule that have no field of their own, as YAML: written, read, and checked."""

from __future__ import annotations

from datetime import datetime, tzinfo
from typing import Any

from victor_engine.api import ScheduleSpec

MORE_KEYS = (
    "description",
    "exclude",
    "expect",
    "jitter",
    "start_date",
    "end_date",
    "max_runs",
    "priority",
    "misfire_grace",
    "catchup_window",
    "pause_after_failures",
    "anchor",
)
"""What can be said here; everything else has a field."""
_SECONDS = ("jitter", "misfire_grace", "catchup_window")
_INSTANTS = ("start_date", "end_date", "anchor")
EXAMPLE = """jitter: 2m
exclude: [holidays]
expect: {finish_by: "07:30"}
pause_after_failures: 3"""


def more_text(spec: ScheduleSpec, zone: tzinfo) -> str:
    """What `spec` says beside its fields, as YAML; instants in `zone`, with their offset."""
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
    """`1h30m` for 5400; read back it is the same number."""
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
    """The members of a spec that the YAML says, and the defaults of those that it does not.

    Raises ValueError with the line, or the key, and what is wrong with it.
    """
    import yaml

    from victor_engine.inputs import did_you_mean, spec_from_block

    try:
        block = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"Line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
        raise ValueError(f"{place}{error.problem or error.context or 'that is no YAML'}.") from None
    except RecursionError:
        raise ValueError("It is nested too deeply.") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f"That is no YAML: {str(error).splitlines()[0]}.") from None
    if block is None:
        block = {}
    if not isinstance(block, dict):
        raise ValueError("Keys with values are wanted, such as jitter: 2m.")
    for key in block:
        if key not in MORE_KEYS:
            remedy = did_you_mean(str(key), MORE_KEYS)
            raise ValueError(f"{key!s} is not said here. {remedy}")
    # The block needs a time of its own to be read; that of the fields is checked with them.
    spec, faults = spec_from_block(workflow or "w", {"every": "1d", "timezone": timezone, **block})
    if spec is None:
        raise ValueError(
            "; ".join(fault.removeprefix("schedule.").removeprefix("schedule: ") for fault in faults)
        )
    return {key: getattr(spec, key) for key in MORE_KEYS}
