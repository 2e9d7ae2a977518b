"""Cron against the shared vectors and an oracle that looks at every minute."""

from __future__ import annotations

import itertools
import json
import os
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.shared import SHARED, needs_shared
from victor_engine.scheduler import CronSchedule

VECTORS = json.loads((SHARED / "cron_vectors.json").read_text()) if SHARED else {"vectors": [], "reject": []}


@needs_shared
@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda v: f"{v['id']}")
def test_shared_vectors(vector: dict[str, object]) -> None:
    schedule = CronSchedule.from_cron(str(vector["expr"]), str(vector["tz"]))
    expected = [datetime.fromisoformat(text) for text in vector["expect"]]  # type: ignore[attr-defined]
    assert schedule.upcoming(len(expected), datetime.fromisoformat(str(vector["after"]))) == expected


@needs_shared
@pytest.mark.parametrize("expression", VECTORS["reject"])
def test_shared_rejections(expression: str) -> None:
    with pytest.raises(ValueError, match="Invalid cron expression: "):
        CronSchedule.from_cron(expression)


@pytest.mark.parametrize(
    ("expression", "zone", "after", "expected"),
    [
        (
            "30 2 * * *",
            "America/New_York",
            "2026-03-07T12:00+00:00",
            ["2026-03-08T07:00", "2026-03-09T06:30"],
        ),
        (
            "0 2,3 * * *",
            "America/New_York",
            "2026-03-08T04:30+00:00",
            ["2026-03-08T07:00", "2026-03-09T06:00"],
        ),
        (
            "30 1 * * *",
            "America/New_York",
            "2026-10-31T12:00+00:00",
            ["2026-11-01T05:30", "2026-11-02T06:30"],
        ),
        (
            "*/30 1 * * *",
            "America/New_York",
            "2026-11-01T05:15+00:00",
            ["2026-11-01T05:30", "2026-11-01T06:00"],
        ),
        ("0 12 L * *", "UTC", "2027-02-01T00:00+00:00", ["2027-02-28T12:00", "2027-03-31T12:00"]),
        ("0 0 * * 5L", "UTC", "2026-11-01T00:00+00:00", ["2026-11-27T00:00", "2026-12-25T00:00"]),
        ("0 0 * * 1#2", "UTC", "2026-11-01T00:00+00:00", ["2026-11-09T00:00", "2026-12-14T00:00"]),
        ("0 0 15W * *", "UTC", "2026-11-01T00:00+00:00", ["2026-11-16T00:00", "2026-12-15T00:00"]),
        ("0 0 13 * FRI", "UTC", "2026-11-10T00:00+00:00", ["2026-11-13T00:00", "2026-11-20T00:00"]),
    ],
)
def test_rules(expression: str, zone: str, after: str, expected: list[str]) -> None:
    schedule = CronSchedule.from_cron(expression, zone)
    found = schedule.upcoming(len(expected), datetime.fromisoformat(after))
    assert [instant.strftime("%Y-%m-%dT%H:%M") for instant in found] == expected
    assert all(schedule.matches(instant) for instant in found)
    assert not schedule.matches(found[0] - timedelta(minutes=7))


@pytest.mark.parametrize(
    "expression",
    ["0 0 30 2 *", "0 0 31 2,4,6 *", "@never", "0 9 ? * *", "*/90 * * * *", "5-1 * * * *", "* * * *", "", "0 0 * * 1#6",
     "H * * * *", "0 0 R * *", "0 0 * * L", "1,,2 * * * *", "0 0 32W * *", "0 0 31 2 */2", "0 0 30W 2 *", "0\u00a09 * * *",
     "0" * 5000 + " * * * *", "*/" + "1" * 5000 + " * * * *", "0 9 * * 1-5L", "0 9 * * 1#1#2",
     "*-5 * * * *", "1_0 * * * *"],
)  # fmt: skip
def test_what_is_none(expression: str) -> None:
    with pytest.raises(ValueError, match="Invalid cron expression: "):
        CronSchedule.from_cron(expression)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("*/7 * * * *", "every 7 minutes from minute 0 to 56 of every hour"),
        ("1-59/2 * * * *", "every 2 minutes from minute 1 to 59 of every hour"),
        ("0-29 * * * *", "every hour at minutes 0 to 29"),
        ("0 */5 * * *", "every 5 hours from 00:00 to 20:00"),
        ("30 */6 * * *", "every 6 hours, at minute 30"),
        ("15 9-17 * * 1-5", "every hour from 09:15 to 17:15 on weekdays"),
        ("*/20 */2 * * *", "every 20 minutes in every 2nd hour from 0 to 22"),
        ("0 0 13 * 5", "at 00:00 on day 13 of the month, and also on Friday"),
        ("0 0 */2 * 1", "at 00:00 on every 2nd day of the month from the 1st to the 31st, if it is Monday"),
        ("0 0 13 * 0-6", "at 00:00 every day"),
        ("* * 1-31 * 5L", "every minute"),
        ("0 0 * * 5-7", "at 00:00 on Friday to Sunday"),
        ("0 0 29 2 *", "at 00:00 on 29 February"),
        ("0 9 1w,LW 1 1#2", "at 09:00 on the last weekday of the month and the weekday nearest the 1st,"
         " and also on the second Monday of the month, in January"),
    ],
)  # fmt: skip
def test_in_plain_english(expression: str, words: str) -> None:
    assert CronSchedule.from_cron(expression).describe() == words


