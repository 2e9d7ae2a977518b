"""Fires that move to another day because a calendar excludes theirs (`on_excluded`)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.scheduling.test_loop import ALICE, world
from tests.scheduling.test_wall_intervals import fire_of
from victor_engine.api import ScheduleSpec
from victor_engine.cli.schedule_tools import local, next_fire
from victor_engine.errors import UsageError
from victor_engine.exclusion import Excluded
from victor_engine.scheduling import agenda as agendas
from victor_engine.scheduling import explain, schedule_info
from victor_engine.scheduling import schedule_commands as ops
from victor_engine.scheduling.declarations import changed_spec, spec_from_block
from victor_engine.scheduling.timing import Timing
from victor_engine.store.queries.schedules import schedules

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Pacific/Apia", "America/Sao_Paulo")
TIMES: tuple[dict[str, Any], ...] = (
    {"cron": "0 9 * * *"},
    {"cron": "30 2 * * 1,4"},
    {"cron": "30 0 * * *; 0 */4 * * *"},
    {"cron": "0 7,15 1-5,28-31 * *"},
    {"cron": "0 12 L * *"},
    {"every_seconds": 3 * 86_400.0, "every_at": "02:30"},
    {"every_seconds": 86_400.0 * 2},
    {"at": datetime(2011, 12, 28, 8, tzinfo=UTC)},
)


def calendar_of(days: set[date], hours: range) -> Excluded:
    """Return an exclusion of hours on some days."""

    def excluded(spec: ScheduleSpec, instant: datetime, zone: ZoneInfo) -> str | None:
        local = instant.astimezone(zone)
        return "calendar days" if local.date() in days and local.hour in hours else None

    return excluded


def moved_by_hand(instant: datetime, zone: str, way: int, excluded: Excluded) -> datetime:
    info = ZoneInfo(zone)
    spec = ScheduleSpec("w")
    if excluded(spec, instant, info) is None:
        return instant
    local = instant.astimezone(info)
    for number in range(1, 32):
        found = fire_of(zone, local.date() + way * timedelta(days=number), local.hour, local.minute)
        if found is not None and excluded(spec, found, info) is None:
            return found
    return instant


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(TIMES),
    st.sampled_from(ZONES),
    st.sampled_from(("next_day", "previous_day")),
    st.sets(st.integers(0, 150), max_size=60),
    st.booleans(),
    st.sampled_from((range(24), range(8, 24))),
    st.integers(0, 90 * 24 * 60),
)
def test_fires_are_those_of_a_search_by_hand(
    times: dict[str, Any], zone: str, way: str, days: set[int], block: bool, hours: range, offset: int
) -> None:
    start = date(2011, 9, 15)
    excluded_days = {start + timedelta(days=number) for number in days}
    if block:
        excluded_days |= {start + timedelta(days=number) for number in range(40, 62)}
    excluded = calendar_of(excluded_days, hours)
    created = datetime(2011, 1, 3, 7, 30, tzinfo=UTC)
    plain = Timing(ScheduleSpec("w", timezone=zone, exclude=("days",), **times), "a" * 12, created)
    timing = Timing(
        ScheduleSpec("w", timezone=zone, exclude=("days",), on_excluded=way, **times),  # type: ignore[arg-type]
        "a" * 12,
        created,
        excluded,
    )
    after = datetime(2011, 10, 1, tzinfo=UTC) + timedelta(minutes=offset)
    until = after + timedelta(days=25)
    step = 1 if way == "next_day" else -1
    wanted = set()
    for raw in plain.instants(after - timedelta(days=40)):
        if raw > until + timedelta(days=40):
            break
        found = moved_by_hand(raw, zone, step, excluded)
        if after < found <= until:
            wanted.add(found)
    fires = []
    for instant in timing.instants(after):
        if instant > until:
            break
        fires.append(instant)
    assert fires == sorted(wanted)
    assert timing.count(after, until) == len(wanted)
    for before, instant in list(pairwise(fires))[::9]:  # each takes as long as the search for all
        assert timing.previous_before(instant) == before


WEEKENDS = calendar_of({date(2026, 5, 1) + timedelta(days=n) for n in (0, 1, 2, 8, 9, 15, 16)}, range(24))
"""The first of May, a Friday, and the weekends of that month."""


@pytest.mark.parametrize(
    ("way", "fired"),
    [
        ("next_day", ["2026-04-30T09:00", "2026-05-04T09:00", "2026-05-05T09:00"]),
        ("previous_day", ["2026-04-29T09:00", "2026-04-30T09:00", "2026-05-04T09:00", "2026-05-05T09:00"]),
    ],
)
async def test_the_loop_fires_at_the_moved_instants(tmp_path: Path, way: str, fired: list[str]) -> None:
    async with world(tmp_path, datetime(2026, 4, 29, 8, tzinfo=UTC)) as w:
        w.use(WEEKENDS)
        start = w.clock.now() if way == "previous_day" else datetime(2026, 4, 29, 10, tzinfo=UTC)
        w.clock.set_wall(start)
        schedule = await w.add(cron="0 9 * * *", exclude=("days",), on_excluded=way, overlap="allow")
        for hour in range(24 * 6 + 12):
            await w.at(start + timedelta(hours=hour, seconds=1))
            await w.loop._ahead.read()
        fires = await w.fires()
        assert [local for local, _, _ in fires] == fired
        assert {outcome for _, outcome, _ in fires} == {"started"}
        moved = [reason for _, _, reason in fires if "moved" in reason]
        wanted = "2026-05-01 09:00" if way == "next_day" else "2026-05-03 09:00"
        assert len(moved) == 1
        assert f"moved from {wanted}, which calendar days excludes" in moved[0]
        answer = await w.store.read(
            lambda c: explain.explain(
                c, schedule, w.clock.now(), at=datetime(2026, 5, 2, 9, tzinfo=UTC), excluded=WEEKENDS
            )
        )
        assert answer.headline.startswith("the fire of Sat 2026-05-02 09:00+0000 UTC moves to")
        w.clock.set_wall(datetime(2026, 5, 9, 9, tzinfo=UTC))
        present = await w.store.read(
            lambda c: explain.explain(c, schedule, w.clock.now(), excluded=WEEKENDS).headline
        )
        if way == "next_day":
            assert present.startswith("it fires next at Mon 2026-05-11 09:00")
            assert "; moved from 2026-05-09 09:00, which calendar days excludes" in present
        w.clock.set_wall(datetime(2026, 5, 5, 9, 30, tzinfo=UTC))
        edges = [datetime(2026, 5, day, tzinfo=UTC) for day in (8, 9, 10, 11, 12)]
        found = await w.store.read(lambda c: agendas.agenda(c, edges, w.clock.now(), WEEKENDS))
        assert found.lanes[0].planned == (1, 0, 0, 1)
        preview = await w.store.read(
            lambda c: schedule_info.preview(
                c, ScheduleSpec("w", cron="0 9 * * *", exclude=("days",), on_excluded=way),  # type: ignore[arg-type]
                5, edges[0], schedule, WEEKENDS, lambda *_: "1.0.0", lambda *_: None, w.clock.now(),
            )
        )  # fmt: skip
        assert [fire.day for fire in preview.fires] == [8, 11, 12, 13, 14]
        assert [each.origin.day for each in preview.moved] == [9, 10]


async def test_missed_fires_are_the_moved_ones(tmp_path: Path) -> None:
    async with world(tmp_path, datetime(2026, 4, 30, 10, tzinfo=UTC)) as w:
        w.use(WEEKENDS)
        await w.add(cron="0 9 * * *", exclude=("days",), on_excluded="next_day", catchup="latest")
    async with world(tmp_path, datetime(2026, 5, 4, 12, tzinfo=UTC)) as w:
        w.use(WEEKENDS)
        await w.loop.refresh()
        await w.loop.fire_due()
        (fire,) = await w.fires()
        assert fire[:2] == ("2026-05-04T09:00", "started")
        assert "caught up, 3 hours late; moved from 2026-05-01 09:00" in fire[2]


async def test_an_edit_and_a_pause_know_the_moved_fires(tmp_path: Path) -> None:
    async with world(tmp_path, datetime(2026, 4, 30, 10, tzinfo=UTC)) as w:
        w.use(WEEKENDS)
        schedule = await w.add(cron="0 9 * * *", exclude=("days",), on_excluded="next_day")
        w.clock.set_wall(datetime(2026, 5, 2, 12, tzinfo=UTC))  # the fires of two days wait for the 4th
        changed = ScheduleSpec("w", cron="0 10 * * *", exclude=("days",), on_excluded="next_day")
        await w.store.write(lambda tx: ops.edit(tx, schedule, changed, actor=ALICE))
        await w.loop.refresh(schedule)
        assert await w.fires() == []
        await w.at(datetime(2026, 5, 4, 10, 0, 1, tzinfo=UTC))
        assert [fire[:2] for fire in await w.fires()] == [("2026-05-04T10:00", "started")]


async def test_a_changed_calendar_moves_the_next_fire(tmp_path: Path) -> None:
    async with world(tmp_path, datetime(2026, 4, 29, 10, tzinfo=UTC)) as w:
        w.use(WEEKENDS)
        schedule = await w.add(cron="0 9 1 * *", exclude=("days",), on_excluded="next_day")
        assert await w.rows("SELECT next_fire FROM schedules") == [(1_777_885_200_000_000,)]  # 4 May, 09:00
        now = w.clock.now()
        (listed,) = await w.store.read(
            lambda c: schedule_info.complete(
                c, schedules(c, now, summarise=lambda *_: "", resolve=lambda *_: "1.0.0"), now, WEEKENDS
            )
        )
        assert listed.next_moved is not None
        assert (listed.next_moved.at.day, listed.next_moved.origin.day) == (4, 1)
        assert next_fire(listed).endswith(f"(moved from {local(listed.next_moved.origin)})")
        w.use(calendar_of(set(), range(24)))
        await w.loop.refresh()
        assert await w.rows("SELECT next_fire FROM schedules") == [(1_777_626_000_000_000,)]  # 1 May, 09:00
        await w.at(datetime(2026, 5, 1, 9, 0, 1, tzinfo=UTC))
        assert [fire[:2] for fire in await w.fires()] == [("2026-05-01T09:00", "started")]
        assert schedule


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({"cron": "0 9 * * *"}, "on_excluded: next_day needs exclude"),
        ({"cron": "*/10 * * * *", "exclude": "c"}, "at most 24 fires a day, not 144"),
        ({"every": "4h", "exclude": "c"}, "an interval of at least a day"),
        ({"after": "other", "exclude": "c"}, "a schedule with after has none"),
        (
            {"cron": "0 9 * * *", "exclude": "c", "on_excluded": "next"},
            "'next' is not a value of on_excluded",
        ),
    ],
)
def test_a_setting_without_effect_is_an_error(block: dict[str, Any], words: str) -> None:
    spec, errors = spec_from_block("w", {"on_excluded": "next_day", **block})
    assert spec is None
    assert words in errors[0]


def test_an_edit_changes_one_of_the_two_keys() -> None:
    spec = ScheduleSpec("w", cron="0 9 * * *", exclude=("c",))
    moves, errors = changed_spec(spec, {"on_excluded": "next_day"})
    assert moves is not None, errors
    assert (moves.exclude, moves.on_excluded) == (("c",), "next_day")
    assert changed_spec(moves, {"on_excluded": None})[0] == spec
    assert "needs exclude" in changed_spec(moves, {"exclude": None})[1][0]
    assert (
        "needs exclude"
        in changed_spec(ScheduleSpec("w", cron="0 9 * * *"), {"on_excluded": "next_day"})[1][0]
    )


def test_a_calendar_that_cannot_be_read_moves_nothing() -> None:
    def broken(spec: ScheduleSpec, instant: datetime, zone: ZoneInfo) -> str | None:
        raise UsageError("days.ics:1: not an iCalendar file")

    spec = ScheduleSpec("w", cron="0 9 * * *", exclude=("days",), on_excluded="next_day")
    timing = Timing(spec, "a" * 12, datetime(2026, 1, 1, tzinfo=UTC), broken)
    fires = timing.upcoming(2, datetime(2026, 5, 1, tzinfo=UTC))
    assert fires == [datetime(2026, 5, 1, 9, tzinfo=UTC), datetime(2026, 5, 2, 9, tzinfo=UTC)]
