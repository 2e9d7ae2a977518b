"""A store that version 0.1.0 wrote, opened by this version: each run goes on as it would have.

`write_store.py` made the store. It is that of an engine that was killed at `facts["now"]`.
"""

from __future__ import annotations

import asyncio
import json
import lzma
import shutil
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from victor_engine.api import (
    Actor,
    Answer,
    EventQuery,
    FireInfo,
    RequestInfo,
    RequestQuery,
    RunDetail,
    RunQuery,
)
from victor_engine.clock import FakeClock
from victor_engine.config import trust
from victor_engine.engine import Engine
from victor_engine.identity import acting_as
from victor_engine.store import schema

HERE = Path(__file__).parent
FACTS: dict[str, Any] = json.loads((HERE / "facts.json").read_text())
NOW = datetime.fromisoformat(FACTS["now"])
ALICE = Actor(user="alice", uid=70001, via="cli")
BOB = Actor(user="bob", uid=70002, via="cli")
CAROL = Actor(user="carol", uid=70003, via="cli")


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "VICTOR_STATE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def old_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("upgrade") / "victor.db"
    path.write_bytes(lzma.decompress((HERE / "store.db.xz").read_bytes()))
    # On this machine the process ids are those of other processes, which recovery must leave alone.
    connection = sqlite3.connect(path)
    connection.execute("UPDATE attempts SET pid = NULL, pgid = NULL, proc_start = NULL")
    connection.commit()
    connection.close()
    return path