@pytest.mark.parametrize(("reversed_range", "instead"), [("SAT-SUN", "6-7"), ("FRI-MON", "5-7,0-1")])
def test_a_range_that_runs_backwards_is_told_how_to_be_written(reversed_range: str, instead: str) -> None:
    with pytest.raises(ValueError, match=f"write {instead}$"):
        CronSchedule.from_cron(f"0 0 * * {reversed_range}")
    assert CronSchedule.from_cron(f"0 0 * * {instead}").day_of_week


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Apia", "America/Adak"])
def test_the_calendar_has_two_ends(zone: str) -> None:
    schedule = CronSchedule.from_cron("*/5 * * * *", zone)
    assert schedule.next_run(datetime.max.replace(tzinfo=UTC)) is None
    assert not schedule.matches(datetime.max)
    assert schedule.next_run(datetime.min) is not None
    assert not schedule.matches(datetime.min.replace(tzinfo=UTC))


@pytest.mark.parametrize("zone", ["posix/UTC", "right/UTC", "localtime", "Factory"])
def test_what_only_some_machines_have_is_no_zone(zone: str) -> None:
    with pytest.raises(ValueError, match=r"the time zone .* does not exist"):
        CronSchedule.from_cron("0 9 * * *", zone)


def test_an_unknown_zone_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'Europe/Berlin'"):
        CronSchedule.from_cron("0 9 * * *", "Europe/Berlim")


def test_the_sets_and_words_of_the_guide() -> None:
    daily = CronSchedule.from_cron("0 9 * * *")
    assert (daily.minute, daily.hour) == ({0}, {9})
    assert (len(daily.day_of_month), len(daily.month), len(daily.day_of_week)) == (31, 12, 7)
    assert CronSchedule.from_cron("0 9 * * 1-5").day_of_week == {1, 2, 3, 4, 5}
    assert CronSchedule.from_cron("0 0 * * 7").day_of_week == {0}
    assert CronSchedule.from_cron("@Hourly").minute == {0}
    assert CronSchedule.from_interval(hours=4).hour == {0, 4, 8, 12, 16, 20}
    assert CronSchedule.from_interval(minutes=30).minute == {0, 30}
    assert CronSchedule.from_cron("0 9 * * 1-5").describe() == "at 09:00 on weekdays"


def test_an_interval_that_divides_nothing_is_elapsed_time() -> None:
    schedule = CronSchedule.from_interval(minutes=45)
    found = schedule.upcoming(3, datetime(2026, 3, 8, 23, 50, tzinfo=UTC))
    assert {b - a for a, b in itertools.pairwise(found)} == {timedelta(minutes=45)}
    with pytest.raises(ValueError, match="more than 0 seconds"):
        CronSchedule.from_interval()


def test_hashed_fields_spread_and_stay() -> None:
    minutes = {next(iter(CronSchedule.from_cron("H 3 * * *", hash_id=f"s{n}").minute)) for n in range(50)}
    assert len(minutes) > 20
    one = CronSchedule.from_cron("H/15 * * * *", hash_id="a")
    assert one.minute == CronSchedule.from_cron("H/15 * * * *", hash_id="a").minute
    assert len(one.minute) == 4


# --- an oracle that shares no code: every real minute is looked at ------------------------------


