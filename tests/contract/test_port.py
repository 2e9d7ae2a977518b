"""The contract suite of the port, which all implementations pass."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

import victor_engine.service
from tests.engine.support import ME, question, trust, until_end, workspace
from tests.engine.test_engine import GATE
from victor_engine.api import (
    Actor,
    Answer,
    AuditQuery,
    Count,
    EventQuery,
    MigrationSpec,
    Port,
    RequestQuery,
    RunQuery,
    ScheduleSpec,
)
from victor_engine.api.port import declared, derive, methods
from victor_engine.engine import Engine
from victor_engine.errors import (
    AlreadyAnsweredError,
    ConflictError,
    EngineUnavailableError,
    InvalidAnswerError,
    NotFoundError,
    UsageError,
)
from victor_engine.identity import acting_as, user_name
from victor_engine.service.client import Client, request_for
from victor_engine.service.connect import find, open_engine
from victor_engine.service.read_only import ReadOnlyPort, answer_or_refuse
from victor_engine.versioning.catalog import VersionRemovedError

MAPPED = """
workflows:
  mapped:
    nodes:
      - {id: each, type: map, over: $ctx.numbers, as: topic, node: one}
      - {id: one, type: agent, role: writer, goal: "about {topic}"}
"""
PEOPLE = (ME.user, user_name(ME.uid))
"""The test's own user by the name that the embedded engine is given, and by the kernel's."""


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    roles = f"roles: {{owners: {list(PEOPLE)}}}\n"
    root = workspace(tmp_path, {**GATE, "victor.yaml": dedent(GATE["victor.yaml"]) + roles})
    with acting_as(ME):
        found = await open_engine(find(root, root / ".state"), fire=False)
        yield found
        await found.close()


@pytest.fixture(params=["engine", "client"])
async def port(request: pytest.FixtureRequest, engine: Engine) -> AsyncIterator[Port]:
    """The ports with actions: the engine itself, and a client over its socket."""
    if request.param == "engine":
        yield engine
        return
    client = await Client.connect(find(engine.workspace_path, engine.state_dir).socket_path, via="cli")
    yield client
    await client.close()


@pytest.fixture(params=["engine", "client", "readonly"])
async def view(request: pytest.FixtureRequest, engine: Engine) -> AsyncIterator[Port]:
    """All ports, for queries."""
    if request.param == "engine":
        yield engine
        return
    paths = find(engine.workspace_path, engine.state_dir)
    if request.param == "client":
        found: Any = await Client.connect(paths.socket_path, via="cli")
    else:
        found = ReadOnlyPort(paths.db_path, workspace=paths.workspace)
    yield found
    await found.close()


async def asked(port: Port) -> Any:
    async with asyncio.timeout(20):
        async for event in port.subscribe(0):
            if event.kind == "request.opened":
                page = await port.request_page(RequestQuery())
                queue = await port.request_queue()
                assert queue.next in page.rows
                assert queue.open == page.total >= queue.count >= 1
                return (await port.requests(RequestQuery()))[0]
    raise AssertionError("the feed ended")


async def ended(port: Port, run_id: str) -> Any:
    async with asyncio.timeout(20):
        async for event in port.subscribe(0):
            if event.kind == "run.finished" and event.run_id == run_id:
                return await port.run(run_id)
    raise AssertionError("the feed ended")


def test_every_implementation_has_every_method_as_it_is_declared() -> None:
    for implementation in (Engine, Client, ReadOnlyPort):
        for name, method in declared().items():
            found = getattr(implementation, name)
            assert found is not method.declaration, f"{implementation.__name__}.{name} does nothing"
            parameters = list(inspect.signature(found).parameters.values())[1:]
            assert parameters == list(method.signature.parameters.values()), name


def test_every_coroutine_of_the_port_has_a_correct_mark() -> None:
    assert {name for name, method in declared().items() if method.kind == "own"} == {"subscribe", "close"}
    names = {name for name in dir(Port) if not name.startswith("_")}
    assert set(declared()) == names


def test_the_methods_of_the_client_and_the_engine_are_derived() -> None:
    """The client, the server and the refusals are derived from the declaration of a method."""
    service = Path(victor_engine.service.__file__).parent
    written = {
        node.name
        for path in service.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.AsyncFunctionDef) and node.name in methods()
    }
    # A port without an engine defines these queries itself.
    assert written == {
        "engine",
        "whoami",
        "trust_info",
        "events",
        "plan_deployment",
        "deployments",
        "secrets",
    }


def test_a_query_without_an_implementation_is_an_error_at_class_creation() -> None:
    with pytest.raises(TypeError, match="engine belongs to no part"):

        @derive(answer_or_refuse)
        class Silent(Port):
            def subscribe(self, after: int) -> Any: ...

            async def close(self) -> None: ...

    with pytest.raises(TypeError, match=r"Unfinished\.subscribe"):

        @derive(request_for)
        class Unfinished(Port):
            async def close(self) -> None: ...


async def test_arguments_that_do_not_fit_are_a_type_error(view: Port) -> None:
    calls: list[Any] = [
        lambda port: port.cancel_run(),
        lambda port: port.cancel_run("a", "b", "c", "d"),
        lambda port: port.cancel_run("a", run_id="a"),
        lambda port: port.runs(query=RunQuery(), limit=1),
        lambda port: port.engine(1),
    ]
    for call in calls:
        with pytest.raises(TypeError, match=r"cancel_run|runs|engine"):
            await call(view)


async def test_things_are_found_by_name(view: Port, engine: Engine) -> None:
    run = await engine.start_run("gate", "1", {"topic": "x"})
    question = await asked(engine)
    added = await engine.add_schedule(ScheduleSpec("gate", cron="0 4 * * *"))
    found = await view.find("gate")
    assert [each.kind for each in found].count("run") == 1
    assert {(each.kind, each.id) for each in found} >= {
        ("workflow", "gate"),
        ("version", "1.0.0"),
        ("schedule", added.id),
        ("run", run.id),
        ("request", question.id),
    }
    assert [each.id for each in await view.find(run.id[:10], ("run",))] == [run.id]
    assert [each.kind for each in await view.find("gt", ("workflow", "version"), 1)] == [
        "workflow",
        "version",
    ]
    assert [each.id for each in await view.find("waiting gate", ("run",))] == [run.id]
    for nothing in ("failed gate", "%", "x_y", "zebra"):
        assert await view.find(nothing, ("run", "workflow")) == [], nothing
    with pytest.raises(UsageError, match="limit is 0"):
        await view.find("gate", limit=0)


async def test_a_view_of_a_request_is_shown_to_others_until_it_ends(view: Port, engine: Engine) -> None:
    await engine.start_run("gate", "1", {"topic": "x"})
    question = await asked(engine)
    before = await view.view_changes()
    shown = await view.view_request(question.id[:12])
    assert (shown.id, shown.viewers) == (question.id, ())
    during = await view.view_changes()
    assert during != before

    async def viewers() -> tuple[str, ...]:
        with acting_as(Actor(user="other", uid=ME.uid + 1, via="cli")):
            return (await engine.request(question.id)).viewers

    if not isinstance(view, ReadOnlyPort):  # its views are its own
        await view.view_request(question.id)
        assert len(await viewers()) == 1
    await view.leave_request(question.id)
    assert await view.view_changes() != during
    assert await viewers() == ()
    for call in (view.view_request, view.leave_request):
        with pytest.raises(NotFoundError):
            await call("nothing")


async def test_a_run_from_start_to_answer(port: Port) -> None:
    run = await port.start_run("gate", "1", {"topic": "x"}, "a note")
    assert (run.workflow, run.version, run.trigger, run.note) == ("gate", "1.0.0", "manual", "a note")
    question = await asked(port)
    assert (question.run_id, question.kind, question.revision) == (run.id, "approval", 1)
    with pytest.raises(InvalidAnswerError):
        await port.answer(question.id, question.revision, Answer(outcome="answered"))
    with pytest.raises(ConflictError):
        await port.answer(question.id, question.revision + 5, Answer(outcome="approved"))
    claimed = await port.claim(question.id)
    assert claimed.claimed_by
    assert (await port.release(question.id)).claimed_by is None
    done = await port.answer(question.id[:12], question.revision, Answer(outcome="approved", comment="yes"))
    assert (done.status, done.outcome, done.comment) == ("answered", "approved", "yes")
    assert done.answered_by is not None
    assert done.answered_by.uid == ME.uid
    with pytest.raises(AlreadyAnsweredError, match="answered this request at"):
        await port.answer(question.id, question.revision, Answer(outcome="rejected"))
    found = await ended(port, run.id)
    assert (found.run.status, found.state["published"]) == ("succeeded", True)
    assert [attempt.node_id for attempt in found.attempts] == ["write", "ok", "out"]
    assert (await port.run_log(run.id))[0].text == "a line for the log"
    with pytest.raises(ConflictError, match="succeeded"):
        await port.cancel_run(run.id)
    page = await port.audit_history(AuditQuery(run_id=run.id[:12]))
    assert [event["event"] for event in page.records[0]["events"]][-1] == "request.answered"
    head = await port.audit_head()
    with pytest.raises(UsageError, match="future"):
        await port.prune_audit(datetime(2999, 1, 1, tzinfo=UTC))
    pruned = await port.prune_audit(datetime(2000, 1, 1, tzinfo=UTC), "a note")
    assert (pruned.seq, pruned.pruned_seq) == (head.seq + 1, 0)


async def test_the_audit_chain_is_read_and_verified(view: Port, engine: Engine) -> None:
    run = await engine.start_run("gate", "1", {"topic": "x"})
    question = await asked(engine)
    await engine.claim(question.id)
    *_, created, claimed = await view.audit_records()
    assert (json.loads(created.record)["event"], json.loads(created.record)["run"]) == ("run.created", run.id)
    assert json.loads(claimed.record)["event"] == "request.claimed"
    head = await view.audit_head()
    assert (head.seq, head.digest) == (claimed.seq, claimed.digest)
    report = await view.verify_audit(head.digest)
    assert (report.intact, report.records) == (True, head.seq), report.findings
    assert [found.kind for found in (await view.verify_audit("f" * 64)).findings] == ["cut"]
    with pytest.raises(UsageError, match="64 hexadecimal digits"):
        await view.verify_audit("f")


async def test_requests_are_reassigned_delegated_and_pushed_back(port: Port) -> None:
    await port.start_run("gate", "1", {"topic": "x"})
    question = await asked(port)
    delegated = await port.delegate(question.id, question.revision, "user:nobody", "away")
    assert (delegated.assignees, delegated.revision) == (("user:nobody",), 2)
    with pytest.raises(ConflictError):
        await port.reassign(question.id, question.revision, ["user:nobody"])
    reassigned = await port.reassign(question.id, 2, ["user:nobody", "@owners"], "mine after all")
    assert reassigned.revision == 3
    with pytest.raises(UsageError, match="unknown on this machine: nobody-at-all"):
        await port.delegate(question.id, 3, "nobody-at-all")
    with pytest.raises(ConflictError, match="allow_questions"):
        await port.ask_requester(question.id, "why?")
    with pytest.raises(ConflictError, match="requester"):
        await port.reply(question.id, "because")
    with pytest.raises(ConflictError, match="open"):
        await port.undo_answer(question.id)
    found = await port.request(question.id)
    assert found.can_go_back_to == ("write",)
    done = await port.push_back(question.id, 3, "write", "shorter, please")
    assert (done.outcome, done.pushed_back_to, done.comment) == ("pushed_back", "write", "shorter, please")


async def test_cancel_retry_pause_resume(port: Port) -> None:
    run = await port.start_run("gate", state={"topic": "x"})
    question = await asked(port)
    paused = await port.pause_run(run.id)
    assert paused.status == "paused"
    assert (await port.request(question.id)).status == "open"
    await port.resume_run(run.id)
    cancelled = await port.cancel_run(run.id, "enough")
    assert cancelled.status == "cancelled"
    assert (await port.request(question.id)).status == "withdrawn"
    assert (await port.retry_run(run.id)).status in ("queued", "running", "waiting")


async def test_schedules(port: Port) -> None:
    spec = ScheduleSpec(workflow="gate", cron="*/5 * * * *", timezone="Europe/Berlin")
    added = await port.add_schedule(spec)
    assert added.created
    preview = await port.preview_schedule(spec, 3)
    assert (preview.summary, len(preview.fires)) == ("every 5 minutes (Europe/Berlin)", 3)
    assert (await port.preview_schedule(ScheduleSpec(workflow="gate", cron="x"))).problem
    edited = await port.edit_schedule(added.id, ScheduleSpec(workflow="gate", cron="@daily"))
    assert edited.spec.cron == "@daily"
    assert (await port.skip_next(added.id)).skip_next
    assert (await port.pause_schedule(added.id, "note")).paused is not None
    assert (await port.resume_schedule(added.id)).paused is None
    run = await port.trigger_schedule(added.id, {"topic": "t"})
    assert run.schedule_id == added.id
    await port.remove_schedule(added.id)
    with pytest.raises(NotFoundError):
        await port.schedule(added.id)
    with pytest.raises(UsageError):
        await port.add_schedule(ScheduleSpec(workflow="gate", cron="61 * * * *"))


async def test_versions_and_workspace(port: Port) -> None:
    assert (await port.deprecate("gate", "1.0", "old", "2.0.0")).deprecated == "old"
    assert [problem.message for problem in await port.reload()] == []
    assert (await port.trust()).trusted
    with pytest.raises(NotFoundError):
        await port.deprecate("gate", "7.0.0", "old")


async def test_a_version_and_its_aliases(port: Port) -> None:
    set_to = await port.set_alias("gate", "stable", "1.0.0", note="a note")
    assert (set_to.version, set_to.note, set_to.sides[0].weight) == ("1.0.0", "a note", 100)
    assert [info.name for info in await port.aliases()] == ["stable"]
    assert [change.action for change in await port.alias_history("gate", "stable")] == ["set"]
    with pytest.raises(ConflictError):
        await port.promote_alias("gate", "stable")
    with pytest.raises(ConflictError):
        await port.roll_back_alias("gate", "stable")
    assert (await port.start_run("gate", "stable", {"topic": "x"})).version == "1.0.0"
    with pytest.raises(ConflictError):
        await port.remove_version("gate", "1.0.0")
    await port.remove_alias("gate", "stable")
    assert (await port.remove_version("gate", "1.0.0", "gone")).removed == "gone"
    with pytest.raises(VersionRemovedError):
        await port.start_run("gate")
    assert (await port.restore_version("gate", "1.0.0")).removed is None
    assert (await port.diff_versions("gate", "1.0.0", "latest")).lines == ()
    assert await port.migration_graph("gate") == []


async def test_runs_are_migrated_and_the_migration_is_undone(port: Port) -> None:
    run = await port.start_run("gate", state={"topic": "x"})
    await asked(port)
    spec = MigrationSpec("gate", "1.0.0", run_ids=(run.id,), from_version="1.0.0")
    planned = await port.plan_migration(spec)
    assert [(move.outcome, move.reason) for move in planned.runs] == [
        ("refused", "the run is already on 1.0.0")
    ]
    done = await port.migrate_runs(spec)
    assert (done.applied, done.count("refused"), done.count("migrated")) == (True, 1, 0)
    assert await port.run_migrations(run_id=run.id) == []
    with pytest.raises(ConflictError):
        await port.unmigrate_run(run.id)
    with pytest.raises(NotFoundError):
        await port.unmigrate_runs("nothing")
    pruned = await port.prune_versions((await port.plan_prune()).plan)
    assert [(each.version, each.outcome) for each in pruned.versions] == [("1.0.0", "kept")]
    with pytest.raises(UsageError):
        await port.plan_migration(MigrationSpec("gate", "1.0.0"))


async def test_the_grid_of_runs(view: Port, engine: Engine) -> None:
    """Newest first. Nodes have the order of the graph, and a cell the number of attempts."""
    empty = await view.run_grid("gate")
    assert (empty.nodes, empty.runs) == ((), ())
    first = await engine.start_run("gate", state={"topic": "x"})
    await question(engine, first.id)
    second = await engine.start_run("gate", state={"topic": "y"})
    asked = await question(engine, second.id)
    await engine.answer(asked.id, asked.revision, Answer(outcome="rejected"))
    await until_end(engine, second.id)
    grid = await view.run_grid("gate", 5)
    assert [each.run.id for each in grid.runs] == [second.id, first.id]
    assert list(grid.nodes) == [node.id for node in (await view.run(first.id)).graph.nodes]
    waiting = grid.runs[1].cells[asked.node_id]
    assert (waiting.status, waiting.attempts, waiting.seconds) == ("waiting", 1, None)
    assert grid.runs[0].cells[asked.node_id].status in ("failed", "succeeded")
    assert [each.run.id for each in (await view.run_grid("gate", 1)).runs] == [second.id]
    (engine.workspace_path / "workflows/mapped.yaml").write_text(MAPPED)
    trust(engine.workspace_path)
    await engine.reload()
    mapped = await engine.start_run("mapped", state={"numbers": [1, 2, 3]})
    await until_end(engine, mapped.id)
    (only,) = (await view.run_grid("mapped")).runs
    assert {node: (cell.status, cell.attempts) for node, cell in only.cells.items()} == {
        "each": ("succeeded", 1),
        "one": ("succeeded", 3),
    }, "the node of the items of a map has one cell for all of them"


async def test_queries(view: Port, engine: Engine) -> None:
    info = await view.engine()
    assert (info.schedules, info.running, info.open_requests) == (1, 0, 0)
    (schedule,) = await view.schedules()
    assert schedule.summary == "at 09:00 every day (Europe/Berlin)"
    assert await view.fires() == []
    assert await view.runs(RunQuery()) == []
    (workflow,) = await view.workflows()
    assert [version.version for version in workflow.versions] == ["1.0.0"]
    assert "hitl_type: approval" in (await view.definition("gate")).text
    kinds = [event.kind for event in await view.events(EventQuery())]
    assert "version.registered" in kinds
    with pytest.raises(NotFoundError):
        await view.run("nothing")
    feed = view.subscribe(0)
    first = await anext(aiter(feed))
    assert first.seq == 1


async def test_a_port_without_an_engine_refuses_every_action_with_the_remedy(engine: Engine) -> None:
    paths = find(engine.workspace_path, engine.state_dir)
    port = ReadOnlyPort(paths.db_path, workspace=paths.workspace)
    with pytest.raises(EngineUnavailableError, match="victor scheduler start"):
        await port.start_run("gate")
    with pytest.raises(EngineUnavailableError):
        await port.answer("x", 1, Answer(outcome="approved"))
    await port.close()


async def test_a_lost_engine_is_an_error_at_once(engine: Engine) -> None:
    client = await Client.connect(find(engine.workspace_path, engine.state_dir).socket_path)
    waiting = asyncio.ensure_future(asked(client))
    await client.engine()
    await engine.close()
    with pytest.raises(EngineUnavailableError):
        await waiting
    with pytest.raises(EngineUnavailableError):
        await client.engine()
    await client.close()


async def test_long_lists_are_counted(view: Port, engine: Engine) -> None:
    run = await engine.start_run("gate", "1", {"topic": "x"})
    assert await view.run_count(RunQuery(workflow="gate", limit=0)) == Count(1)
    assert await view.run_count(RunQuery(statuses=("failed", "rejected"))) == Count(0)
    assert (await view.event_count(EventQuery(run_id=run.id, limit=1))).number >= 1
    assert (await view.event_count(EventQuery(actor="no such user"))) == Count(0)
