"""History that ends: only confirmed rules delete it, and only what nothing needs any more."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.engine.support import ME, question, until_end, workspace
from tests.store.seed import plans
from victor_engine.api import Answer, BackfillSpec, EventQuery, RunQuery
from victor_engine.clock import FakeClock, to_us
from victor_engine.config import load_config
from victor_engine.domain.retention import Retention, RetentionRule
from victor_engine.engine import Engine
from victor_engine.engine.retention import INTERVAL, LARGEST_STEP, STEP_SECONDS, next_size
from victor_engine.engine.retention_plan import SCANNED
from victor_engine.errors import ConfigError, ConflictError
from victor_engine.identity import acting_as
from victor_engine.runs.evaluation_note import Memory, Note
from victor_engine.runs.quarantine import DEATHS, FILE
from victor_engine.store import schema
from victor_engine.store.db import Tx
from victor_engine.store.queries.retention import prunable
from victor_engine.store.repositories import retention as repository

START = datetime(2026, 1, 1, 12, 30, tzinfo=UTC)
DAY = 86_400
FILES = {
    "victor.yaml": """
        scheduler: {history_retention_days: 30}
        retention:
          rules:
            - {workflows: [tick], count: 4}
            - {workflows: [kept]}
            - {statuses: [succeeded, failed, rejected], days: 5}
          audit_days: 50
        """,
    "w.yaml": """
        workflows:
          tick:
            schedule: {every: 6h, overlap: allow, misfire_grace: 1d}
            nodes: [{id: a, type: transform, transform: "a = 1"}]
          kept:
            nodes: [{id: a, type: transform, transform: "a = 1"}]
          broken:
            nodes: [{id: a, type: transform, transform: "a = missing.key"}]
          ask:
            nodes:
              - {id: gate, type: hitl, hitl_type: approval, next: [after]}
              - {id: after, type: transform, transform: "said = gate"}
        """,
}


@asynccontextmanager
async def engine_at(root: Path, clock: FakeClock) -> AsyncIterator[Engine]:
    with acting_as(ME):
        engine = await Engine.open(root, root / ".state", clock=clock)
        try:
            yield engine
        finally:
            await engine.close()


async def pass_days(engine: Engine, clock: FakeClock, days: float) -> None:
    """Let time pass in steps of six hours, and wait for the run of each fire."""
    for _ in range(int(days * 4)):
        last = (await engine.engine()).last_event
        await clock.advance(6 * 3600)
        async with asyncio.timeout(60):
            while not await finished(engine, last):
                await clock.advance(1)  # the scheduler may have begun its wait before the step


async def finished(engine: Engine, after: int) -> bool:
    found = await engine.events(EventQuery(kinds=("run.finished",), limit=1))
    return bool(found) and found[0].seq > after


async def runs_of(engine: Engine) -> dict[str, str]:
    return {run.id: run.workflow for run in await engine.runs(RunQuery(limit=10_000))}


async def pruned(engine: Engine, clock: FakeClock, after: int) -> None:
    """Wait for the event that ends a round."""
    async with asyncio.timeout(60):
        while True:
            for event in await engine.events(EventQuery(kinds=("history.pruned",))):
                if event.seq > after and "rows" in event.data:
                    return
            await clock.advance(1)  # the pause after a step in which the clock advanced


async def test_confirmed_rules_delete_what_nothing_needs_any_more(tmp_path: Path) -> None:
    root, clock = workspace(tmp_path, FILES), FakeClock(START)
    async with engine_at(root, clock) as engine:
        answered = (await engine.start_run("ask")).id
        asked = await question(engine, answered)
        await engine.answer(asked.id, asked.revision, Answer(outcome="approved", comment="yes"))
        await until_end(engine, answered)
        waiting = (await engine.start_run("ask")).id
        await question(engine, waiting)
        failed, discarded = [(await engine.start_run("broken")).id for _ in range(2)]
        await until_end(engine, failed)
        await until_end(engine, discarded)
        await engine.discard_run(discarded)
        kept = (await engine.start_run("kept")).id
        await until_end(engine, kept)
        await pass_days(engine, clock, 6)
        before = await runs_of(engine)
        assert list(before.values()).count("tick") == 24

        (problem,) = [p for p in (await engine.engine()).problems if "retention" in p.message]
        assert "not in force: its rules were not confirmed" in problem.message
        assert "victor db prune --confirm" in problem.remedy
        plan = await engine.retention()
        assert not plan.in_force
        counts = {(each.workflow, each.status): each.runs for each in plan.runs}
        assert counts == {("ask", "succeeded"): 1, ("broken", "failed"): 1, ("tick", "succeeded"): 20}
        assert plan.kept == 1, "the dead letter"
        with pytest.raises(ConflictError, match="the rules of retention have changed"):
            await engine.confirm_retention("another")
        assert await runs_of(engine) == before, "nothing goes before the confirmation"

        last = (await engine.engine()).last_event
        confirmed = await engine.confirm_retention(plan.digest)
        assert (confirmed.in_force, confirmed.confirmed_by) == (True, ME.user)
        await pruned(engine, clock, last)
        after = await runs_of(engine)
        ticks = [run for run, workflow in before.items() if workflow == "tick"]  # newest first
        assert set(after) == {waiting, failed, kept, *ticks[:4]}
        assert not [p for p in (await engine.engine()).problems if "retention" in p.message]
        (dead,) = await engine.dead_letters()
        assert dead.run_ids == (failed,)
        assert (await engine.verify_audit(None)).intact, "the chain records that these decisions were pruned"
        assert not await engine.events(EventQuery(run_id=waiting, kinds=("request.answered",)))

        # The engine continues: the request of the kept run is answered, and the next fires happen.
        asked = await question(engine, waiting)
        await engine.answer(asked.id, asked.revision, Answer(outcome="approved"))
        await until_end(engine, waiting)
        await pass_days(engine, clock, 1)
        assert list((await runs_of(engine)).values()).count("tick") <= 4 + 4
        assert (await engine.verify_audit(None)).intact
    async with engine_at(root, clock) as engine:
        assert (await engine.retention()).in_force, "a restart needs no new confirmation"
        assert (await engine.verify_audit(None)).intact


async def test_changed_rules_need_a_new_confirmation(
    tmp_path: Path,
) -> None:
    root, clock = workspace(tmp_path, FILES), FakeClock(START)
    async with engine_at(root, clock) as engine:
        plan = await engine.retention()
        await engine.confirm_retention(plan.digest)
        (root / "victor.yaml").write_text(
            "scheduler: {history_retention_days: 1}\nretention: {audit_days: 60}\n"
        )
        await engine.reload()
        assert not (await engine.retention()).in_force
        (problem,) = [p for p in (await engine.engine()).problems if "retention" in p.message]
        assert "have changed since they were confirmed" in problem.message

        answered = (await engine.start_run("ask")).id
        asked = await question(engine, answered)
        await engine.answer(asked.id, asked.revision, Answer(outcome="approved"))
        await until_end(engine, answered)
        for _ in range(2):  # the newest run and attempt stay, so that their numbers are not used again
            await until_end(engine, (await engine.start_run("kept")).id)
        records = (await engine.audit_head()).seq
        await pass_days(engine, clock, 3)
        assert answered in await runs_of(engine)
        last = (await engine.engine()).last_event
        await engine.confirm_retention((await engine.retention()).digest)
        await pruned(engine, clock, last)
        assert answered not in await runs_of(engine)
        assert not await engine.events(EventQuery(kinds=("request.",)))
        head = await engine.audit_head()
        assert head.pruned_seq == 0
        assert len(await engine.audit_records(0)) == head.seq > records, (
            "the chain is kept longer than the runs"
        )
        assert (await engine.verify_audit(None)).intact

        clock.set_wall(clock.now() + timedelta(days=65))
        (root / "victor.yaml").write_text(
            "scheduler: {history_retention_days: 1}\nretention: {audit_days: 60}\n#\n"
        )
        await engine.reload()  # begins a round
        async with asyncio.timeout(60):
            while (await engine.audit_head()).pruned_seq == 0:
                await clock.advance(1)
        report = await engine.verify_audit(None)
        assert report.intact
        assert report.head.pruned_seq >= records


async def test_a_history_that_another_hand_deleted_is_still_found(tmp_path: Path) -> None:
    root, clock = workspace(tmp_path, FILES), FakeClock(START)
    async with engine_at(root, clock) as engine:
        await engine.confirm_retention((await engine.retention()).digest)
        runs = [(await engine.start_run("ask")).id for _ in range(3)]
        for run in runs:
            asked = await question(engine, run)
            await engine.answer(asked.id, asked.revision, Answer(outcome="approved"))
            await until_end(engine, run)
        await pass_days(engine, clock, 6)
        async with asyncio.timeout(60):
            while runs[0] in await runs_of(engine):
                await clock.advance(3600)
    async with engine_at(root, clock) as engine:
        assert (await engine.verify_audit(None)).intact
        extra = (await engine.start_run("kept")).id
        await until_end(engine, extra)
    with closing(sqlite3.connect(root / ".state" / "victor.db")) as connection, connection:
        connection.execute("DELETE FROM events WHERE run_key = (SELECT key FROM runs WHERE id = ?)", (extra,))
    async with engine_at(root, clock) as engine:
        report = await engine.verify_audit(None)
        assert [finding.kind for finding in report.findings] == ["deleted"]


async def test_a_run_with_many_rows_goes_in_several_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("victor_engine.engine.retention.DETAILS", 50)
    files = {**FILES, "w.yaml": FILES["w.yaml"].replace("a = missing.key", "a = 1")}
    root, clock = workspace(tmp_path, files), FakeClock(START)
    async with engine_at(root, clock) as engine:
        long = (await engine.start_run("broken")).id
        await until_end(engine, long)
        await until_end(engine, (await engine.start_run("kept")).id)

        def lines(tx: Tx) -> None:
            (key,) = tx.execute("SELECT key FROM runs WHERE id = ?", (long,)).fetchone()
            for number in range(400):
                tx.connection.execute(
                    "INSERT INTO logs VALUES (NULL, ?, 1, 1, 'stdout', ?)", (key, str(number))
                )

        await engine.store.write(lines)
        await pass_days(engine, clock, 6)
        steps: list[int] = []
        details = repository.prune_details

        def counted(tx: Tx, key: int, limit: int) -> int:
            steps.append(details(tx, key, limit))
            return steps[-1]

        monkeypatch.setattr(repository, "prune_details", counted)
        last = (await engine.engine()).last_event
        await engine.confirm_retention((await engine.retention()).digest)
        await pruned(engine, clock, last)
        assert long not in await runs_of(engine)
        assert sum(steps) >= 400
        assert max(steps) <= 100
        left = await engine.store.read(lambda c: c.execute("SELECT COUNT(*) FROM logs").fetchone()[0])
        assert left == 0


async def test_ended_backfills_and_old_deployments_are_deleted(tmp_path: Path) -> None:
    flow = """
        workflows:
          daily:
            schedule: {cron: "0 0 * * *", catchup: latest}
            nodes: [{id: a, type: transform, transform: "a = 1"}]
        """
    files = {"victor.yaml": "scheduler: {history_retention_days: 30}\n", "w.yaml": flow}
    root, clock = workspace(tmp_path, files), FakeClock(START)
    async with engine_at(root, clock) as engine:
        (schedule,) = await engine.schedules()

        async def fill(first: int, last: int) -> int:
            days = BackfillSpec(
                schedule.id,
                datetime(2025, 12, first, tzinfo=UTC),
                datetime(2025, 12, last, tzinfo=UTC),
                concurrency=5,
            )
            found = await engine.start_backfill(days)
            async with asyncio.timeout(60):
                while (await engine.backfills())[0].status != "finished":
                    await clock.advance(1)
            return found.id

        await fill(1, 4)
        newest = await fill(11, 14)
        for number in (2, 3, 4):
            (root / "w.yaml").write_text(flow.replace("a = 1", f"a = {number}"))
            await engine.reload()
        plan = await engine.plan_deployment(undo=True)
        await engine.deploy(plan.plan, undo=True)
        assert [(each.number, each.undoes) for each in await engine.deployments()] == [
            (5, 4), (4, None), (3, None), (2, None), (1, None),
        ]  # fmt: skip
        await engine.confirm_retention((await engine.retention()).digest)

        last = (await engine.engine()).last_event
        clock.set_wall(clock.now() + timedelta(days=40))
        await clock.advance(INTERVAL)
        await pruned(engine, clock, last)
        assert [each.id for each in await engine.backfills()] == [newest]
        fires = await engine.store.read(
            lambda c: c.execute("SELECT DISTINCT backfill_id FROM backfill_fires").fetchall()
        )
        assert fires == [(newest,)]
        assert [each.number for each in await engine.deployments()] == [5, 4, 3], "3 can be undone"
        plan = await engine.plan_deployment(undo=True)
        assert (await engine.deploy(plan.plan, undo=True)).undoes == 3
        assert (await engine.verify_audit(None)).intact


async def test_a_quarantined_run_is_never_deleted(tmp_path: Path) -> None:
    files = {
        "victor.yaml": "scheduler: {history_retention_days: 30}\n",
        "w.yaml": """
            workflows:
              wait:
                nodes: [{id: w, type: wait, file: ready}]
              kept:
                nodes: [{id: a, type: transform, transform: "a = 1"}]
            """,
    }
    root, clock = workspace(tmp_path, files), FakeClock(START)
    async with engine_at(root, clock) as engine:
        held, waits = [(await engine.start_run("wait")).id for _ in range(2)]
        async with asyncio.timeout(60):
            while {(await engine.run(run)).run.status for run in (held, waits)} != {"waiting"}:
                await asyncio.sleep(0)
        key = await engine.store.read(lambda c: c.execute("SELECT MIN(key) FROM runs").fetchone()[0])
    for _ in range(DEATHS):
        memory = Memory(root / ".state" / FILE)
        memory.write(Note(key))
        memory.close()
        async with engine_at(root, clock):
            pass
    async with engine_at(root, clock) as engine:
        assert (await engine.run(held)).run.quarantine
        await engine.cancel_run(waits)
        for _ in range(2):
            await until_end(engine, (await engine.start_run("kept")).id)
        await engine.confirm_retention((await engine.retention()).digest)
        last = (await engine.engine()).last_event
        clock.set_wall(clock.now() + timedelta(days=400))
        await clock.advance(INTERVAL)
        await pruned(engine, clock, last)
        assert waits not in await runs_of(engine)
        assert (await engine.run(held)).run.quarantine


def test_a_check_of_many_runs_reads_these_runs_alone() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        schema.migrate(connection, ":memory:")
        for count in (1, 10, 50, LARGEST_STEP, SCANNED):
            statements: list[str] = []
            connection.set_trace_callback(statements.append)
            prunable(connection, range(1, count + 1))
            connection.set_trace_callback(None)
            steps = [step for _, step in plans(connection, statements)]
            assert "SEARCH r USING INTEGER PRIMARY KEY (rowid=?)" in steps, steps


def test_the_first_rule_that_covers_a_run_decides_it() -> None:
    rules = Retention(
        (
            RetentionRule(("etl-*",), ("succeeded",), days=2),
            RetentionRule(("etl-*",), (), count=10),
            RetentionRule(days=30),
        )
    )
    now = to_us(START)

    def expires(workflow: str, status: str, days: float, key: int = 100) -> bool:
        ended = now - int(days * DAY * 1_000_000)
        return rules.expires(workflow, status, key, ended, now, {(1, "etl-a"): 50})

    assert not expires("etl-a", "succeeded", 1.9)
    assert expires("etl-a", "succeeded", 2.1)
    assert not expires("etl-a", "failed", 400), "one of the newest ten"
    assert expires("etl-a", "failed", 1, key=49)
    assert not expires("etl-a", "failed", 0.01, key=49), "every run is kept for an hour"
    assert not expires("etl-b", "failed", 400, key=1), "fewer than ten runs"
    assert not expires("other", "failed", 29)
    assert expires("other", "failed", 31)
    assert rules.longest_days("other") == 30
    assert rules.longest_days("etl-a") is None, "a rule without days keeps its fires for ever"
    assert Retention((RetentionRule(("a",), (), days=3),)).longest_days() is None
    assert Retention((RetentionRule(days=3),)).longest_days() == 3


def test_a_step_shrinks_when_it_takes_long() -> None:
    size = 100
    for _ in range(10):
        size = next_size(size, 2 * STEP_SECONDS)
    assert size == 1
    for _ in range(100):
        size = next_size(size, STEP_SECONDS / 2)
    assert size == LARGEST_STEP


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "retention: {rules: [{days: 10}], audit_days: 5}",
            "audit_days in retention is 5, but runs are kept for 90",
        ),
        ("retention: {rules: [{statuses: [running]}]}", "'running' is not the status of an ended run"),
        ("retention: {rules: [{day: 3}]}", "Did you mean 'days'"),
        ("retention: {rules: [{days: 0}]}", "must be at least 1"),
        ("retention: {rules: 3}", "rules in retention must be a list"),
        ("retention: {audit: 3}", "unknown key 'audit' in retention"),
    ],
)
def test_a_wrong_rule_is_an_error_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    root = workspace(tmp_path, {"victor.yaml": text})
    with pytest.raises(ConfigError, match=re.escape(words)) as error:
        load_config(root)
    assert "victor.yaml:1:" in error.value.message