def test_nothing_fires_for_a_day_that_the_date_line_skips() -> None:
    eve = datetime(2011, 12, 29, 12, tzinfo=UTC)  # 02:00 of the 29th in Apia, where no 30th followed
    for expression, wanted in (
        ("0 9 * * *", ["29T09:00", "31T09:00"]),
        ("0 0 * * *", ["31T00:00", "01T00:00"]),
        ("30 12 30 * *", ["30T12:30", "28T12:30"]),
        ("0 */12 * * *", ["29T12:00", "31T00:00"]),
    ):
        schedule = CronSchedule.from_cron(expression, "Pacific/Apia")
        fires = [each.astimezone(ZoneInfo("Pacific/Apia")) for each in schedule.upcoming(2, eve)]
        if expression == "30 12 30 * *":
            assert [f"{each:%Y-%m-%d}" for each in fires] == ["2012-01-30", "2012-03-30"]
        else:
            assert [f"{each:%dT%H:%M}" for each in fires] == wanted


ZONES = [
    "America/New_York",
    "America/Los_Angeles",
    "America/Sao_Paulo",
    "America/St_Johns",
    "America/Havana",
    "America/Santiago",
    "America/Caracas",
    "America/Asuncion",
    "America/Nuuk",
    "America/Anchorage",
    "America/Halifax",
    "America/Mexico_City",
    "Europe/Berlin",
    "Europe/London",
    "Europe/Dublin",
    "Europe/Moscow",
    "Europe/Istanbul",
    "Europe/Chisinau",
    "Europe/Lisbon",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Africa/Juba",
    "Africa/Khartoum",
    "Asia/Tehran",
    "Asia/Amman",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Jerusalem",
    "Asia/Kathmandu",
    "Asia/Pyongyang",
    "Asia/Ulaanbaatar",
    "Asia/Damascus",
    "Atlantic/Azores",
    "Australia/Lord_Howe",
    "Australia/Sydney",
    "Australia/Adelaide",
    "Pacific/Apia",
    "Pacific/Auckland",
    "Pacific/Chatham",
    "Pacific/Easter",
    "Pacific/Norfolk",
    "Pacific/Fiji",
    "Antarctica/Troll",
    "UTC",
]


@cache
def _transitions(zone: str) -> list[datetime]:
    info = ZoneInfo(zone)
    found = []
    instant = datetime(2010, 12, 1, tzinfo=UTC)
    before = instant.astimezone(info).utcoffset()
    while instant < datetime(2027, 1, 1, tzinfo=UTC):
        instant += timedelta(hours=6)
        after = instant.astimezone(info).utcoffset()
        if after != before:
            found.append(instant)
            before = after
    return found or [datetime(2026, 3, 29, tzinfo=UTC)]


def _naive_match(schedule: CronSchedule, wall: datetime) -> bool:
    weekday = (wall.weekday() + 1) % 7
    _, _, dom, _, dow = schedule.expression.split()
    by_day, by_week = wall.day in schedule.day_of_month, weekday in schedule.day_of_week
    days = (by_day and by_week) if dom.startswith("*") or dow.startswith("*") else (by_day or by_week)
    return (
        wall.minute in schedule.minute
        and wall.hour in schedule.hour
        and wall.month in schedule.month
        and days
    )


def _oracle(schedule: CronSchedule, zone: str, start: datetime, end: datetime) -> list[datetime]:
    info = ZoneInfo(zone)
    minute, hour = schedule.expression.split()[:2]
    fires: set[datetime] = set()
    instant, previous = start, None
    while instant <= end:
        wall = instant.astimezone(info).replace(tzinfo=None)
        if minute.startswith("*") or hour.startswith("*"):
            if _naive_match(schedule, wall):
                fires.add(instant)
        else:
            if previous is not None:
                skipped = previous + timedelta(minutes=1)
                calendar = wall - previous > timedelta(hours=3, minutes=1)
                while skipped < wall and not calendar:  # a gap: what stood in it runs now
                    if _naive_match(schedule, skipped):
                        fires.add(instant)
                    skipped += timedelta(minutes=1)
            first_pass = instant.astimezone(info).fold == 0
            if first_pass and _naive_match(schedule, wall):
                fires.add(instant)
        previous = wall if previous is None or wall > previous else previous
        instant += timedelta(minutes=1)
    return sorted(fires)


