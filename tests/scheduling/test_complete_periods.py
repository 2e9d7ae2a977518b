"""Schedules that depend on all runs of a period (`after: {require: complete, period: day}`)."""

from __future__ import annotations

import asyncio
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.support import workspace
from tests.scheduling.test_loop import world
from tests.scheduling.test_wait_for_previous import engine_at
from victor_engine.api import After, BackfillSpec, FireInfo, RunDetail
from victor_engine.clock import FakeClock, to_us
from victor_engine.domain.statuses import RunStatus
from victor_engine.engine import Engine
from victor_engine.scheduling.complete_periods import COUNTS, Period, progress
from victor_engine.scheduling.declarations import spec_from_block
from victor_engine.scheduling.declared_checks import past_times
from victor_engine.scheduling.spec_clauses import period_of
from victor_engine.scheduling.timezones import get_zone
from victor_engine.store.db import Tx
from victor_engine.store.runs import NewRun, insert_run

FILES = {
    "workflows/w.yaml": """
        workflows:
          up:
            schedule: {cron: "0 8,12,16 * * *", initial_state: {x: 1}}
            nodes: [{id: a, type: transform, transform: "y = 1 / x"}]
          down:
            schedule: {after: {workflows: up, require: complete, period: day, take: [y]}}
            nodes: [{id: a, type: transform, transform: "z = y"}]
        """
}


def day(number: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 5, number, hour, minute, tzinfo=UTC)


async def settled(engine: Engine, up: int, down: int) -> list[FireInfo]:
    """Return the fires of `down`, oldest first, as soon as so many fires are decided and their runs have ended."""
    found: list[FireInfo] = []
    try:
        async with asyncio.timeout(20):
            while True:
                found = await engine.fires()
                counts = [sum(f.workflow == name for f in found) for name in ("up", "down")]
                if counts == [up, down] and not any(f.run_status in ("queued", "running") for f in found):
                    return [fire for fire in reversed(found) if fire.workflow == "down"]
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError([(f.workflow, f.local, f.outcome, f.run_status) for f in found]) from None


async def go_to(clock: FakeClock, moment: datetime) -> None:
    await clock.advance((moment - clock.now()).total_seconds())


async def run_of(engine: Engine, fire: FireInfo) -> RunDetail:
    return await engine.run(str(fire.run_id))


async def test_a_day_fires_once_when_all_its_runs_have_succeeded(tmp_path: Path) -> None:
    root = workspace(tmp_path, FILES)
    async with engine_at(root, day(4, 7, 59)) as (engine, clock):
        (up,) = [s for s in await engine.schedules() if s.spec.workflow == "up"]
        (down,) = [s for s in await engine.schedules() if s.spec.workflow == "down"]
        assert down.summary == "after all runs of up of the same day have succeeded"
        for number, hour in enumerate((8, 12)):
            await go_to(clock, day(4, hour, 0) + timedelta(seconds=5))
            await settled(engine, number + 1, 0)
        (state,) = (await engine.schedule(down.id)).upstream
        assert (state.met, state.text) == (
            False,
            "2 of 2 runs of 2026-05-04 count; waits for the fire of 2026-05-04 16:00 of up",
        )
        await go_to(clock, day(4, 16) + timedelta(seconds=5))
        (fire,) = await settled(engine, 3, 1)
        assert (fire.local, fire.reason) == ("2026-05-04", "after 3 runs of up succeeded for 2026-05-04")
        instant = (await run_of(engine, fire)).instant
        assert instant is not None
        assert (instant.interval_start, instant.nominal_time, instant.period) == (
            day(3, 16), day(4, 16), "2026-05-04"
        )  # fmt: skip

        headline = (await engine.explain_schedule(down.id)).headline
        assert headline.endswith("waits for the next period, because this one is complete")

        # The last fire of the next day is skipped: no run ends, and the day is complete.
        for number, hour in enumerate((8, 12)):
            await go_to(clock, day(5, hour) + timedelta(seconds=5))
            await settled(engine, 4 + number, 1)
        await engine.skip_next(up.id)
        await go_to(clock, day(5, 16) + timedelta(seconds=5))
        assert [f.local for f in await settled(engine, 6, 2)] == ["2026-05-04", "2026-05-05"]

        # A failed run holds the day back until it succeeds.
        bad = msgspec.structs.replace(up.spec, initial_state={"x": 0})
        await engine.edit_schedule(up.id, bad)
        await go_to(clock, day(6, 8) + timedelta(seconds=5))
        await settled(engine, 7, 2)
        failed = next(f for f in await engine.fires() if f.workflow == "up")
        await engine.edit_schedule(up.id, up.spec)
        for number, hour in enumerate((12, 16)):
            await go_to(clock, day(6, hour) + timedelta(seconds=5))
            await settled(engine, 8 + number, 2)
        lines = [line.text for line in (await engine.explain_schedule(down.id)).lines]
        wanted = f"up: 2 of 3 runs of 2026-05-06 count; run {failed.run_id} of 2026-05-06T08:00 is failed"
        assert wanted in lines
        await engine.redrive_run(str(failed.run_id), state={"x": 1})
        assert len(await settled(engine, 9, 3)) == 3

    # A fire that was missed while no engine ran holds the day back until a backfill runs it.
    async with engine_at(root, day(7, 12, 30)) as (engine, clock):
        await settled(engine, 11, 3)
        await go_to(clock, day(7, 16) + timedelta(seconds=5))
        await settled(engine, 12, 3)
        (state,) = (await engine.schedule(down.id)).upstream
        assert "the fire of 2026-05-07T08:00 was missed: run it with a backfill" in state.text
        await engine.start_backfill(BackfillSpec(up.id, day(7, 0), day(7, 13)))
        fires = await settled(engine, 12, 4)
        assert [f.local for f in fires] == ["2026-05-04", "2026-05-05", "2026-05-06", "2026-05-07"]
        instant = (await run_of(engine, fires[-1])).instant
        assert instant is not None
        assert (instant.interval_start, instant.interval_end) == (day(6, 16), day(7, 16))


