"""A crowd that is written before its time comes to the same, row for row, as one that is decided when it is due."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.scheduler.test_exactly_once import MEMORY
from tests.scheduler.test_loop import ALICE, World, world
from victor_engine import ids
from victor_engine.api import Expect, ScheduleSpec
from victor_engine.clock import to_us
from victor_engine.errors import ConflictError
from victor_engine.scheduler import early
from victor_engine.scheduler import loop as loops
from victor_engine.scheduler import operations as ops
from victor_engine.store.ahead import Ahead
from victor_engine.store.db import Tx

START = datetime(2026, 5, 4, 7, 59, tzinfo=UTC)
BEFORE, DUE = START + timedelta(minutes=1), START + timedelta(minutes=61)
CROWD = early.CROWD + 4
LEAD = 0.05
"""Seconds before the crowd is due at which the loop looks at it."""

Change = Callable[[World, list[str]], Awaitable[None]]


@pytest.fixture(autouse=True)
def ids_that_are_no_surprise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids.secrets, "randbits", lambda bits: 7)


@pytest.fixture
def a_few_are_a_crowd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "CROWD", 1)


@asynccontextmanager
async def crowd(
    specs: list[dict[str, Any]], before: Change | None = None
) -> AsyncIterator[tuple[World, list[str]]]:
    """Schedules that have fired once, shortly before all of them are due again."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as directory:
        async with world(Path(directory), START) as w:
            schedules = [
                await w.add(cron="0 * * * *", initial_state={"n": n}, **fields)
                for n, fields in enumerate(specs)
            ]
            await w.at(BEFORE)
            await w.store.write(lambda tx: tx.execute("UPDATE runs SET status = 'succeeded' WHERE key % 2"))
            if before is not None:
                await before(w, schedules)
            w.clock.set_wall(DUE - timedelta(seconds=LEAD))
            await w.loop.refresh()
            await w.loop._look_ahead()
            yield w, schedules


def taken(w: World) -> list[Ahead[Any]]:
    """What the loop has had written ahead, from now on."""
    found: list[Ahead[Any]] = []
    ahead = w.store.ahead

    def spy(transition: Callable[[Tx], Any], at: datetime) -> Ahead[Any]:
        found.append(ahead(transition, at))
        return found[-1]

    w.store.ahead = spy  # type: ignore[method-assign]
    return found


async def written_ahead(w: World, between: Callable[[], Awaitable[None]] | None = None) -> bool:
    """Let the crowd come due; whether what was written ahead was committed."""
    found = taken(w)
    w.loop._watch.kick.clear()
    firing = asyncio.create_task(w.loop._fire_ahead())
    while not w.clock.sleeping and not firing.done():
        await asyncio.sleep(0)
    if between is not None:
        await between()
    await w.clock.advance(LEAD)
    assert await firing
    (ahead,) = found
    committed = await ahead.outcome is not None
    await w.loop.fire_due()
    return committed


