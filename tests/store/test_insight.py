"""Typical durations, stuck runs, statistics, and the state before and after an attempt."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.store.seed import ALICE, NOW, add_attempt, add_definition, finish
from victor_engine import jsonio
from victor_engine.api import ACTIVE_RUN_STATUSES, RunInfo, RunQuery
from victor_engine.clock import FakeClock
from victor_engine.errors import NotFoundError
from victor_engine.store import queries
from victor_engine.store.db import Store, Tx, open_store
from victor_engine.store.patch import Patch
from victor_engine.store.queries.typical_durations import percentile
from victor_engine.store.runs import NewRun, insert_run

SECOND = 1_000_000


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    found = open_store(tmp_path / "victor.db", clock=FakeClock(NOW))
    found.start()
    found.begin_epoch()
    yield found
    await found.close()


def ended(tx: Tx, definition: int, seconds: float, node_seconds: float = 2, status: str = "succeeded") -> int:
    """A run of two nodes that has ended."""
    key, _ = insert_run(tx, NewRun(workflow="copy", definition_id=definition, start_node="plan", actor=ALICE))
    end = tx.now_us + int(node_seconds * SECOND)
    add_attempt(tx, key, "plan", "succeeded", definition_id=definition, finished_at=tx.now_us + SECOND)
    add_attempt(tx, key, "copy", "succeeded", definition_id=definition, finished_at=end)
    finish(tx, key, status, seconds, nodes_done=2)
    return key


def at_work(tx: Tx, definition: int, node: str = "copy", ago: float = 0.0, status: str = "running") -> str:
    """A run whose node has been at work since `ago` seconds."""
    key, run_id = insert_run(tx, NewRun(workflow="copy", definition_id=definition, start_node="plan"))
    began = tx.now_us - int(ago * SECOND)
    add_attempt(tx, key, node, status, definition_id=definition, started_at=began)
    tx.execute("UPDATE runs SET status = 'running', started_at = ? WHERE key = ?", (began, key))
    return run_id


def info(connection: sqlite3.Connection, run_id: str) -> RunInfo:
    return queries.run_info(connection, run_id, NOW)


def test_percentiles_lie_between_neighbours() -> None:
    assert percentile([5.0], 0.95) == 5.0
    assert percentile([0.0, 10.0], 0.5) == 5.0
    assert percentile([float(n) for n in range(101)], 0.95) == 95.0


async def test_a_node_that_takes_far_longer_than_ever_makes_its_run_stuck(store: Store) -> None:
    def seed(tx: Tx) -> tuple[str, str, str]:
        one = add_definition(tx, "copy", "1.0.0")
        for _ in range(5):
            ended(tx, one, seconds=20, node_seconds=15)
        waits = at_work(tx, one, ago=900, status="waiting")
        return at_work(tx, one, ago=900), at_work(tx, one, ago=3), waits

    hangs, works, waits = await store.write(seed)
    connection = store.reader()
    found = info(connection, hangs)
    assert found.current == ("copy",)
    assert found.since == NOW - timedelta(seconds=900)
    assert (found.node_seconds, found.nodes_expected, found.slow_seconds) == (15.0, 2, 20.0)
    assert found.stuck_at == NOW - timedelta(seconds=900 - 60)  # four times what is slow
    other = info(connection, works).stuck_at
    assert other is not None
    assert other > NOW
    assert info(connection, waits).stuck_at is None


async def test_what_takes_a_moment_has_half_a_minute_before_it_counts_as_stuck(store: Store) -> None:
    def seed(tx: Tx) -> str:
        one = add_definition(tx, "copy", "1.0.0")
        ended(tx, one, seconds=1, node_seconds=0.1)
        return at_work(tx, one)

    run_id = await store.write(seed)
    assert info(store.reader(), run_id).stuck_at == NOW + timedelta(seconds=30)


async def test_without_history_nothing_is_stuck_and_nothing_expected(store: Store) -> None:
    run_id = await store.write(lambda tx: at_work(tx, add_definition(tx, "copy", "1.0.0"), ago=86400))
    found = info(store.reader(), run_id)
    assert (found.stuck_at, found.typical_seconds, found.nodes_expected) == (None, None, None)


async def test_a_version_with_a_history_of_its_own_is_judged_by_it(store: Store) -> None:
    def seed(tx: Tx) -> tuple[str, str]:
        one, two = add_definition(tx, "copy", "1.0.0"), add_definition(tx, "copy", "2.0.0")
        for _ in range(6):
            ended(tx, one, seconds=100)
        young = at_work(tx, two)
        for _ in range(5):
            ended(tx, two, seconds=10)
        return young, at_work(tx, one)

    new, old = await store.write(seed)
    connection = store.reader()
    assert info(connection, new).typical_seconds == 10
    assert info(connection, old).typical_seconds == 100


async def test_a_usual_duration_needs_five_other_runs(store: Store) -> None:
    def seed(tx: Tx, count: int) -> str:
        one = add_definition(tx, "copy", "1.0.0") if count else 1
        for _ in range(count or 1):
            ended(tx, one, seconds=10)
        return at_work(tx, one)

    active = await store.write(lambda tx: seed(tx, 4))
    found = info(store.reader(), active)
    assert (found.typical_seconds, found.slow_seconds, found.node_seconds) == (None, None, None)
    assert found.typical_runs == 4
    await store.write(lambda tx: seed(tx, 0))
    found = info(store.reader(), active)
    assert (found.typical_seconds, found.slow_seconds, found.typical_runs) == (10, 10, 5)
    (done, *_) = queries.runs(store.reader(), RunQuery(statuses=("succeeded",)), NOW)
    assert (done.typical_seconds, done.typical_runs) == (None, 4), "it is not another run"


async def test_what_is_typical_is_remembered_until_another_run_succeeds(store: Store) -> None:
    definition = await store.write(lambda tx: add_definition(tx, "copy", "1.0.0"))
    await store.write(lambda tx: ended(tx, definition, seconds=10))
    paces, connection = queries.Paces(), store.reader()
    first = paces.of(connection, "copy", definition, NOW)
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    assert paces.of(connection, "copy", definition, NOW) is first
    assert len(statements) == 1
    connection.set_trace_callback(None)
    await store.write(lambda tx: ended(tx, definition, seconds=30))
    assert paces.of(store.reader(), "copy", definition, NOW).typical == 20


async def test_a_retry_has_its_due_time(store: Store) -> None:
    def seed(tx: Tx) -> str:
        one = add_definition(tx, "copy", "1.0.0")
        key, run_id = insert_run(tx, NewRun(workflow="copy", definition_id=one, start_node="plan"))
        due = tx.now_us + 40 * SECOND
        add_attempt(tx, key, "copy", "retrying", number=2, retry_at=due, finished_at=tx.now_us)
        tx.execute("UPDATE runs SET status = 'running' WHERE key = ?", (key,))
        return run_id

    assert info(store.reader(), await store.write(seed)).waits_for == "copy: attempt 3, 40 s left"


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"actor": "alice"}, {"good", "bad"}),
        ({"actor": "engine"}, {"live"}),
        ({"actor": "nightly"}, {"due"}),
        ({"node": "copy"}, {"good", "bad", "live"}),
        ({"node": "nowhere"}, set()),
        ({"error": "no rule"}, {"bad"}),
        ({"error": 'say "x"'}, {"bad"}),
        ({"error": "ProcessError"}, {"bad"}),
        ({"version": "1.0.0"}, {"good", "bad", "live", "due"}),
        ({"version": "9.0.0"}, set()),
        ({"shorter_than": 15.0}, {"good"}),
        ({"actor": "alice", "node": "copy", "error": "rule"}, {"bad"}),
    ],
)
async def test_filters(store: Store, given: dict[str, Any], wanted: set[str]) -> None:
    content = '{"nodes":[{"id":"plan"},{"id":"copy"}]}'
    error = '{"type":"ProcessError","message":"no rule, say \\"x\\""}'

    def seed(tx: Tx) -> dict[int, str]:
        one = add_definition(tx, "copy", "1.0.0", content=content)
        good = ended(tx, one, seconds=10)
        bad = ended(tx, one, seconds=20, status="failed")
        tx.execute("UPDATE runs SET error = ? WHERE key = ?", (error, bad))
        names = {good: "good", bad: "bad"}
        live = at_work(tx, one)
        new = NewRun(workflow="copy", definition_id=one, start_node="plan", schedule_id="nightly")
        names[insert_run(tx, new)[0]] = "due"
        names[tx.execute("SELECT key FROM runs WHERE id = ?", (live,)).fetchone()[0]] = "live"
        return names

    names = await store.write(seed)
    connection = store.reader()
    ids = {connection.execute("SELECT id FROM runs WHERE key = ?", (key,)).fetchone()[0]: name
           for key, name in names.items()}  # fmt: skip
    assert {ids[run.id] for run in queries.runs(connection, RunQuery(**given), NOW)} == wanted
    assert queries.run_stats(connection, RunQuery(**given), 10).looked_at == len(wanted)


async def test_the_oldest_active_runs_come_first_where_asked(store: Store) -> None:
    def seed(tx: Tx) -> list[str]:
        one = add_definition(tx, "copy", "1.0.0")
        return [at_work(tx, one) for _ in range(4)]

    made = await store.write(seed)
    query = RunQuery(statuses=tuple(ACTIVE_RUN_STATUSES), oldest_first=True, limit=2)
    assert [run.id for run in queries.runs(store.reader(), query, NOW)] == made[:2]


async def test_statistics_count_rate_and_spread_over_time(store: Store) -> None:
    def seed(tx: Tx) -> None:
        one = add_definition(tx, "copy", "1.0.0")
        for day in range(4):
            for seconds in (10, 20, 30):
                key = ended(tx, one, seconds=seconds)
                tx.execute(
                    "UPDATE runs SET started_at = started_at - ?1, finished_at = finished_at - ?1 WHERE key = ?2",
                    (day * 86400 * SECOND, key),
                )
        ended(tx, one, seconds=5, status="failed")
        ended(tx, one, seconds=5, status="cancelled")
        at_work(tx, one)

    await store.write(seed)
    found = queries.run_stats(store.reader(), RunQuery(limit=1000), 48)
    assert (found.looked_at, found.succeeded, found.failed, found.cancelled, found.active) == (
        15,
        12,
        1,
        1,
        1,
    )
    assert found.success_rate == pytest.approx(12 / 13)
    assert (found.p50, found.longest) == (20.0, 30.0)
    assert sum(span.succeeded for span in found.buckets) == 12
    assert sum(span.other for span in found.buckets) == 1
    assert len(found.buckets) <= 48
    assert all(
        later.start - sooner.start == timedelta(seconds=found.bucket_seconds)
        for sooner, later in zip(found.buckets, found.buckets[1:], strict=False)
    )
    assert not found.more
    few = queries.run_stats(store.reader(), RunQuery(limit=2), 48)
    assert (few.looked_at, few.more) == (2, True)


async def test_statistics_name_the_causes_of_failures(store: Store) -> None:
    def seed(tx: Tx) -> None:
        one = add_definition(tx, "copy", "1.0.0")
        for number in range(100):
            ended(tx, one, seconds=number + 1)
        errors = [("send", "TimeoutError")] * 3 + [("send", "HttpError"), (None, "OutputError")]
        for node, kind in errors:
            key = ended(tx, one, seconds=1, status="failed")
            error = jsonio.dumps_text({"type": kind, "message": "no", "node_id": node})
            tx.execute("UPDATE runs SET error = ? WHERE key = ?", (error, key))

    await store.write(seed)
    found = queries.run_stats(store.reader(), RunQuery(limit=1000), 48)
    assert [(cause.node_id, cause.error_type, cause.count) for cause in found.causes] == [
        ("send", "TimeoutError", 3),
        ("", "OutputError", 1),
        ("send", "HttpError", 1),
    ]
    assert (found.p50, found.p99) == (50.5, pytest.approx(99.01))


async def test_statistics_of_nothing(store: Store) -> None:
    found = queries.run_stats(store.reader(), RunQuery(workflow="nothing"), 48)
    assert (found.looked_at, found.success_rate, found.p50, found.buckets) == (0, None, None, ())


@pytest.mark.parametrize("wanted", [2, 3, 7, 48])
async def test_there_are_never_more_spans_than_wanted(store: Store, wanted: int) -> None:
    def seed(tx: Tx) -> None:
        one = add_definition(tx, "copy", "1.0.0")
        for months in (0, 1, 40, 200):
            key = ended(tx, one, seconds=1)
            tx.execute(
                "UPDATE runs SET finished_at = finished_at - ? WHERE key = ?",
                (months * 30 * 86400 * SECOND, key),
            )

    await store.write(seed)
    found = queries.run_stats(store.reader(), RunQuery(limit=10), wanted)
    assert 1 <= len(found.buckets) <= wanted
    assert sum(span.succeeded for span in found.buckets) == 4


async def test_the_state_around_an_attempt(store: Store) -> None:
    def seed(tx: Tx) -> tuple[str, int, int, int]:
        one = add_definition(tx, "copy", "1.0.0")
        new = NewRun(workflow="copy", definition_id=one, start_node="plan", state={"host": "db-1"})
        key, run_id = insert_run(tx, new)
        planned = Patch(set={"tables": 3}).to_json()
        plan = add_attempt(tx, key, "plan", "succeeded", patch=planned)
        both = Patch(set={"a": 1, "b": 2}, delete=("host",)).to_json()
        add_attempt(tx, key, "both", "succeeded", patch=both)
        member = add_attempt(tx, key, "one", "succeeded", parent="both", patch=Patch(set={"a": 1}).to_json())
        last = add_attempt(tx, key, "copy", "failed")
        return run_id, plan, member, last

    run_id, plan, member, last = await store.write(seed)
    connection = store.reader()
    found = queries.attempt_state(connection, run_id, plan)
    assert (found.before, found.after) == ({"host": "db-1"}, {"host": "db-1", "tables": 3})
    inside = queries.attempt_state(connection, run_id, member)
    assert (inside.before, inside.after) == (found.after, {"host": "db-1", "tables": 3, "a": 1})
    failed = queries.attempt_state(connection, run_id, last)
    assert failed.before == failed.after == {"tables": 3, "a": 1, "b": 2}
    with pytest.raises(NotFoundError, match="has no attempt 99"):
        queries.attempt_state(connection, run_id, 99)


async def test_statistics_since_an_instant(store: Store) -> None:
    def seed(tx: Tx) -> None:
        one = add_definition(tx, "copy", "1.0.0")
        for hours in (5, 4, 3, 2, 1):
            key = ended(tx, one, seconds=10)
            tx.execute(
                "UPDATE runs SET created_at = created_at - ? WHERE key = ?", (hours * 3600 * SECOND, key)
            )

    await store.write(seed)
    query = RunQuery(workflow="copy", created_after=NOW - timedelta(hours=3), limit=10)
    assert queries.run_stats(store.reader(), query, 10).looked_at == 3
    none = RunQuery(workflow="copy", created_after=NOW, limit=10)
    assert queries.run_stats(store.reader(), none, 10).looked_at == 0