OUTCOMES = st.sampled_from(
    [("started", status) for status in RunStatus] + [("skipped", None), ("missed", None), None]
)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(OUTCOMES, min_size=6, max_size=6),
    st.sampled_from(("success", "failure", "completion")),
    st.booleans(),
)
def test_a_period_is_complete_when_a_count_by_hand_says_so(
    outcomes: list[tuple[str, RunStatus | None] | None], on: Any, enabled: bool
) -> None:
    """The fires of 6 hours, of which the first ones are decided: those before the first None."""
    decided = outcomes[: outcomes.index(None)] if None in outcomes else outcomes

    async def complete() -> bool:
        with tempfile.TemporaryDirectory() as directory:
            async with world(Path(directory), day(4, 0)) as w:
                schedule = await w.add(cron="0 12-17 * * *", timezone="Asia/Kolkata", enabled=enabled)

                def write(tx: Tx) -> None:
                    for number, (outcome, status) in enumerate(each for each in decided if each is not None):
                        nominal = to_us(day(4, 6, 30) + timedelta(hours=number))
                        key = None
                        if status is not None:
                            new = NewRun(
                                workflow="w",
                                definition_id=1,
                                start_node="a",
                                schedule_id=schedule,
                                nominal_us=nominal,
                            )
                            key, _ = insert_run(tx, new)
                            tx.execute("UPDATE runs SET status = ? WHERE key = ?", (status, key))
                        tx.execute(
                            "INSERT INTO fires (schedule_id, workflow, local, fold, nominal, outcome, reason, decided_at,"
                            " run_key) VALUES (?, 'w', ?, 0, ?, ?, '', 0, ?)",
                            (schedule, f"2026-05-04T{12 + number}:00", nominal, outcome, key),
                        )
                    if decided:
                        cursor = to_us(day(4, 6, 30) + timedelta(hours=len(decided) - 1))
                        tx.execute("UPDATE schedules SET cursor = ?", (cursor,))

                await w.store.write(write)
                after = After(("w",), require="complete", on=on, period="day")
                period = Period("day", "2026-05-04", day(4, 7), get_zone("Asia/Kolkata"))
                return (await w.store.read(lambda c: progress(c, after, "w", period))).complete

    kinds = [each for each in decided if each is not None]
    ran = [status for _, status in kinds if status is not None]
    wanted = (
        (len(kinds) == 6 or not enabled)
        and bool(ran)
        and all(outcome != "missed" for outcome, _ in kinds)
        and all(status in COUNTS[on] for status in ran)
    )
    assert asyncio.run(complete()) == wanted


@pytest.mark.parametrize("zone", ["Etc/GMT+12", "UTC", "Pacific/Kiritimati"])
@pytest.mark.parametrize("kind", ["hour", "day", "week", "month"])
async def test_every_kind_of_period_in_distant_zones(tmp_path: Path, kind: str, zone: str) -> None:
    async with world(tmp_path, day(15, 0)) as w:
        await w.add(cron="0,30 12 15 * *", timezone="Pacific/Kiritimati", overlap="allow")
        w.clock.set_wall(datetime(2026, 6, 14, 0, tzinfo=UTC))
        await w.loop.fire_due()
        first = datetime(2026, 6, 14, 22, tzinfo=UTC)
        found = []
        for moment in (first, first + timedelta(minutes=30)):
            await w.at(moment + timedelta(seconds=1))
            await w.end_runs()
            where = get_zone(zone)
            period = Period(kind, period_of(kind, first, where), first, where)
            found.append(
                await w.store.read(
                    lambda c: progress(c, After(("w",), require="complete", period=kind), "w", period)  # noqa: B023
                )
            )
        assert [(each.complete, len(each.fires)) for each in found] == [(False, 1), (True, 2)]


@pytest.mark.parametrize(
    ("after", "words"),
    [
        ({"workflows": "up", "require": "complete"}, "needs after.period hour, day, week or month"),
        (
            {"workflows": "up", "require": "complete", "period": "exact"},
            "needs after.period hour, day, week or month",
        ),
        ({"workflows": "up", "require": "complete", "period": "day", "within": "1h"}, "no after.within"),
        ({"workflows": "up", "require": "every"}, "'every' is not a value of require"),
    ],
)
def test_a_dependency_that_is_not_valid(after: dict[str, Any], words: str) -> None:
    spec, errors = spec_from_block("w", {"after": after})
    assert spec is None
    assert words in errors[0]


def test_an_upstream_without_a_schedule_is_a_warning() -> None:
    spec, _ = spec_from_block("down", {"after": {"workflows": "up", "require": "complete", "period": "day"}})
    hourly, _ = spec_from_block("up", {"cron": "@hourly"})
    assert spec is not None
    assert hourly is not None
    ((workflow, message),) = past_times({"down": spec}, day(4, 0))
    assert (workflow, message[:37]) == ("down", "schedule.after: up declares no schedu")
    assert list(past_times({"down": spec, "up": hourly}, day(4, 0))) == []