@pytest.fixture(scope="session")
def upgraded_store(old_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The old store with the current schema. The migrations take longer than most tests."""
    path = tmp_path_factory.mktemp("upgraded") / "victor.db"
    shutil.copy(old_store, path)
    connection = sqlite3.connect(path, isolation_level=None)
    schema.migrate(connection, str(path))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return path


class Opened:
    """An engine of this version on the store of the old one."""

    def __init__(self, engine: Engine, clock: FakeClock, root: Path) -> None:
        self.engine = engine
        self.clock = clock
        self.root = root

    async def run(self, name: str) -> RunDetail:
        return await self.engine.run(FACTS["runs"][name])

    async def status(self, name: str) -> str:
        return (await self.run(name)).run.status

    async def ends(self, name: str, status: str = "succeeded") -> RunDetail:
        """Wait until a run has ended, and check how."""

        async def ended() -> RunDetail | None:
            found = await self.run(name)
            return found if found.run.finished_at is not None else None

        found = await until(ended)
        assert found.run.status == status, (name, found.run)
        return found  # type: ignore[no-any-return]

    async def request(self, name: str) -> RequestInfo:
        async def asked() -> RequestInfo | None:
            found = await self.engine.requests(RequestQuery(run_id=FACTS["runs"][name]))
            return found[0] if found else None

        found: RequestInfo = await until(asked)
        return found

    async def answer(self, name: str, answer: Answer, by: Actor = BOB) -> RequestInfo:
        request = await self.request(name)
        with acting_as(by):
            return await self.engine.answer(request.id, request.revision, answer)

    async def until_time(self, hour: int, minute: int, second: int = 0) -> None:
        """Let the time of the fixture's day come, in steps of a minute at most."""
        target = NOW.replace(hour=hour, minute=minute, second=second)
        while (left := (target - self.clock.now()).total_seconds()) > 0:
            await self.clock.advance(min(60.0, left))
            self.engine.runtime.deadlines_changed()
            await self.quiet(looks=2)
        await self.quiet()

    async def quiet(self, looks: int = 5) -> None:
        """Return when nothing has been written between so many looks in a row."""

        def written(connection: sqlite3.Connection) -> int:
            found: int = connection.execute("SELECT MAX(seq) FROM events").fetchone()[0]
            return found

        last, still = -1, 0
        while still < looks:
            await asyncio.sleep(0.01)
            now = await self.engine.store.read(written)
            still = still + 1 if now == last else 0
            last = now

    async def fire(self, name: str, hour: int, minute: int) -> FireInfo:
        """Wait for the decision about an instant of a schedule."""
        nominal = NOW.replace(hour=hour, minute=minute, second=0)

        async def decided() -> FireInfo | None:
            fires = await self.engine.fires(FACTS["schedules"][name], 20)
            return next((fire for fire in fires if fire.nominal == nominal), None)

        found: FireInfo = await until(decided)
        return found


async def until(found: Callable[[], Awaitable[Any]]) -> Any:
    """Return the first true value of `found`, which is asked again and again for up to 30 seconds."""
    async with asyncio.timeout(30):
        while not (value := await found()):
            await asyncio.sleep(0.01)
        return value


@asynccontextmanager
async def opened(tmp_path: Path, old_store: Path, now: datetime = NOW) -> AsyncIterator[Opened]:
    root, state = tmp_path / "workspace", tmp_path / "state"
    if not root.exists():
        shutil.copytree(HERE / "workspace", root)
        trust(root)
        state.mkdir(mode=0o700)
        shutil.copy(old_store, state / "victor.db")
    clock = FakeClock(now)
    with acting_as(ALICE):
        engine = await Engine.open(root, state, clock=clock)
        try:
            yield Opened(engine, clock, root)
        finally:
            await engine.close()


async def test_history_from_before_the_audit_chain_can_be_pruned(
    tmp_path: Path, upgraded_store: Path
) -> None:
    async with opened(tmp_path, upgraded_store, NOW + timedelta(days=3)) as old:
        file = old.root / "victor.yaml"
        file.write_text(file.read_text().replace("scheduler:\n", "scheduler:\n  history_retention_days: 1\n"))
        await old.engine.reload()
        plan = await old.engine.retention()
        assert sum(each.runs for each in plan.runs) > 0
        await old.engine.confirm_retention(plan.digest)

        async def gone() -> bool:
            events = await old.engine.events(EventQuery(kinds=("history.pruned",)))
            return any(event.data.get("rows") for event in events)  # the end of a round

        await until(gone)
        await old.quiet()
        report = await old.engine.verify_audit()
        assert report.intact, report.findings


async def test_the_audit_chain_of_the_old_store_begins_with_the_digest_of_all_before(
    tmp_path: Path, old_store: Path
) -> None:
    async with opened(tmp_path, old_store) as old:
        (first, *_) = await old.engine.audit_records()
        begun = json.loads(first.record)
        assert (first.seq, begun["event"]) == (1, "audit.begun")
        last = (await old.engine.audit_head()).seq
        open_one = (await old.engine.requests(RequestQuery(limit=1)))[0]
        with acting_as(BOB):
            await old.engine.claim(open_one.id)
        report = await old.engine.verify_audit(f"1:{first.digest}")
        assert report.intact, report.findings
        assert report.head.seq > last
        other = sqlite3.connect(tmp_path / "state" / "victor.db")
        other.execute(
            "UPDATE events SET actor = NULL WHERE seq = (SELECT MIN(seq) FROM events WHERE actor <> '')"
        )
        other.commit()
        other.close()
        (finding,) = (await old.engine.verify_audit()).findings
        assert "from before the chain were changed" in finding.message


async def test_the_old_store_keeps_its_rows_and_the_status_of_each_run(
    tmp_path: Path, old_store: Path
) -> None:
    async with opened(tmp_path, old_store) as old:
        assert FACTS["events"] >= 100_000
        for table, count in FACTS["counts"].items():
            condition = f"WHERE seq <= {FACTS['events']}" if table == "events" else ""

            def counted(connection: Any, table: str = table, condition: str = condition) -> int:
                found: int = connection.execute(f"SELECT count(*) FROM {table} {condition}").fetchone()[0]
                return found

            assert await old.engine.store.read(counted) >= count, table
        assert [p for p in old.engine.workspace.problems if p.severity == "error"] == []
        await old.quiet()
        assert {name: await old.status(name) for name in FACTS["runs"]} == FACTS["statuses"]
        page = await old.engine.events(EventQuery(limit=500))
        assert len(page) == 500
        long_run = next(run for run in await old.engine.runs(RunQuery(workflow="long", limit=1)))
        assert (await old.engine.run(long_run.id)).state == {"i": 60, "done": True}


async def test_a_run_that_was_at_work_does_its_interrupted_node_again(
    tmp_path: Path, upgraded_store: Path
) -> None:
    async with opened(tmp_path, upgraded_store) as old:
        (old.root / "open").touch()
        found = await old.ends("live")
        assert found.state["count"] == 2
        work = [attempt.status for attempt in found.attempts if attempt.node_id == "work"]
        assert work == ["interrupted", "succeeded"]


async def test_paused_runs_stay_paused_and_go_on_after_resume(tmp_path: Path, upgraded_store: Path) -> None:
    paused = ("paused", "moved_paused", "asking_paused")
    async with opened(tmp_path, upgraded_store) as old:
        await old.until_time(8, 30)
        assert [await old.status(name) for name in paused] == ["paused"] * 3
    async with opened(tmp_path, upgraded_store, NOW + timedelta(hours=2)) as old:
        await old.quiet()
        assert [await old.status(name) for name in paused] == ["paused"] * 3
        for name in paused:
            await old.engine.resume_run(FACTS["runs"][name])
        found = await old.ends("paused")
        assert found.state["count"] == 2
        assert [a.node_id for a in found.attempts] == ["begin", "work", "end"]
        for name in ("moved_paused", "asking_paused"):
            await old.answer(name, Answer(outcome="approved"))
        assert (await old.ends("asking_paused")).state["signed"] is True
        assert (await old.ends("moved_paused")).run.version == "2.0.0"


async def test_open_requests_take_their_answers(tmp_path: Path, upgraded_store: Path) -> None:
    async with opened(tmp_path, upgraded_store) as old:
        assert (await old.request("asking")).claimed_by == "bob"
        # The queue knows the assignees, claims and votes of the older release.
        rows = await old.engine.requests(RequestQuery())
        with acting_as(BOB):
            queue = await old.engine.requests(RequestQuery(answerable=True))
        free = [row.id for row in rows if row.claimed_by in (None, "bob")]
        assert {row.id for row in queue} == {
            row.id
            for row in rows
            if row.id in free
            and (not row.assignees or "bob" in row.assignees)
            and not any(vote.actor.user == "bob" and not vote.undone for vote in row.votes)
        }
        assert queue
        await old.answer("asking", Answer(outcome="approved", comment="yes"))
        assert (await old.ends("asking")).state["signed"] is True
        await old.answer("choosing", Answer(outcome="answered", value="south"))
        assert (await old.ends("choosing")).state["way"] == "south"
        await old.answer("filling", Answer(outcome="answered", value={"amount": 3}))
        assert (await old.ends("filling")).state["amount"] == 3
        await old.answer("reviewing", Answer(outcome="approved", value="A better draft"))
        assert (await old.ends("reviewing")).state["final"] == "A better draft"
        await old.answer("several", Answer(outcome="approved"))
        assert (await old.ends("several")).state["both"] == 2
        child = (await old.run("parent")).attempts[-1].child_run
        assert child is not None
        (asked,) = await old.engine.requests(RequestQuery(run_id=child))
        await old.engine.answer(asked.id, asked.revision, Answer(outcome="approved"))
        assert (await old.ends("parent")).state["signed"] is True


async def test_voted_requests_need_only_the_missing_vote(tmp_path: Path, upgraded_store: Path) -> None:
    async with opened(tmp_path, upgraded_store) as old:
        assert [vote.actor.user for vote in (await old.request("voting")).votes] == ["alice"]
        assert (await old.answer("voting", Answer(outcome="approved"), BOB)).status == "answered"
        assert (await old.ends("voting")).state["agreed"] is True
        asked = await old.request("chained")
        assert (asked.stage, [vote.actor.user for vote in asked.votes]) == (1, ["alice"])
        assert (await old.answer("chained", Answer(outcome="approved"), CAROL)).status == "answered"
        assert (await old.ends("chained")).state["signed"] is True


async def test_retries_waits_and_deadlines_come_at_their_time(tmp_path: Path, upgraded_store: Path) -> None:
    async with opened(tmp_path, upgraded_store) as old:
        (old.root / "repaired").touch()
        await old.until_time(7, 45, 0)
        assert [await old.status(n) for n in ("retrying", "retrying_later")] == ["running", "running"]
        assert await old.status("taken_back") == "waiting"
        await old.until_time(7, 45, 40)
        found = await old.ends("retrying")
        assert [(a.number, a.status) for a in found.attempts if a.node_id == "fetch"] == [
            (1, "failed"),
            (2, "succeeded"),
        ]
        assert await old.status("retrying_later") == "running"
        await old.until_time(7, 55, 40)
        assert (await old.ends("retrying_later")).state["total"] == 13
        assert (await old.ends("taken_back")).state["sure"] is True
        await old.until_time(9, 14)
        assert await old.status("sleepy") == "waiting"
        await old.until_time(9, 20)
        assert (await old.ends("sleepy")).state["rested"] is True
        assert await old.status("silent") == "waiting"
        await old.until_time(10, 20)
        assert (await old.ends("silent")).state["heard"] is False


async def test_dead_letters_can_be_retried(tmp_path: Path, upgraded_store: Path) -> None:
    async with opened(tmp_path, upgraded_store) as old:
        (group,) = await old.engine.dead_letters()
        assert set(group.run_ids) == {FACTS["runs"]["dead"], FACTS["runs"]["dead_redriven"]}
        (old.root / "repaired").touch()
        await old.engine.retry_run(FACTS["runs"]["dead"])
        assert (await old.ends("dead")).state["total"] == 13
        await old.engine.redrive_run(FACTS["runs"]["dead_redriven"], "fetch")
        assert (await old.ends("dead_redriven")).state["total"] == 13
        assert await old.engine.dead_letters() == []


async def test_moved_runs_go_on_at_their_version(tmp_path: Path, upgraded_store: Path) -> None:
    async with opened(tmp_path, upgraded_store) as old:
        await old.answer("moved_waiting", Answer(outcome="approved"))
        found = await old.ends("moved_waiting")
        assert (found.run.version, found.state["checked"], found.state["done"]) == ("2.0.0", "old", 2)
        await old.answer("moved_back", Answer(outcome="approved"))
        found = await old.ends("moved_back")
        assert (found.run.version, found.state["name"], found.state["done"]) == ("1.0.0", "old", 1)


async def test_schedules_fire_with_what_was_edited(tmp_path: Path, upgraded_store: Path) -> None:
    async with opened(tmp_path, upgraded_store) as old:
        due = {s.id: s.next_fire.isoformat() if s.next_fire else None for s in await old.engine.schedules()}
        assert due == FACTS["next"]
        hourly = await old.engine.schedule(FACTS["schedules"]["hourly"])
        assert set(hourly.overridden) == {"cron", "initial_state"}
        (asked,) = await old.engine.requests(RequestQuery(run_id=(await old.fire("moved", 7, 25)).run_id))
        assert asked.version == "2.0.0"
        await old.engine.answer(asked.id, asked.revision, Answer(outcome="approved"))
        await old.until_time(10, 20)
        fired = await old.fire("hourly", 8, 30)
        assert fired.outcome == "started"
        assert fired.run_id is not None
        assert (await old.engine.run(fired.run_id)).state == {"by": "override", "seen": "override"}
        assert (await old.fire("once", 10, 10)).outcome == "started"
        assert (await old.fire("daily", 10, 15)).local == "2026-05-04T12:15"
        assert (await old.fire("skipping", 7, 35)).outcome == "skipped"
        assert (await old.fire("skipping", 8, 25)).outcome == "started"
        resting = await old.engine.schedule(FACTS["schedules"]["resting"])
        assert resting.paused is not None
        assert resting.paused.note == "at rest"
        assert resting.active_runs == 0
        after = await old.engine.fires(FACTS["schedules"]["chain_end"], 50)
        assert sum(fire.nominal >= NOW.astimezone(UTC) for fire in after) >= 3
        moved = await old.fire("moved", 8, 55)
        assert moved.run_id is not None
        assert (await old.engine.run(moved.run_id)).run.version == "2.0.0"


async def test_a_fire_that_waited_behind_a_run_starts_after_it(tmp_path: Path, upgraded_store: Path) -> None:
    async with opened(tmp_path, upgraded_store) as old:
        waiting = await old.engine.runs(RunQuery(workflow="buffered"))
        second, first = waiting[0], waiting[1]
        assert (second.status, first.status) == ("queued", "waiting")
        (asked,) = await old.engine.requests(RequestQuery(run_id=first.id))
        await old.engine.answer(asked.id, asked.revision, Answer(outcome="approved"))

        async def began() -> bool:
            return (await old.engine.run(second.id)).run.status == "waiting"

        await until(began)
