"""The feed: only what is watched, never faster than the interval, and errors that are said."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.message import Message

from tests.engine.support import engine_on, workspace
from tests.tui.realport import BO, PATIENCE, RealPort
from victor_engine.api import Actor, EventInfo, Port, RunQuery, ScheduleSpec
from victor_engine.api.port import PortMethod
from victor_engine.errors import StorageError, StoreError
from victor_engine.service import connection
from victor_engine.service.client import Client
from victor_engine.service.guard import OwnerOnly
from victor_engine.service.server import PortServer
from victor_tui.feed import Connected, Feed, LoadFailed, Lost, Refreshed, stale_subjects


class Gate:
    """A sleep that lasts until the test lets it end."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self._go: asyncio.Event = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.asked.append(seconds)
        await self._go.wait()
        self._go.clear()

    async def open(self) -> None:
        """Let the sleep end, and wait for the next one."""
        before = len(self.asked)
        self._go.set()
        await until(lambda: len(self.asked) > before)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.001)


class HearingFeed(Feed):
    """A feed that notes the number of each event that it has received."""

    last = 0

    def _note(self, event: EventInfo) -> None:
        super()._note(event)
        self.last = event.seq

    async def has_heard(self, port: RealPort) -> None:
        """Wait until the last event of the engine has arrived."""
        last = (await port.engine_.engine()).last_event
        await until(lambda: self.last >= last)


def counted(counts: list[str], name: str, loader: Callable[[Port], Any]) -> Callable[[Port], Any]:
    async def load(port: Port) -> Any:
        counts.append(name)
        return await loader(port)

    return load


FLOW: dict[str, Any] = {"nodes": [{"id": "only", "type": "transform", "transform": "done = 1"}]}


async def test_refreshes_are_bundled_and_only_of_what_is_watched(bare: RealPort) -> None:
    await bare.add("flow", FLOW)
    gate, counts = Gate(), list[str]()
    feed = HearingFeed(bare.connect, list[Message]().append, interval=0.1, sleep=gate.sleep)
    feed.watch({"runs": counted(counts, "runs", lambda p: p.runs(RunQuery()))})
    task = asyncio.create_task(feed.run())
    await until(lambda: gate.asked)
    assert counts == ["runs"]
    assert gate.asked == [0.1]
    for _ in range(10):
        await bare.by(BO, "start_run", "flow")
    await bare.by(BO, "add_schedule", ScheduleSpec("flow", cron="@daily"))
    await feed.has_heard(bare)
    assert counts == ["runs"]
    await gate.open()
    assert counts == ["runs", "runs"]
    feed.watch({"schedules": counted(counts, "schedules", lambda p: p.schedules())})
    await until(lambda: len(gate.asked) == 3)
    await bare.by(BO, "start_run", "flow")
    await feed.has_heard(bare)
    await gate.open()
    assert counts == ["runs", "runs", "schedules", "schedules"]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert bare._broken == []


async def test_a_failing_load_is_said_and_the_feed_goes_on(bare: RealPort) -> None:
    posted = list[Message]()
    gate = Gate()

    async def broken(port: Port) -> Any:
        raise StoreError("the disk is full")

    await bare.add("flow", FLOW)
    await bare.by(BO, "add_schedule", ScheduleSpec("flow", cron="@daily"))
    feed = Feed(bare.connect, posted.append, sleep=gate.sleep)
    feed.watch({"runs": broken, "schedules": lambda p: p.schedules()})
    task = asyncio.create_task(feed.run())
    await until(lambda: "schedules" in feed.snapshots)
    failed = [m for m in posted if isinstance(m, LoadFailed)]
    assert [m.error.message for m in failed] == ["the disk is full"]
    assert [each.spec.workflow for each in feed.snapshots["schedules"]] == ["flow"]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_hopeless_errors_end_the_tries() -> None:
    posted = list[Message]()

    async def connect() -> Port:
        raise StoreError("the state directory is on a network file system")

    await Feed(connect, posted.append).run()
    assert [type(m) for m in posted] == [Lost]
    assert posted[0].retry_in is None  # type: ignore[attr-defined]


