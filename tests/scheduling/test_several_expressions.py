"""Several cron expressions in one schedule: their fires are those of each expression, joined."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.scheduling.test_counting import CRONS, ZONES
from tests.scheduling.test_loop import world
from victor_engine.api import ScheduleSpec
from victor_engine.scheduler import CronSchedule
from victor_engine.scheduling.cron import same_times
from victor_engine.scheduling.declarations import describe_changes, spec_from_block
from victor_engine.scheduling.timing import Timing
from victor_tui.schedules.spec_form import fields_from, spec_from


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.sampled_from(CRONS), min_size=2, max_size=4, unique=True),
    st.sampled_from(ZONES),
    st.datetimes(datetime(2010, 9, 1), datetime(2012, 4, 1)),
    st.integers(0, 60 * 24 * 12),
)
def test_the_fires_are_the_union(expressions: list[str], zone: str, start: datetime, minutes: int) -> None:
    after = start.replace(tzinfo=UTC)
    until = after + timedelta(minutes=minutes)
    wanted: set[datetime] = set()
    for each in expressions:
        at = after
        schedule = CronSchedule.from_cron(each, zone)
        while (following := schedule.next_run(at)) is not None and following <= until:
            wanted.add(following)
            at = following
    timing = Timing(ScheduleSpec("w", cron="; ".join(expressions), timezone=zone), "a" * 12, after)
    found = []
    for instant in timing.instants(after):
        if instant > until:
            break
        found.append(instant)
    assert found == sorted(wanted)
    assert timing.count(after, until) == len(wanted)
    if len(found) > 1:
        assert timing.previous_before(found[-1]) == found[-2]


def test_a_list_and_a_text_are_the_same_schedule() -> None:
    listed, errors = spec_from_block("w", {"cron": ["0 9 * * 1-5", "0  12 * * sat"]})
    assert listed is not None, errors
    text, _ = spec_from_block("w", {"cron": "0 9 * * 1-5;0 12 * * sat"})
    assert listed == text
    assert listed.cron == "0 9 * * 1-5; 0 12 * * sat"
    assert fields_from(listed).expression == listed.cron
    assert spec_from(fields_from(listed), None)[0] == listed
    assert Timing(listed, "a" * 12, datetime(2026, 1, 1, tzinfo=UTC)).summary == (
        "at 09:00 on weekdays; at 12:00 on Saturday"
    )
    turned, _ = spec_from_block("w", {"cron": "0 12 * * 6; 00 9 * * mon-fri; 0 12 * * 6"})
    assert turned is not None
    assert same_times(listed.cron, turned.cron)
    assert describe_changes(listed, turned) == []
    assert not same_times(listed.cron, "0 9 * * 1-5")


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("0 9 * * *; 0 25 * * *", "'0 25 * * *': hour '25': 25 is outside 0-23"),
        ("0 9 * * *;", "an expression between semicolons is empty"),
        ([], "must be a cron expression, or a list"),
        (["0 9 * * *", 5], "must be a cron expression, or a list"),
        ([f"{n} * * * *" for n in range(51)], "51 expressions are more than 50"),
        (["0 9 * * *", "0 0 30 2 *"], "'0 0 30 2 *': no calendar has such a day"),
    ],
)
def test_an_expression_that_is_not_valid_is_named(cron: object, words: str) -> None:
    spec, errors = spec_from_block("w", {"cron": cron})
    assert spec is None
    assert words in errors[0]


async def test_one_overlap_policy_and_one_history(tmp_path: Path) -> None:
    async with world(tmp_path, datetime(2026, 5, 4, 8, 0, 30, tzinfo=UTC)) as w:
        await w.add(cron="0 9 * * *; 5 9 * * *; */5 9 * * *", max_runs=2)
        await w.at(datetime(2026, 5, 4, 9, 0, 1, tzinfo=UTC))
        await w.at(datetime(2026, 5, 4, 9, 5, 1, tzinfo=UTC))
        assert [fire[:2] for fire in await w.fires()] == [
            ("2026-05-04T09:00", "started"), ("2026-05-04T09:05", "skipped"),
        ]  # fmt: skip
        assert "overlap is skip" in (await w.fires())[1][2]
