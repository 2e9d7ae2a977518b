"""Reminders are sent once each, and escalations continue after a restart."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from tests.people.bench import YES, Bench, bench
from victor_engine.people.requests import RequestRef, due_requests, next_deadline
from victor_engine.store.db import open_store

HOUR = 3600.0


async def said(b: Bench, ref: RequestRef) -> list[tuple[int | None, int | None]]:
    return [(e.get("before"), e.get("left")) for e in await b.events(ref, "request.reminded")]


async def test_each_reminder_is_sent_once_before_the_deadline(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask(timeout_seconds=HOUR, reminders=(600.0, 120.0))
        start = b.clock.now()
        assert await b.store.read(next_deadline) == start + timedelta(seconds=HOUR - 600)
        await b.run_timers(ref, after=HOUR - 601)
        assert await said(b, ref) == []
        await b.run_timers(ref, after=1)
        await b.run_timers(ref)
        assert await said(b, ref) == [(600, 600)]
        await b.run_timers(ref, after=500)
        assert await said(b, ref) == [(600, 600), (120, 100)]
        assert await b.run_timers(ref, after=100) is not None
        assert len(await said(b, ref)) == 2


async def test_a_jump_of_the_clock_repeats_no_reminder(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask(timeout_seconds=HOUR, reminders=(600.0,))
        await b.run_timers(ref, after=HOUR - 500)
        await b.run_timers(ref, after=-HOUR)
        await b.run_timers(ref, after=HOUR - 50)
        assert len(await said(b, ref)) == 1


async def test_a_restart_neither_repeats_nor_loses_reminders(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask(timeout_seconds=HOUR, reminders=(600.0, 120.0))
        await b.run_timers(ref, after=HOUR - 600)
        clock = b.clock
    for expected in ([(600, 600)], [(600, 600), (120, 60)], [(600, 600), (120, 60)]):
        store = open_store(tmp_path / "victor.db", clock=clock)
        store.begin_epoch()
        store.start()
        again = Bench(store, clock)
        await again.run_timers(ref)
        assert await said(again, ref) == expected
        await store.close()
        if len(expected) == 1:
            clock.set_wall(clock.now() + timedelta(seconds=540))


async def test_missed_periodic_reminders_are_sent_once(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask(remind_every=600.0)
        for _ in range(3):
            await b.run_timers(ref, after=600)
        assert len(await said(b, ref)) == 3
        await b.run_timers(ref, after=6100)
        assert len(await said(b, ref)) == 4
        await b.run_timers(ref, after=499)
        assert len(await said(b, ref)) == 4
        await b.run_timers(ref, after=1)
        assert len(await said(b, ref)) == 5


@pytest.mark.parametrize("late", [0.0, 5000.0])
async def test_decided_or_overdue_requests_have_no_reminders(tmp_path: Path, late: float) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask(timeout_seconds=HOUR, reminders=(600.0,), remind_every=500.0)
        if not late:
            await b.answer(ref, YES)
        await b.run_timers(ref, after=late or 500)
        assert await said(b, ref) == []
        assert await b.all("SELECT * FROM reminders") == []
        later = b.clock.now() + timedelta(days=1)
        assert await b.store.read(lambda c: due_requests(c, later)) == []


async def test_a_chain_of_escalations_with_the_engine_killed_between_them(tmp_path: Path) -> None:
    steps = ({"to": "lead", "after": "10m"}, {"to": "manager", "after": "20m"}, {"to": "boss", "after": "5m"})
    async with bench(tmp_path) as b:
        ref = await b.ask(
            timeout_seconds=600.0,
            escalation=steps,
            assignees=("alice",),
            fallback="escalate",
            reminders=(120.0,),
        )
        clock = b.clock
    for wait, names in ((600, "lead"), (600, "manager"), (1200, "boss")):
        clock.set_wall(clock.now() + timedelta(seconds=wait - 60))
        store = open_store(tmp_path / "victor.db", clock=clock)
        store.begin_epoch()
        store.start()
        b = Bench(store, clock)
        assert await b.run_timers(ref) is None
        before = (await b.ask_row(ref)).assignees
        assert names not in before
        assert await b.run_timers(ref, after=60) is None
        assert (await b.ask_row(ref)).assignees == (*before, names)
        await store.close()
    store = open_store(tmp_path / "victor.db", clock=clock)
    store.begin_epoch()
    store.start()
    b = Bench(store, clock)
    assert await b.run_timers(ref, after=299) is None
    decision = await b.run_timers(ref, after=1)
    assert decision is not None
    assert decision.abort is not None
    assert [e["escalated_to"] for e in await b.events(ref, "request.escalated")] == [
        "lead",
        "manager",
        "boss",
    ]
    assert len(await said(b, ref)) == 4, "each deadline of the chain has its own reminder"
    await store.close()
