"""croniter expands the plain fields of cron expressions. Where it differs from cronie, this engine decides."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime

import pytest
from croniter import croniter
from hypothesis import given
from hypothesis import strategies as st

from victor_engine.scheduler import CronSchedule
from victor_engine.scheduling.cron_fields import FIELDS, WEEKDAY, CronSyntaxError, bit_set, parse_field


def theirs(item: str, position: int) -> set[int]:
    fields = ["*"] * 5
    fields[position] = item
    return {number for number in croniter.expand(" ".join(fields))[0][position] if isinstance(number, int)}


def ours(item: str, position: int) -> set[int] | str:
    try:
        return set(bit_set(parse_field(item, FIELDS[position]).bits))
    except CronSyntaxError as error:
        return str(error)


@pytest.mark.parametrize(
    ("item", "position", "of_croniter", "here"),
    [
        # A number with a step goes up to the end of the field, which is 7 for the days of the week.
        ("3/2", 4, {3, 5}, {3, 5, 0}),
        ("7/1", 4, set(), {0}),
        # A range of one number is that number.
        ("5-5", 0, set(), {5}),
        ("5-5/2", 1, set(range(0, 24, 2)), {5}),
        # A range does not run over the end of the field.
        ("22-2", 1, {22, 23, 0, 1, 2}, "the range runs backwards; write 22-23,0-2"),
        ("sat-mon", 4, {6, 0, 1}, "the range runs backwards; write 6-7,0-1"),
        # A step is not larger than its field.
        ("*/70", 0, {0}, "a step of 70 is larger than the field"),
        # Marks of other dialects are not read as `*` or as a random number.
        ("?", 2, set(), "? is not supported here"),
        ("L5", 4, {5}, "'L5' is not a number"),
    ],
)
def test_a_difference(item: str, position: int, of_croniter: set[int], here: set[int] | str) -> None:
    """An empty set of croniter is `*`."""
    assert theirs(item, position) == of_croniter
    found = ours(item, position)
    assert here in found if isinstance(here, str) and isinstance(found, str) else found == here


@pytest.mark.parametrize("expression", ["r * * * *", "* * * * * *", "* * * * * * 2026"])
def test_what_croniter_reads_and_this_engine_refuses(expression: str) -> None:
    croniter.expand(expression)
    with pytest.raises(ValueError, match="Invalid cron expression"):
        CronSchedule.from_cron(expression)


def test_two_days_with_a_star_are_joined_by_and() -> None:
    start = datetime(2026, 5, 1, tzinfo=UTC)
    walker = croniter("0 0 */2 * mon", start)
    assert [walker.get_next(datetime).day for _ in range(3)] == [3, 4, 5]
    assert [fire.day for fire in CronSchedule.from_cron("0 0 */2 * mon").upcoming(2, start)] == [11, 25]


@st.composite
def items(draw: st.DrawFn) -> tuple[str, int, set[int]]:
    """Return an item, the position of its field, and its numbers by the manual page of cronie."""
    position = draw(st.integers(0, 4))
    spec = FIELDS[position]
    low = draw(st.integers(spec.low, spec.high))
    high = draw(st.integers(low, spec.high))
    step = draw(st.integers(1, spec.high - spec.low + 1))
    kind = draw(st.sampled_from(("number", "range", "range step", "number step", "star", "star step")))
    top = 6 if spec is WEEKDAY else spec.high
    text, numbers = {
        "number": (f"{low}", [low]),
        "range": (f"{low}-{high}", range(low, high + 1)),
        "range step": (f"{low}-{high}/{step}", range(low, high + 1, step)),
        "number step": (f"{low}/{step}", range(low, spec.high + 1, step)),
        "star": ("*", range(spec.low, top + 1)),
        "star step": (f"*/{step}", range(spec.low, top + 1, step)),
    }[kind]
    return text, position, {number % 7 if spec is WEEKDAY else number for number in numbers}


@given(items())
def test_an_item_has_the_numbers_of_the_manual(item: tuple[str, int, set[int]]) -> None:
    text, position, numbers = item
    assert ours(text, position) == numbers


def test_croniter_reads_the_fields() -> None:
    code = (
        "import sys\nfrom victor_engine.scheduler import CronSchedule\nassert 'croniter' not in sys.modules\n"
        "CronSchedule.from_cron('0 9 * * 1-5')\nassert 'croniter' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
