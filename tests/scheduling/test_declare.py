"""The `schedule:` block of a file: valid keys and errors."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from victor_engine.api import ScheduleSpec
from victor_engine.scheduling.declarations import describe_changes, schedule_id, spec_from_block

GUIDE = {"timezone": "UTC", "catchup": False, "max_active_runs": 1}
"""The defaults of a `scheduler.yaml` that says only what the documentation shows."""


def test_a_block_with_everything() -> None:
    block = {
        "cron": "30 7 * * 1-5", "tz": "Europe/Berlin", "catchup": "latest", "catchup_window": "2h", "misfire_grace": 90,
        "overlap": "buffer_one", "max_active_runs": 2, "jitter": "1m30s", "start_date": "2026-01-01",
        "end_date": "2026-12-31", "max_runs": 9, "state": {"a": 1}, "version": "^1.2", "priority": 3, "description": "x",
    }  # fmt: skip
    spec, faults = spec_from_block("w", block, GUIDE)
    assert faults == []
    assert spec == ScheduleSpec(
        workflow="w", cron="30 7 * * 1-5", timezone="Europe/Berlin", catchup="latest", catchup_window=7200.0,
        misfire_grace=90.0, overlap="buffer_one", max_active_runs=2, jitter=90.0,
        start_date=datetime(2025, 12, 31, 23, tzinfo=UTC), end_date=datetime(2026, 12, 31, 22, 59, 59, tzinfo=UTC),
        max_runs=9, initial_state={"a": 1}, version="^1.2", priority=3, description="x",
    )  # fmt: skip


@pytest.mark.parametrize("spelling", ["tz", "timezone"])
def test_a_key_overrides_the_default_of_its_synonym(spelling: str) -> None:
    spec, _ = spec_from_block("w", {"cron": "@daily", spelling: "Asia/Tokyo"}, GUIDE)
    assert spec is not None
    assert spec.timezone == "Asia/Tokyo"


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({"cron": "@daily", "timezon": "UTC"}, "unknown key 'timezon'. Did you mean 'timezone'?"),
        ({"cron": "@daily", True: 1}, "unknown key True"),
        ({"cron": "@daily", "enabled": "false"}, "must be true or false, not 'false'"),
        ({"cron": "@daily", "max_runs": 0}, "at least 1"),
        ({"cron": "@daily", "max_active_runs": 1.5}, "not a whole number"),
        ({"cron": "@daily", "overlap": "skipp"}, "Did you mean 'skip'?"),
        ({"cron": "@daily", "catchup": "latets"}, "must be false, latest or all"),
        ({"cron": "@daily", "jitter": "-5s"}, "not a duration"),
        ({"cron": "@daily", "timezone": "Europe/Berlim"}, "did you mean 'Europe/Berlin'"),
        ({"cron": "@daily", "start_date": "2026-02-30"}, "not a date or time"),
        ({"cron": "@daily", "start_date": "2026-02-02", "end_date": "2026-02-01"}, "not after start_date"),
        ({"cron": "@daily", "state": [1]}, "must be a mapping"),
        ({"cron": "0 22-2 * * *"}, "runs backwards"),
        ({"every": 0}, "less than a second"),
        ({"every": "5m", "interval": "6m"}, "every and interval mean the same"),
        ({"cron": "@daily", "every": "5m"}, "exactly one of"),
        ({}, "none is given"),
        ({"after": "w"}, "cannot depend on itself"),
    ],
)
def test_errors_of_a_block_are_reported_without_a_spec(block: dict[Any, Any], words: str) -> None:
    spec, faults = spec_from_block("w", block, GUIDE)
    assert spec is None
    assert words in " ".join(faults)


def test_two_schedules_of_one_workflow() -> None:
    one = ScheduleSpec(workflow="w", cron="0 9 * * *")
    others = [
        ScheduleSpec(workflow="w", cron="0 9 * * *", timezone="Europe/Berlin"),
        ScheduleSpec(workflow="w", cron="0 9 * * *", initial_state={"region": "eu"}),
        ScheduleSpec(workflow="w", cron="0 9 * * *", version="1.0.0"),
    ]
    ids = {schedule_id(spec) for spec in [one, *others]}
    assert len(ids) == 4
    assert all(len(found) == 12 and set(found) <= set("0123456789abcdef") for found in ids)
    assert schedule_id(ScheduleSpec(workflow="w", cron="0 9 * * *", priority=9)) == schedule_id(one)


def test_changes_have_both_values() -> None:
    old = ScheduleSpec(workflow="w", cron="0 9 * * *")
    new = ScheduleSpec(workflow="w", cron="30 7 * * *", overlap="allow")
    assert describe_changes(old, new) == ['cron: "0 9 * * *" -> "30 7 * * *"', 'overlap: "skip" -> "allow"']


@pytest.mark.parametrize(
    ("zone", "wall", "instant"),
    [
        ("Europe/Berlin", "2026-03-29T02:30", "2026-03-29T01:00:00+00:00"),
        ("Europe/Berlin", "2026-03-29T03:30", "2026-03-29T01:30:00+00:00"),
        ("Europe/Berlin", "2026-10-25T02:30", "2026-10-25T00:30:00+00:00"),
        ("America/New_York", "2026-03-08T02:59:59", "2026-03-08T07:00:00+00:00"),
        ("Australia/Lord_Howe", "2026-10-04T02:10", "2026-10-03T15:30:00+00:00"),
    ],
)
def test_an_instant_in_a_gap_is_the_first_after_it_as_in_cron(zone: str, wall: str, instant: str) -> None:
    spec, faults = spec_from_block("w", {"at": wall, "timezone": zone})
    assert spec is not None, faults
    assert spec.at == datetime.fromisoformat(instant)


def test_an_instant_that_the_calendar_skips_is_refused() -> None:
    spec, faults = spec_from_block("w", {"at": "2011-12-30T09:00", "timezone": "Pacific/Apia"})
    assert spec is None
    assert faults == [
        "schedule.at: 2011-12-30T09:00:00 does not exist in Pacific/Apia: the calendar skips it; give another time"
    ]