async def everything(w: World) -> dict[str, list[Any]]:
    """Every row of every table, and what the runtime was told."""
    tables = await w.rows("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    found = {name: await w.rows(f"SELECT * FROM {name}") for (name,) in tables}
    return {**found, "handed over": w.started, "cancelled": w.cancelled, "due": sorted(w.loop._due.items())}


def excluded(spec: ScheduleSpec, instant: datetime, zone: Any) -> str | None:
    return "calendar holidays: a holiday" if "holidays" in spec.exclude and instant == DUE else None


POLICIES = st.fixed_dictionaries(
    {
        "overlap": st.sampled_from(["skip", "buffer_one", "buffer_all", "cancel_running", "allow"]),
        "max_active_runs": st.integers(1, 2),
    },
    optional={
        "catchup": st.sampled_from(["latest", "all"]),
        "max_runs": st.integers(1, 3),
        "priority": st.integers(0, 2),
        "exclude": st.just(("holidays",)),
        "expect": st.just(Expect(start_within=60.0, finish_within=600.0)),
        "timezone": st.sampled_from(["Europe/Berlin", "America/New_York"]),
        "end_date": st.just(DUE + timedelta(minutes=5)),
    },
)
STATES = st.lists(
    st.sampled_from(["", "skip", "pause", "pause until", "trigger", "unknown"]), min_size=3, max_size=6
)


def brought_into(states: list[str], *, draining: bool, known: bool) -> Change:
    async def change(w: World, schedules: list[str]) -> None:
        w.loop._excluded = excluded
        w.known = known
        for schedule, state in zip(schedules[1:], states, strict=False):
            w.clock.set_wall(w.clock.now() + timedelta(seconds=1))  # ids tell by time

            def transition(tx: Tx, schedule: str = schedule, state: str = state) -> None:
                if state == "skip":
                    ops.skip_next(tx, schedule, actor=ALICE)
                elif state.startswith("pause"):
                    ops.pause(tx, schedule, actor=ALICE, until=DUE if state == "pause until" else None)
                elif state == "trigger" and known:
                    ops.trigger(tx, schedule, w.resolve, actor=ALICE)

            with suppress(ConflictError):  # nothing more is to come of it
                await w.store.write(transition)
        if draining:
            await w.store.write(lambda tx: ops.drain(tx, actor=ALICE, note="for the night"))

    return change


@pytest.mark.usefixtures("a_few_are_a_crowd")
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    policies=st.lists(POLICIES, min_size=6, max_size=10),
    states=STATES,
    draining=st.sampled_from([False, False, False, True]),
    known=st.sampled_from([True, True, True, False]),
)
def test_row_for_row_the_same(
    policies: list[dict[str, Any]], states: list[str], draining: bool, known: bool
) -> None:
    async def both() -> None:
        before = brought_into(states, draining=draining, known=known)
        async with crowd([{}, *policies], before) as (w, _):
            await w.at(DUE)
            expected = await everything(w)
        async with crowd([{}, *policies], before) as (w, _):
            assert await written_ahead(w)
            assert await everything(w) == expected

    asyncio.run(both())


async def pause(w: World, schedules: list[str]) -> None:
    await w.store.write(lambda tx: ops.pause(tx, schedules[0], actor=ALICE, note="wait"))


async def edit(w: World, schedules: list[str]) -> None:
    spec = ScheduleSpec(workflow="w", cron="30 * * * *", initial_state={"n": 0})
    await w.store.write(lambda tx: ops.edit(tx, schedules[0], spec, actor=ALICE))


async def trigger(w: World, schedules: list[str]) -> None:
    await w.store.write(lambda tx: ops.trigger(tx, schedules[0], w.resolve, actor=ALICE))


async def skip(w: World, schedules: list[str]) -> None:
    await w.store.write(lambda tx: ops.skip_next(tx, schedules[0], actor=ALICE))


async def remove(w: World, schedules: list[str]) -> None:
    await w.store.write(lambda tx: ops.remove(tx, schedules[0], actor=ALICE))


async def drain(w: World, schedules: list[str]) -> None:
    await w.store.write(lambda tx: ops.drain(tx, actor=ALICE))


async def no_such_workflow(w: World, schedules: list[str]) -> None:
    w.known = False


async def calendar(w: World, schedules: list[str]) -> None:
    w.loop._excluded = lambda spec, instant, zone: "calendar holidays: a holiday"


@pytest.mark.parametrize("change", [pause, edit, trigger, skip, remove, drain, no_such_workflow, calendar])
async def test_what_changes_between_is_honoured(change: Change) -> None:
    specs: list[dict[str, Any]] = [{"exclude": ("holidays",)}] * CROWD

    async def changed(w: World, schedules: list[str]) -> None:
        await change(w, schedules)
        await w.loop.refresh()  # as the engine does after each of them, and after reading its files again

    async with crowd(specs) as (w, schedules):
        assert await written_ahead(w)
        unchanged = await everything(w)
    async with crowd(specs) as (w, schedules):
        await changed(w, schedules)
        await w.at(DUE)
        expected = await everything(w)
    async with crowd(specs) as (w, schedules):
        assert not await written_ahead(w, lambda: changed(w, schedules))
        assert await everything(w) == expected != unchanged


