"""The clauses `after` and `expect` of a spec: reading and checking them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Any, get_args
from zoneinfo import ZoneInfo

from victor_engine.api import After, Expect, Period, Require, ScheduleSpec, UpstreamEnd
from victor_engine.config.yaml_locations import did_you_mean
from victor_engine.durations import parse_duration
from victor_engine.errors import UsageError

AFTER_KEYS = ("workflows", "require", "on", "within", "period", "take")
EXPECT_KEYS = ("start_within", "finish_within", "finish_by")


def duration(value: Any) -> float:
    """Return the seconds of a number, `90`, `30s`, `10m` or `1h30m`. Raise UsageError for anything else."""
    seconds = parse_duration(value)
    if seconds is None or seconds < 0:
        raise UsageError(f"{value!r} is not a duration; write seconds, or 30s, 10m, 1h30m")
    return seconds


def _one_of(name: str, value: Any, allowed: tuple[str, ...]) -> Any:
    if value not in allowed:
        raise UsageError(f"{value!r} is not a value of {name}. {did_you_mean(str(value), allowed)}")
    return value


def _known(block: Mapping[Any, Any], keys: tuple[str, ...]) -> None:
    for key in block:
        if key not in keys:
            raise UsageError(f"unknown key {key!r}. {did_you_mean(str(key), keys)}")


def _names(value: Any) -> tuple[str, ...]:
    names = tuple(value) if isinstance(value, list | tuple) else (value,)
    if not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise UsageError("must be the name of a workflow, or a list of names")
    return tuple(name.strip() for name in names)


def read_after(value: Any) -> After:
    """Read `after:`: a name, a list of names, or a mapping with `workflows` and further keys."""
    if not isinstance(value, Mapping):
        return After(workflows=_names(value))
    # YAML 1.1 reads a bare `on` as true.
    value = {"on" if key is True else key: item for key, item in value.items()}
    _known(value, AFTER_KEYS)
    if "workflows" not in value:
        raise UsageError("workflows is missing; write {workflows: [name, …]}")
    period = value.get("period")
    if period is True:
        period = "exact"
    within = value.get("within")
    return After(
        workflows=_names(value["workflows"]),
        require=_one_of("require", value.get("require", "all"), get_args(Require)),
        on=_one_of("on", value.get("on", "success"), get_args(UpstreamEnd)),
        within=None if within is None else duration(within),
        period=None if period in (None, False) else _one_of("period", period, get_args(Period)),
        take=_take(value.get("take")),
    )


def _take(value: Any) -> dict[str, str]:
    if value is None:
        return {}
    if isinstance(value, str):
        value = [value]
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return {name.rstrip("?").rpartition(".")[2]: name for name in value}
    if isinstance(value, Mapping) and all(isinstance(name, str) for name in value.values()):
        return {str(key): name for key, name in value.items()}
    raise UsageError("take must be a list of keys, or a mapping from keys to keys of the upstream state")


def check_after(workflow: str, after: After) -> None:
    """Raise UsageError if a dependency can never be met."""
    if not after.workflows:
        raise UsageError("after must name at least one workflow")
    if workflow in after.workflows:
        raise UsageError(f"{workflow} cannot depend on itself; remove it from after")
    if len(set(after.workflows)) < len(after.workflows):
        raise UsageError("after names a workflow twice")
    if after.within is not None and after.within <= 0:
        raise UsageError(f"after.within must be more than 0 seconds, not {after.within:g}")
    if after.require == "any" and (after.within is not None or after.period is not None):
        raise UsageError("after.within and after.period need require: all")
    if after.require == "complete" and (after.period in (None, "exact") or after.within is not None):
        raise UsageError("require: complete needs after.period hour, day, week or month, and no after.within")
    for key, source in after.take.items():
        # The first part of a key with a dot is a workflow only if it is one of `workflows`.
        if key.startswith("_") or not source.rstrip("?"):
            raise UsageError(
                f"after.take cannot read {source!r} into {key!r}: keys that start with _ are reserved"
            )


def read_wait(value: Any) -> Any:
    """Read `wait_for_previous`: `success`, or false."""
    if value in (None, False):
        return None
    if value != "success":
        raise UsageError(f"must be success or false, not {value!r}")
    return value


def check_wait(spec: ScheduleSpec) -> None:
    """Raise UsageError if a run could never start because of `wait_for_previous`."""
    if spec.wait_for_previous is not None and spec.overlap == "cancel_running":
        raise UsageError(
            "wait_for_previous: success does not go with overlap: cancel_running, which ends runs without success"
        )


def read_expect(value: Any) -> Expect:
    if not isinstance(value, Mapping):
        raise UsageError("must be a mapping with " + ", ".join(EXPECT_KEYS))
    _known(value, EXPECT_KEYS)
    found = Expect(
        start_within=duration(value["start_within"]) if value.get("start_within") is not None else None,
        finish_within=duration(value["finish_within"]) if value.get("finish_within") is not None else None,
        finish_by=_wall(value["finish_by"]) if value.get("finish_by") is not None else None,
    )
    check_expect(found)
    return found


def _wall(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 86_400:
        # YAML 1.1 reads an unquoted 7:30 as a number to base sixty.
        hours, minutes = divmod(value, 60)
        value = f"{hours:02}:{minutes:02}" if hours < 24 else ""
    text = str(value).strip()
    try:
        return time.fromisoformat(text.zfill(5)).strftime("%H:%M")
    except ValueError:
        raise UsageError(f'finish_by {text!r} is not a time of day; write "07:30"') from None


def check_expect(expect: Expect) -> None:
    if expect == Expect():
        raise UsageError("expect is empty; give at least one of " + ", ".join(EXPECT_KEYS))
    for name in ("start_within", "finish_within"):
        seconds = getattr(expect, name)
        if seconds is not None and seconds <= 0:
            raise UsageError(f"expect.{name} must be more than 0 seconds, not {seconds:g}")
    if expect.finish_by is not None:
        _wall(expect.finish_by)


def finish_by(wall: str, nominal: datetime, zone: ZoneInfo) -> datetime:
    """Return the first instant after `nominal` at which clocks in `zone` show `wall`, in UTC.

    If the clocks skip `wall`, it is the first instant after the gap. If they show it twice, it is the first time.
    """
    at = time.fromisoformat(wall)
    local = nominal.astimezone(zone)
    day = local.date()
    while True:
        found = datetime.combine(day, at, zone).astimezone(UTC)
        if found > nominal:
            back = found.astimezone(zone)
            if back.time() != at and back.date() == day:
                # In a gap, zoneinfo uses the offset before it.
                found = _after_gap(found, zone)
            return found
        day += timedelta(days=1)


def _after_gap(instant: datetime, zone: ZoneInfo) -> datetime:
    """Return the first instant of the offset that is in force at `instant`."""
    offset = instant.astimezone(zone).utcoffset()
    low, high = instant - timedelta(hours=25), instant
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        if middle.astimezone(zone).utcoffset() == offset:
            high = middle
        else:
            low = middle
    return high.replace(microsecond=0)


def period_of(period: str | None, nominal: datetime, zone: ZoneInfo) -> str:
    """Return the name of the period of a nominal instant; empty if `period` is None."""
    if period is None:
        return ""
    local = nominal.astimezone(zone)
    if period == "exact":
        return nominal.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if period == "week":
        year, week, _ = local.isocalendar()
        return f"{year}-W{week:02}"
    if period == "hour":
        # The second pass of an overlap is another hour.
        return local.strftime("%Y-%m-%dT%H") + ("'" if local.fold else "")
    return local.strftime("%Y-%m-%d" if period == "day" else "%Y-%m")
