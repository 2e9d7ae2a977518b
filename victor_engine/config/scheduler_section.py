"""The reader of the section `scheduler:`."""

from __future__ import annotations

from dataclasses import fields

from victor_engine.config.model import ScheduleDefaults, SchedulerConfig
from victor_engine.config.setting_readers import LayeredReader, Reader
from victor_engine.config.yaml_locations import did_you_mean

CATCHUPS = ("none", "latest", "all")
LOG_FORMATS = ("text", "json")
OVERLAPS = ("skip", "buffer_one", "buffer_all", "cancel_running", "allow")

SCHEDULER_KEYS = tuple(field.name for field in fields(SchedulerConfig) if field.name != "defaults")
DEFAULTS_KEYS = tuple(field.name for field in fields(ScheduleDefaults))


def read_scheduler(top: LayeredReader, low: LayeredReader) -> SchedulerConfig:
    """Return the settings of `scheduler` and `scheduler.defaults`. Raise ConfigError for an invalid value."""
    base, plain = SchedulerConfig(), ScheduleDefaults()
    zone = low.text("timezone", plain.timezone)
    _check_zone(low, zone)
    return SchedulerConfig(
        poll_interval=top.seconds("poll_interval", base.poll_interval) or base.poll_interval,
        max_concurrent_runs=top.whole("max_concurrent_runs", base.max_concurrent_runs, 1),
        heartbeat=_heartbeat(top),
        heartbeat_interval=top.seconds("heartbeat_interval", base.heartbeat_interval)
        or base.heartbeat_interval,
        log_format=top.one_of("log_format", LOG_FORMATS, base.log_format),
        drain_timeout=top.seconds("drain_timeout", base.drain_timeout, zero=True) or 0.0,
        history_retention_days=top.whole("history_retention_days", base.history_retention_days),
        defaults=ScheduleDefaults(
            timezone=zone,
            catchup=low.one_of("catchup", CATCHUPS, plain.catchup),
            catchup_window=low.seconds("catchup_window", None),
            misfire_grace=low.seconds("misfire_grace", plain.misfire_grace, zero=True) or 0.0,
            overlap=low.one_of("overlap", OVERLAPS, plain.overlap),
            max_active_runs=low.whole("max_active_runs", plain.max_active_runs, 1),
            jitter=low.seconds("jitter", 0.0, zero=True) or 0.0,
        ),
    )


def _heartbeat(reader: Reader) -> str:
    found = reader.text("heartbeat")
    if found and not found.startswith(("/", "http://", "https://")):
        raise reader.fail(
            "heartbeat",
            f"heartbeat in {reader.what} is {found!r}",
            "Write an absolute path, or a URL that begins with https:// or http://",
        )
    return found


def _check_zone(reader: Reader, name: str) -> None:
    from zoneinfo import ZoneInfo, available_timezones

    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        remedy = did_you_mean(name, available_timezones())
        remedy = remedy if remedy.startswith("Did") else "Use an IANA name such as Europe/Berlin"
        raise reader.fail("timezone", f"the time zone {name!r} does not exist", remedy) from None
