"""The queries behind every screen, on a store with something of everything."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.store.seed import NOW, add_attempt, plans, seeded
from victor_engine.api import EventQuery, RequestQuery, RunQuery
from victor_engine.errors import NotFoundError, UsageError
from victor_engine.store import queries
from victor_engine.store.db import Store, Tx
from victor_engine.store.queries.conversions import left
from victor_engine.store.queries.request_filters import Asks


class World:
    def __init__(self, store: Store, ids: dict[str, str]) -> None:
        self.store, self.ids = store, ids
        self.connection = store.reader()

    def __getitem__(self, name: str) -> str:
        return self.ids[name]


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    store, ids = await seeded(tmp_path / "victor.db")
    yield World(store, ids)
    await store.close()


def run_ids(world: World, **query: Any) -> list[str]:
    found = queries.runs(world.connection, RunQuery(**query), NOW)
    names = {run_id: name for name, run_id in world.ids.items()}
    return [names[run.id] for run in found]


def test_runs_newest_first(world: World) -> None:
    assert run_ids(world) == ["queued", "waiting", "failed", "done2", "done1", "done0"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"workflow": "report"}, ["queued"]),
        ({"statuses": ("failed",)}, ["failed"]),
        ({"statuses": ("succeeded", "failed"), "limit": 2}, ["failed", "done2"]),
        ({"statuses": ("failed",), "workflow": "report"}, []),
        ({"schedule_id": "nightly"}, ["failed"]),
        ({"text": "no rule"}, ["failed"]),
        ({"text": "100%"}, ["failed"]),
        ({"text": "%"}, ["failed"]),
        ({"longer_than": 25}, ["failed", "done1"]),
        ({"created_after": NOW + timedelta(seconds=1)}, []),
        ({"created_before": NOW}, []),
        ({"created_after": NOW, "limit": 1}, ["queued"]),
        ({"limit": 0}, []),
    ],
)
def test_run_filters(world: World, query: dict[str, Any], expected: list[str]) -> None:
    assert run_ids(world, **query) == expected


@pytest.mark.parametrize(
    "extra", [{}, {"created_after": NOW}, {"statuses": ("succeeded", "queued", "failed")}]
)
def test_pages_cover_everything_once(world: World, extra: dict[str, Any]) -> None:
    everything = run_ids(world, **extra)
    seen: list[str] = []
    while page := run_ids(world, limit=2, **extra, **({"before_id": world[seen[-1]]} if seen else {})):
        seen += page
    assert seen == everything


def test_a_waiting_run_lists_its_waits(world: World) -> None:
    run = queries.run_info(world.connection, world["waiting"], NOW)
    assert run.status == "waiting"
    assert run.current == ("gate",)
    assert run.waits_for == "gate: approval, 12 m left"
    assert run.request_id == world["request"]
    assert run.started_by == "alice"
    assert (run.typical_seconds, run.typical_runs, run.nodes_expected) == (None, 3, 3)


def test_current_node_of_a_run_without_attempts_is_the_head_of_its_frontier(world: World) -> None:
    assert queries.run_info(world.connection, world["queued"], NOW).current == ("collect",)
    assert queries.run_info(world.connection, world["failed"], NOW).current == ()


def test_a_scheduled_run_names_its_schedule_as_starter(world: World) -> None:
    run = queries.run_info(world.connection, world["failed"], NOW)
    assert run.started_by == "nightly"
    assert run.error is not None
    assert run.error.exit_code == 2


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "overdue"),
        (59, "59 s left"),
        (125, "2 m left"),
        (3 * 3600 + 61, "3 h 1 m left"),
        (90000, "1 d 1 h left"),
    ],
)
def test_time_left(seconds: float, text: str) -> None:
    assert left(NOW + timedelta(seconds=seconds), NOW) == text


def test_run_detail(world: World) -> None:
    detail = queries.run_detail(world.connection, world["waiting"], NOW)
    assert detail.state == {"b": 2, "build": "ok"}
    assert [node.id for node in detail.graph.nodes] == ["build", "gate", "ship"]
    states = {node.node_id: (node.status, node.attempts) for node in detail.nodes}
    assert states == {"build": ("succeeded", 2), "gate": ("waiting", 1), "ship": ("pending", 0)}
    assert detail.attempts[1].changes == {"set": {"build": "ok"}, "deleted": ["a"]}
    assert [request.id for request in detail.requests] == [world["request"]]


def test_what_a_finished_run_never_reached_is_skipped(world: World) -> None:
    detail = queries.run_detail(world.connection, world["failed"], NOW)
    assert {node.status for node in detail.nodes} == {"skipped"}


async def test_a_loop_shows_the_last_iteration(world: World) -> None:
    def again(tx: Tx) -> None:
        (key,) = tx.execute("SELECT key FROM runs WHERE id = ?", (world["waiting"],)).fetchone()
        add_attempt(tx, key, "build", "running", iteration=2)

    await world.store.write(again)
    detail = await world.store.read(lambda c: queries.run_detail(c, world["waiting"], NOW))
    node = detail.nodes[0]
    assert (node.node_id, node.status, node.iteration, node.attempts) == ("build", "running", 2, 1)


def test_run_log_pages(world: World) -> None:
    lines = queries.run_log(world.connection, world["waiting"], limit=2)
    assert [(line.text, line.node_id, line.attempt) for line in lines] == [
        ("one", "build", 2),
        ("two", "build", 2),
    ]
    rest = queries.run_log(world.connection, world["waiting"], after=lines[-1].seq)
    assert [line.text for line in rest] == ["three"]
    assert queries.run_log(world.connection, world["waiting"], node_id="gate") == []
    assert [line.text for line in queries.run_log(world.connection, world["waiting"], text="W")] == ["two"]
    assert queries.run_log(world.connection, world["waiting"], text="%") == []


def test_prefixes(world: World) -> None:
    schedule = queries.schedule(world.connection, "nightl", NOW)
    assert schedule.id == "nightly"
    with pytest.raises(UsageError, match="nightly, nightmare"):
        queries.schedule(world.connection, "night", NOW)
    with pytest.raises(NotFoundError, match="victor scheduler list"):
        queries.schedule(world.connection, "weekly", NOW)
    assert queries.schedule(world.connection, "report", NOW).id == "nightmare", "its workflow has no other"
    with pytest.raises(UsageError, match="not unique"):
        queries.run_info(world.connection, world["queued"][:6], NOW)
    with pytest.raises(NotFoundError, match="run '' does not exist"):
        queries.run_info(world.connection, "", NOW)
    with pytest.raises(NotFoundError, match="victor inbox list"):
        queries.request(world.connection, "zzz")
    assert queries.request(world.connection, world["request"][:12].upper()).id == world["request"]


def test_schedules(world: World) -> None:
    nightly, nightmare = queries.schedules(world.connection, NOW)
    assert nightly.overridden == ("overlap",)
    assert nightly.resolved_version == "1.10.0"
    assert [fire.outcome for fire in nightly.recent] == ["skipped", "started"]
    assert nightly.last_fire == nightly.recent[0]
    assert nightly.recent[1].run_id == world["failed"]
    assert nightly.recent[1].run_seconds == 700.0
    assert nightmare.next_fire is None
    assert nightmare.last_fire is None


async def test_a_removed_schedule_is_gone_but_its_history_is_not(world: World) -> None:
    await world.store.write(lambda tx: tx.execute("UPDATE schedules SET removed_at = 1, next_fire = NULL"))
    with pytest.raises(NotFoundError):
        await world.store.read(lambda c: queries.schedule(c, "nightly", NOW))
    assert len(await world.store.read(lambda c: queries.fires(c, "nightly"))) == 2
    assert len(await world.store.read(lambda c: queries.fires(c, workflow="deploy", limit=1))) == 1


def test_requests(world: World) -> None:
    (request,) = queries.requests(world.connection, RequestQuery())
    assert (request.prompt, request.on_timeout, request.claimed_by) == ("Ship **it**?", "reject", "alice")
    assert request.requested_by == "alice"
    assert request.version == "1.10.0"
    assert queries.requests(world.connection, RequestQuery(statuses=("answered", "expired"))) == []
    assert queries.requests(world.connection, RequestQuery(workflow="report")) == []
    assert queries.requests(world.connection, RequestQuery(run_id=world["waiting"])) == [request]


def test_events(world: World) -> None:
    everything = queries.events(world.connection, EventQuery())
    assert [event.seq for event in everything] == sorted((e.seq for e in everything), reverse=True)
    assert {e.kind for e in queries.events(world.connection, EventQuery(kinds=("request.",)))} == {
        "request.opened"
    }
    of_run = queries.events(world.connection, EventQuery(run_id=world["waiting"]))
    assert {event.run_id for event in of_run} == {world["waiting"]}
    assert queries.events(world.connection, EventQuery(text="alice", kinds=("run.created",), limit=1)) == [
        next(e for e in everything if e.actor.user == "alice")
    ]
    assert queries.events(world.connection, EventQuery(before_seq=everything[-1].seq)) == []
    assert queries.events(world.connection, EventQuery(after=NOW)) == everything
    assert queries.events_after(world.connection, everything[2].seq) == [everything[1], everything[0]]


def test_workflows_and_versions(world: World) -> None:
    deploy, report = queries.workflows(world.connection)
    assert (deploy.name, deploy.description, report.name) == ("deploy", "Build and ship", "report")
    assert [version.version for version in deploy.versions] == ["1.10.0", "1.9.0", "1.0.0"]
    newest, _, oldest = deploy.versions
    assert (newest.current, newest.active_runs, newest.total_runs, newest.schedules) == (True, 1, 2, 1)
    assert newest.migrations_from == ("1.0.0",)
    assert (oldest.total_runs, oldest.deprecated, oldest.successor) == (3, "use 2", "1.10.0")


async def test_totals_follow_a_run_to_its_new_version_and_out_of_the_store(world: World) -> None:
    await world.store.write(
        lambda tx: tx.execute("UPDATE runs SET definition_id = 3 WHERE status = 'waiting'")
    )
    await world.store.write(lambda tx: tx.execute("DELETE FROM runs WHERE status = 'succeeded'"))
    deploy = (await world.store.read(queries.workflows))[0]
    assert [version.total_runs for version in deploy.versions] == [1, 1, 0]


def test_definition(world: World) -> None:
    info = queries.definition_info(world.connection, "deploy")
    assert (info.version, info.text, info.graph.start) == ("1.10.0", "# deploy 1.10.0", "build")
    assert queries.definition_info(world.connection, "deploy", "1.9.0").version == "1.9.0"
    with pytest.raises(NotFoundError, match=r"no version '3.0.0'; it has 1.10.0, 1.9.0, 1.0.0"):
        queries.definition_info(world.connection, "deploy", "3.0.0")
    with pytest.raises(NotFoundError, match="the registered workflows are: deploy, report"):
        queries.definition_info(world.connection, "deplyo")


def test_counts(world: World) -> None:
    counts = queries.engine_counts(world.connection, NOW)
    assert (counts.schedules, counts.running, counts.queued, counts.waiting) == (2, 0, 1, 1)
    assert (counts.open_requests, counts.failed_recently) == (1, 1)
    assert counts.next_fire_workflow == "deploy"
    assert counts.last_event == queries.last_event(world.connection)
    assert queries.engine_counts(world.connection, NOW + timedelta(days=2)).failed_recently == 0


BIG = ("runs", "attempts", "logs", "events", "fires", "r", "a", "l", "e", "f", "requests", "q")


def recorded(connection: sqlite3.Connection, call: Any) -> list[str]:
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    try:
        call(connection)
    finally:
        connection.set_trace_callback(None)
    return statements


@pytest.mark.parametrize(
    "ask",
    [
        lambda c, w: queries.runs(c, RunQuery(workflow="deploy"), NOW),
        lambda c, w: queries.runs(c, RunQuery(statuses=("failed",)), NOW),
        lambda c, w: queries.runs(c, RunQuery(statuses=("running", "failed"), workflow="deploy"), NOW),
        lambda c, w: queries.runs(c, RunQuery(schedule_id="nightly"), NOW),
        lambda c, w: queries.runs(c, RunQuery(created_after=NOW), NOW),
        lambda c, w: queries.runs(c, RunQuery(created_before=NOW), NOW),
        lambda c, w: queries.runs(c, RunQuery(before_id=w["failed"]), NOW),
        lambda c, w: queries.run_detail(c, w["waiting"], NOW),
        lambda c, w: queries.run_log(c, w["waiting"], node_id="build"),
        lambda c, w: queries.schedules(c, NOW),
        lambda c, w: queries.schedule(c, "nightly", NOW),
        lambda c, w: queries.fires(c, "nightly"),
        lambda c, w: queries.fires(c, workflow="deploy"),
        lambda c, w: queries.requests(c, RequestQuery()),
        lambda c, w: queries.events(c, EventQuery(run_id=w["waiting"])),
        lambda c, w: queries.events(c, EventQuery(after=NOW)),
        lambda c, w: queries.events_after(c, 3),
        lambda c, w: queries.workflows(c),
        lambda c, w: queries.engine_counts(c, NOW),
        lambda c, w: queries.dead_letters(c),
    ],
)
def test_no_query_reads_a_whole_table(world: World, ask: Any) -> None:
    statements = recorded(world.connection, lambda c: ask(c, world))
    selects = [text for text in statements if text.startswith("SELECT")]
    assert selects
    for statement, step in plans(world.connection, selects):
        words = step.split()
        # Walking a table along its key or an index is fine where the page's limit ends the walk.
        if words[0] == "SCAN" and words[1] in BIG and " INDEX " not in step:
            pytest.fail(f"{step}: {statement}")
        assert not (
            step.startswith("SCAN")
            and "LIMIT" not in statement
            and words[1] in BIG
            and "runs_active" not in step
            and "_open" not in step
        ), f"{step}: {statement}"


@pytest.mark.parametrize(
    "query",
    [RunQuery(), RunQuery(workflow="deploy"), RunQuery(statuses=("failed",)), RunQuery(created_after=NOW)],
)
def test_a_page_of_runs_is_read_in_order_not_sorted(world: World, query: RunQuery) -> None:
    statements = recorded(world.connection, lambda c: queries.runs(c, query, NOW))
    page = next(text for text in statements if "LEFT JOIN runs p" in text)
    assert not [step for _, step in plans(world.connection, [page]) if "TEMP B-TREE" in step]


ASKS = Asks("ana", ("ana", "user:ana"), ("ops", "@ops"), uid=7)


@pytest.mark.parametrize(
    "query",
    [
        RequestQuery(),
        RequestQuery(answerable=True),
        RequestQuery(statuses=("answered", "expired", "withdrawn")),
        RequestQuery(statuses=("held",)),
        RequestQuery(asked=("mine", "groups")),
    ],
)
def test_a_page_of_requests_is_read_in_order_not_sorted(world: World, query: RequestQuery) -> None:
    statements = recorded(world.connection, lambda c: queries.requests(c, query, ASKS))
    page = next(text for text in statements if text.startswith("SELECT q.key FROM requests"))
    assert not [step for _, step in plans(world.connection, [page]) if "TEMP B-TREE" in step]


def test_the_queue_is_counted_by_the_index_of_open_requests(world: World) -> None:
    statements = recorded(world.connection, lambda c: queries.request_queue(c, ASKS))
    counted = [text for text in statements if text.startswith("SELECT COUNT(*)")]
    assert len(counted) == 2
    steps = [step for _, step in plans(world.connection, counted) if step.split()[1] == "q"]
    assert len(steps) == 2
    assert all("USING INDEX requests_" in step or "USING COVERING INDEX requests_" in step for step in steps)