async def test_a_full_disk_is_not_hopeless() -> None:
    posted = list[Message]()

    async def connect() -> Port:
        raise StorageError("the disk is full")

    async def sleep(seconds: float) -> None:
        if len(posted) == 2:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await Feed(connect, posted.append, sleep=sleep).run()
    assert [m.retry_in is not None for m in posted] == [True, True]  # type: ignore[attr-defined]


async def test_messages_of_one_subject_replace_each_other(bare: RealPort) -> None:
    assert Refreshed("runs").can_replace(Refreshed("runs"))
    assert not Refreshed("runs").can_replace(Refreshed("engine"))
    assert not Refreshed("runs").can_replace(Connected(bare))


def test_an_unknown_event_makes_everything_stale() -> None:
    assert stale_subjects("something.new") >= {"runs", "schedules", "requests", "workflows", "events"}
    assert "schedules" not in stale_subjects("node.started")
    assert {"schedules", "agenda"} <= stale_subjects("fire.decided")
    assert {"schedules", "engine"} <= stale_subjects("sla.breached")
    assert {"schedules", "runs"} <= stale_subjects("backfill.started")
    assert "engine" in stale_subjects("engine.draining")


async def test_what_a_new_screen_needs_waits_for_no_pause_and_for_nothing_else(bare: RealPort) -> None:
    gate, counts = Gate(), list[str]()
    feed = HearingFeed(bare.connect, list[Message]().append, interval=0.1, sleep=gate.sleep)
    feed.keep("engine", counted(counts, "engine", lambda p: p.engine()))
    feed.watch({"schedules": counted(counts, "schedules", lambda p: p.schedules())})
    task = asyncio.create_task(feed.run())
    await until(lambda: gate.asked)
    assert counts == ["schedules", "engine"]
    await bare.by(BO, "drain")
    await feed.has_heard(bare)
    assert counts == ["schedules", "engine"], "what changes by itself waits for the pause to end"
    feed.watch(
        {
            "workflows": counted(counts, "workflows", lambda p: p.workflows()),
            "aliases": counted(counts, "aliases", lambda p: p.aliases()),
        }
    )
    await until(lambda: len(gate.asked) == 2)
    assert counts == ["schedules", "engine", "workflows", "aliases", "engine"]
    assert gate.asked == [0.1, 0.1]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


class Slow(OwnerOnly):
    """A gate whose calls wait while it is held."""

    def __init__(self, port: Port) -> None:
        super().__init__(port)
        self.open = asyncio.Event()
        self.open.set()

    async def call(self, actor: Actor, method: PortMethod, given: dict[str, Any]) -> Any:
        await self.open.wait()
        return await super().call(actor, method, given)


async def test_an_engine_that_does_not_answer_is_shown_until_it_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "NOTE_SECONDS", 0.1)
    posted = list[Message]()
    async with engine_on(workspace(tmp_path, {"victor.yaml": ""})) as engine:
        gate = Slow(engine)
        server = PortServer(engine, tmp_path / "s" / "engine.sock", gate=gate)
        await server.start()
        feed = Feed(lambda: Client.connect(server.path, via="console"), posted.append, interval=0.01)
        feed.watch({"runs": lambda port: port.runs(RunQuery())})
        task = asyncio.create_task(feed.run())
        await until(lambda: "runs" in feed.snapshots)
        assert [type(m) for m in posted if isinstance(m, Connected | Lost)] == [Connected]

        gate.open.clear()
        feed.mark_stale("runs")
        await until(lambda: [m for m in posted if isinstance(m, Lost)])
        lost = next(m for m in posted if isinstance(m, Lost))
        assert re.fullmatch(r"the engine has not answered for \d+ seconds \(runs\)", lost.error.message)
        assert lost.retry_in is None

        gate.open.set()
        await until(lambda: len([m for m in posted if isinstance(m, Connected)]) == 2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await server.close()