async def test_without_a_word_a_write_is_enough_to_decide_anew() -> None:
    async with crowd([{}] * CROWD) as (w, schedules):
        assert not await written_ahead(w, lambda: pause(w, schedules))
        rows = await w.rows(f"SELECT count(*) FROM fires WHERE schedule_id = '{schedules[0]}'")
        assert rows == [(1,)]  # the one of an hour ago


async def test_what_is_asked_for_does_not_wait_until_a_crowd_is_worked_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, asked = threading.Event(), threading.Event()
    decided: list[str] = []

    async with crowd([{}] * CROWD) as (w, schedules):
        decide = w.loop._decide_one

        def slowly(firing: Any, bulk: Any, schedule: str) -> int | None:
            decided.append(schedule)
            begun.set()
            assert asked.wait(60)
            return decide(firing, bulk, schedule)

        monkeypatch.setattr(w.loop, "_decide_one", slowly)
        ahead = w.store.ahead(lambda tx: w.loop._decide_ahead(tx, sorted(schedules)), DUE)
        assert await asyncio.to_thread(begun.wait, 60)
        answer = w.store.write(lambda tx: tx.now)
        asked.set()
        assert await answer == w.clock.now()
        assert await ahead.outcome is None
        assert decided == sorted(schedules)[:1]


@pytest.mark.parametrize("minutes", [-30, 3, 180])
async def test_a_clock_that_is_set_meanwhile(minutes: int) -> None:
    async with crowd([{}] * CROWD) as (w, _):

        async def is_set() -> None:
            w.clock.set_wall(w.clock.now() + timedelta(minutes=minutes))

        assert not await written_ahead(w, is_set)
        ended = await w.rows(f"SELECT count(*) FROM fires WHERE nominal >= {to_us(DUE)} GROUP BY schedule_id")
        assert ended == ([] if minutes < 0 else [(1 + minutes // 60,)] * CROWD)


async def test_the_loop_does_so_by_itself() -> None:
    async with crowd([{}] * CROWD) as (w, _):
        found = taken(w)
        await w.loop.start()
        for hour in range(3):
            w.clock.set_wall(DUE + timedelta(hours=hour, seconds=-2))
            w.loop._watch.kick.set()
            while len(found) <= hour:
                await asyncio.sleep(0.001)
                await w.clock.advance(0.02)
            while not found[hour].outcome.done():
                await w.clock.advance(0.02)
            assert found[hour].outcome.result() is not None
        await w.loop.stop()
        decided = await w.rows(
            "SELECT count(*), min(decided_at) = nominal, max(decided_at) = nominal FROM fires"
            f" WHERE nominal >= {to_us(DUE)} GROUP BY nominal"
        )
        assert decided == [(CROWD, 1, 1)] * 3


async def test_a_few_that_are_due_together_are_no_crowd() -> None:
    async with crowd([{}] * (early.CROWD - 1)) as (w, _):
        w.loop._watch.kick.clear()
        assert not await w.loop._fire_ahead()
        w.clock.set_wall(DUE - timedelta(seconds=2))
        assert w.loop._until_needed(to_us(DUE)) == 2.0
    async with crowd([{}] * early.CROWD) as (w, _):
        w.clock.set_wall(DUE - timedelta(seconds=2))
        assert w.loop._until_needed(to_us(DUE)) == 2.0 - early.Lead().seconds(early.CROWD)


def test_how_long_before_is_learnt() -> None:
    lead = early.Lead()
    first = lead.seconds(1000)
    for _ in range(10):
        lead.learn(1000, 0.01)
    assert early.SLACK + 0.015 <= lead.seconds(1000) < early.SLACK + 0.02 < first
    lead.learn(1000, 60.0)
    assert lead.seconds(1000) == early.LONGEST
