"""The event log: compact rows that are read as they were written, and pages that begin at an instant."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from victor_engine.api import EventInfo, EventQuery
from victor_engine.clock import FakeClock
from victor_engine.store.db import Store, open_store
from victor_engine.store.queries import events, events_after

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@asynccontextmanager
async def store(path: Path, clock: FakeClock) -> AsyncIterator[Store]:
    opened = open_store(path / "victor.db", clock=clock)
    opened.begin_epoch()
    opened.start()
    try:
        yield opened
    finally:
        await opened.close()


async def test_events_are_read_as_they_were_written(tmp_path: Path) -> None:
    told: list[EventInfo] = []
    async with store(tmp_path, FakeClock(NOON)) as s:
        s.listen(told.extend)
        for kind, data in (
            ("node.completed", {"iteration": 1}),
            ("node.completed", {"iteration": 3, "branch": "yes"}),
            ("node.started", {"attempt": 1, "iteration": 1, "by": "x"}),
            ("run.finished", {"status": "succeeded"}),
            ("node.completed", {"iteration": True}),
            ("engine.problem", {"iteration": 2}),
            ("circuit.opened", None),
        ):
            await s.write(lambda tx, k=kind, d=data: tx.event(k, workflow="w", node_id="n", data=d))  # type: ignore[misc]
        assert await s.read(lambda c: events_after(c, 0)) == told
        assert len(told) == 7
        found = await s.read(lambda c: events(c, EventQuery(kinds=("node.completed",))))
        assert [event.seq for event in found] == [5, 2, 1]
        found = await s.read(lambda c: events(c, EventQuery(kinds=("node.",), text="iteration")))
        assert [event.seq for event in found] == [5, 3, 2, 1]


async def test_a_page_since_an_instant_holds_what_nodes_did_and_survives_a_clock_that_is_set_back(
    tmp_path: Path,
) -> None:
    clock = FakeClock(NOON)
    minutes = {
        "run.started": 0, "node.completed": 10, "node.failed": 20, "run.finished": 30,
        "run.created": 5, "node.started": 15,  # the clock was set back
        "engine.stopped": 40,
    }  # fmt: skip
    async with store(tmp_path, clock) as s:
        for kind, minute in minutes.items():
            clock.set_wall(NOON + timedelta(minutes=minute))
            node = "n" if kind.startswith("node.") else None
            await s.write(lambda tx, k=kind, n=node: tx.event(k, node_id=n))  # type: ignore[misc]

        async def since(minute: int) -> list[str]:
            query = EventQuery(after=NOON + timedelta(minutes=minute))
            return [event.kind for event in await s.read(lambda c: events(c, query))]

        assert await since(0) == [*reversed(minutes)]
        assert await since(12) == ["engine.stopped", "node.started", "run.finished", "node.failed"]
        assert await since(35) == ["engine.stopped"]
        assert await since(41) == []