_minutes = st.sampled_from(
    ["0", "30", "*/7", "*", "15,45", "59", "1-5", "0,30", "*/30", "5/15", "*,5", "8,*/25"]
)
_hours = st.sampled_from(
    ["0", "1", "2", "3", "*", "*/2", "1-3", "2,3", "23", "0,12", "0-4", "22-23,0,1", "1/2"]
)
_days = st.sampled_from(["*", "*", "*", "*/2", "1", "8,29", "25-31"])
_weekdays = st.sampled_from(["*", "*", "0", "1-5", "SUN", "*/2"])


# Many more with VICTOR_CRON_EXAMPLES=20000, which takes a while.
@settings(max_examples=int(os.environ.get("VICTOR_CRON_EXAMPLES", "40")))
@given(st.sampled_from(ZONES), st.integers(0, 100), _minutes, _hours, _days, _weekdays)
def test_every_minute_around_a_change_of_the_clock(
    zone: str, pick: int, minute: str, hour: str, day: str, weekday: str
) -> None:
    transitions = _transitions(zone)
    transition = transitions[pick % len(transitions)]
    schedule = CronSchedule.from_cron(f"{minute} {hour} {day} * {weekday}", zone)
    # An hour more than is compared, so that the oracle has seen what comes before the window.
    start, end = transition - timedelta(hours=32), transition + timedelta(hours=26)
    expected = [fire for fire in _oracle(schedule, zone, start - timedelta(hours=30), end) if fire > start]
    found = []
    current = start
    while (following := schedule.next_run(current)) is not None and following <= end:
        found.append(following)
        current = following
    assert found == expected


# --- second opinions, where the rules agree: in UTC no clock is ever changed --------------------

_plain_days = st.sampled_from(["*", "1", "15", "28-31", "1,8,22", "5-9"])
_plain_weekdays = st.sampled_from(["*", "1-5", "SUN", "0,3", "6"])
_plain_months = st.sampled_from(["*", "1", "*/3", "JUN-AUG", "2,12"])


@settings(max_examples=60)
@given(
    _minutes, _hours, _plain_days, _plain_months, _plain_weekdays,
    st.datetimes(datetime(2000, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC)),
)  # fmt: skip
def test_two_other_libraries_agree(
    minute: str, hour: str, day: str, month: str, weekday: str, after: datetime
) -> None:
    from croniter import croniter
    from cronsim import CronSim

    expression = f"{minute} {hour} {day} {month} {weekday}"
    ours = CronSchedule.from_cron(expression).upcoming(5, after)
    simulated = CronSim(expression, after)
    assert ours == [next(simulated) for _ in range(5)]
    counted = croniter(expression, after)
    assert ours == [counted.get_next(datetime) for _ in range(5)]


@settings(max_examples=60)
@given(
    st.sampled_from(["L", "LW", "1W", "15W", "31W", "*"]),
    st.sampled_from(["*", "1#1", "FRI#5", "5L", "SUN#2,3L"]),
    st.integers(2000, 2059),
    st.integers(1, 12),
)
def test_the_extensions_are_what_the_calendar_says(day: str, weekday: str, year: int, month: int) -> None:
    """Every day of a month against the words: last, nearest weekday, k-th, last of its kind."""
    import calendar

    length = calendar.monthrange(year, month)[1]
    dates = [datetime(year, month, n, tzinfo=UTC) for n in range(1, length + 1)]
    working = [d.day for d in dates if d.weekday() < 5]

    def by_day(d: datetime) -> bool:
        if day in ("*", "L"):
            return day == "*" or d.day == length
        if day == "LW":
            return d.day == working[-1]
        wanted = int(day[:-1])
        return wanted <= length and d.day == min(working, key=lambda n: (abs(n - wanted), n))

    def by_week(d: datetime) -> bool:
        names = {"SUN": 0, "FRI": 5}
        for item in weekday.split(","):
            kind = (d.weekday() + 1) % 7
            if item == "*":
                return True
            if "#" in item:
                name, _, k = item.partition("#")
                if kind == names.get(name, 1) and (d.day - 1) // 7 + 1 == int(k):
                    return True
            elif kind == int(item[:-1]) and d.day + 7 > length:
                return True
        return False

    both = day == "*" or weekday == "*"
    expected = [d for d in dates if (by_day(d) and by_week(d) if both else by_day(d) or by_week(d))]
    schedule = CronSchedule.from_cron(f"0 0 {day} * {weekday}")
    found = schedule.upcoming(40, dates[0] - timedelta(seconds=1))
    assert [d for d in found if d <= dates[-1]] == expected
