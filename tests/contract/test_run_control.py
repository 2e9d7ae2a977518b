"""Control of runs through the port of the engine, and through a client over its socket."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.engine.support import ME, workspace
from victor_engine.api import EventQuery, Port, RunDetail, RunQuery
from victor_engine.engine import Engine
from victor_engine.errors import ConflictError, EngineUnavailableError, NotFoundError, UsageError
from victor_engine.identity import acting_as
from victor_engine.service.client import Client
from victor_engine.service.connect import find, open_engine
from victor_engine.service.read_only import ReadOnlyPort

FLAKY = {
    "victor.yaml": f"""
        handlers:
          check: {{command: [{sys.executable}, check.py]}}
          held: {{command: [sh, -c, "read line < go"]}}
        """,
    # Fails while the state has `broken`.
    "check.py": """
        import json, sys
        state = json.load(sys.stdin)["state"]
        if state.get("broken"):
            json.dump({"error": {"type": "Broken", "message": f"part {state['part']} is broken"}}, sys.stdout)
            sys.exit(3)
        json.dump({"checked": state["part"]}, sys.stdout)
        """,
    "workflows/flaky.yaml": """
        workflows:
          flaky:
            version: 1.0.0
            nodes:
              - {id: take, type: transform, transform: "taken = part", next: [check]}
              - {id: check, type: compute, handler: check, next: [out]}
              - {id: out, type: transform, transform: "done = true"}
        """,
}

HOLD = """
workflows:
  hold:
    nodes:
      - {id: first, type: compute, handler: held, next: [second]}
      - {id: second, type: transform, transform: "n = 1"}
"""
"""The first node is at work until a line is written to the pipe `go`."""


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    root = workspace(tmp_path, FLAKY)
    with acting_as(ME):
        found = await open_engine(find(root, root / ".state"), fire=False)
        yield found
        await found.close()


@pytest.fixture(params=["engine", "client"])
async def port(request: pytest.FixtureRequest, engine: Engine) -> AsyncIterator[Port]:
    if request.param == "engine":
        yield engine
        return
    client = await Client.connect(find(engine.workspace_path, engine.state_dir).socket_path, via="cli")
    yield client
    await client.close()


async def until(port: Port, run_id: str, *statuses: str) -> RunDetail:
    """Check after each event until the run has one of the statuses."""
    async with asyncio.timeout(20):
        async for _ in port.subscribe((await port.engine()).last_event - 1):
            found = await port.run(run_id)
            if found.run.status in statuses:
                return found
    raise AssertionError("the feed ended")


async def failed(port: Port, part: int = 1) -> RunDetail:
    run = await port.start_run("flaky", state={"part": part, "broken": True})
    return await until(port, run.id, "failed")


async def test_dead_letters_are_listed_by_cause_and_discarded_once(port: Port, engine: Engine) -> None:
    assert await port.dead_letters() == []
    runs = [await failed(port, part) for part in (1, 22)]
    assert [found.run.dead_letter for found in runs] == [True, True]
    (group,) = await port.dead_letters()
    assert (group.workflow, group.node_id, group.error_type) == ("flaky", "check", "Broken")
    assert group.count == (await port.engine()).dead_letters == 2
    assert group.run_ids == (runs[1].run.id, runs[0].run.id)
    assert "<n>" in group.pattern
    assert group.example.message.endswith("part 22 is broken")
    discarded = await port.discard_run(runs[0].run.id[:14], "known")
    assert (discarded.status, discarded.dead_letter) == ("failed", False)
    with pytest.raises(ConflictError, match=r"has already been discarded \(\w+: run discarded at "):
        await port.discard_run(runs[0].run.id)
    event = (await port.events(EventQuery(kinds=("run.discarded",))))[0]
    assert (event.run_id, event.actor.uid, event.data) == (runs[0].run.id, ME.uid, {"note": "known"})
    (group,) = await port.dead_letters(group.cause, run_limit=0)
    assert (group.count, group.run_ids) == (1, ())
    with pytest.raises(NotFoundError, match="cause '"):
        await port.dead_letters("nothing")
    await port.retry_run(runs[1].run.id)
    await until(port, runs[1].run.id, "failed")
    assert (await port.dead_letters())[0].count == 1
    good = await port.start_run("flaky", state={"part": 1})
    await until(port, good.id, "succeeded")
    with pytest.raises(ConflictError, match="is succeeded, so it is not a dead letter"):
        await port.discard_run(good.id)


async def test_a_port_without_an_engine_lists_dead_letters_and_discards_none(engine: Engine) -> None:
    run = (await failed(engine)).run
    paths = find(engine.workspace_path, engine.state_dir)
    view = ReadOnlyPort(paths.db_path, workspace=paths.workspace)
    (group,) = await view.dead_letters()
    assert group.run_ids == (run.id,)
    with pytest.raises(EngineUnavailableError):
        await view.discard_run(run.id)
    with pytest.raises(EngineUnavailableError):
        await view.redrive_run(run.id)
    with pytest.raises(EngineUnavailableError):
        await view.rerun(run.id)
    await view.close()


async def test_redrive_from_a_node_with_another_state_and_version(port: Port, engine: Engine) -> None:
    run = (await failed(port)).run
    with pytest.raises(ConflictError, match="has changed since you read it"):
        await port.redrive_run(run.id, revision=run.revision + 1)
    with pytest.raises(UsageError, match="has no node 'chekc'; choose one of: take, check, out") as caught:
        await port.redrive_run(run.id, "chekc")
    assert caught.value.details["nodes"] == ["take", "check", "out"]
    with pytest.raises(NotFoundError, match="has no version 3"):
        await port.redrive_run(run.id, version="3.0.0")
    await port.redrive_run(run.id[:14], "take", {"part": 7}, revision=run.revision, note="the part was wrong")
    found = await until(port, run.id, "succeeded")
    assert found.state["taken"] == 7
    assert [a.node_id for a in found.attempts] == ["take", "check", "@edit", "take", "check", "out"]
    assert await port.dead_letters() == []
    (event,) = await port.events(EventQuery(kinds=("run.redriven",)))
    assert (event.actor.uid, event.node_id) == (ME.uid, "take")
    assert event.data["note"] == "the part was wrong"
    second = (await failed(port)).run
    file = engine.workspace_path / "workflows/flaky.yaml"
    file.write_text(
        file.read_text()
        .replace("version: 1.0.0", "version: 1.1.0")
        .replace("type: compute, handler: check", "type: transform, transform: 'checked = 0'")
    )
    assert await port.reload() == []
    await port.redrive_run(second.id, version="^1")
    found = await until(port, second.id, "succeeded")
    assert found.run.version == "1.1.0"
    assert [a.version for a in found.attempts] == ["1.0.0", "1.0.0", "1.1.0", "1.1.0"]


async def test_resuming_a_run_that_was_never_paused_is_a_conflict(port: Port, engine: Engine) -> None:
    (engine.workspace_path / "workflows/hold.yaml").write_text(HOLD)
    assert await port.reload() == []
    os.mkfifo(engine.workspace_path / "go")
    run = await port.start_run("hold")
    await until(port, run.id, "running")
    with pytest.raises(ConflictError, match=r"is running, not paused") as caught:
        await port.resume_run(run.id, "oops")
    assert caught.value.exit_code == 5
    assert await port.events(EventQuery(run_id=run.id, kinds=("run.resumed",))) == []
    # Use a thread: it waits until the command opens the pipe, and the engine in this loop starts the command.
    await asyncio.to_thread((engine.workspace_path / "go").write_text, "on\n")
    await until(port, run.id, "succeeded")
    with pytest.raises(ConflictError, match="is succeeded, not paused"):
        await port.resume_run(run.id)


async def test_a_rerun_is_a_new_run_with_the_same_input(port: Port, engine: Engine) -> None:
    old = (await failed(port, 5)).run
    new = await port.rerun(old.id[:14], note="once more")
    assert (new.trigger, new.parent_run, new.version, new.note) == ("rerun", old.id, "1.0.0", "once more")
    assert new.id != old.id
    found = await until(port, new.id, "failed")
    assert found.state["part"] == 5
    assert (await port.dead_letters())[0].count == 2
    mended = await port.rerun(old.id, version="1.0.0", state={"part": 6})
    assert (await until(port, mended.id, "succeeded")).state["taken"] == 6
    assert (await port.run(old.id)).run.status == "failed"
    with pytest.raises(NotFoundError, match="has no version 9"):
        await port.rerun(old.id, version="9.0.0")
    with pytest.raises(NotFoundError):
        await port.rerun("nothing")


async def test_a_node_is_overridden_for_one_run(port: Port, engine: Engine) -> None:
    run = (await failed(port)).run
    with pytest.raises(ConflictError, match=r"is failed: .* will not have another attempt"):
        await port.override_node(run.id, "check", max_attempts=2)
    with pytest.raises(UsageError, match="take is a transform node"):
        await port.override_node(run.id, "take", timeout=2)
    file = engine.workspace_path / "workflows/flaky.yaml"
    policy = "retry_policy: {max_attempts: 2, initial_delay: 3600, max_delay: 3600}"
    file.write_text(
        file.read_text()
        .replace("version: 1.0.0", "version: 1.1.0")
        .replace("handler: check,", f"handler: check, {policy},")
    )
    assert await port.reload() == []
    retrying = await port.start_run("flaky", state={"part": 1, "broken": True})
    async with asyncio.timeout(20):
        async for event in port.subscribe(0):
            if event.kind == "node.retrying":
                break
    await port.override_node(retrying.id[:14], "check", 30, 2, True, "at once")
    found = await until(port, retrying.id, "failed")
    assert [a.number for a in found.attempts if a.node_id == "check"] == [1, 2]
    (override,) = found.overrides
    assert (override.node_id, override.timeout, override.max_attempts) == ("check", 30, 2)


async def test_the_changes_of_an_attempt_are_shown_with_the_state_before_and_after(port: Port) -> None:
    run_id = (await port.start_run("flaky", state={"part": 7})).id
    found = await until(port, run_id, "succeeded")
    assert found.input == {"part": 7}
    check = next(attempt for attempt in found.attempts if attempt.node_id == "check")
    around = await port.attempt_state(run_id, check.id)
    assert around.before == {"part": 7, "taken": 7}
    assert around.after == {**around.before, "check": {"checked": 7}, "checked": 7}
    assert {(change.kind, change.path) for change in around.changes} == {
        ("added", "check"),
        ("added", "checked"),
    }
    with pytest.raises(NotFoundError, match="has no attempt"):
        await port.attempt_state(run_id, check.id + 1000)


async def test_a_comparison_is_the_same_with_and_without_an_engine(port: Port, engine: Engine) -> None:
    bad = await failed(port, 4)
    good = await until(port, (await port.start_run("flaky", state={"part": 5})).id, "succeeded")
    found = await port.compare_runs(bad.run.id, good.run.id)
    assert (found.left.run.status, found.right.run.status) == ("failed", "succeeded")
    nodes = {node.node_id: node for node in found.nodes}
    assert list(nodes) == ["take", "check", "out"]
    assert nodes["check"].left is not None
    assert (nodes["check"].left.status, nodes["out"].left) == ("failed", None)
    inputs = {change.path: (change.kind, change.old, change.new) for change in found.input}
    assert inputs == {"part": ("changed", 4, 5), "broken": ("removed", True, None)}
    assert {change.path for change in found.state} == {"part", "taken", "broken", "check", "checked", "done"}
    assert found.definition == ()
    stats = await port.run_stats(RunQuery(workflow="flaky", limit=100))
    assert (stats.succeeded, stats.failed, stats.success_rate) == (1, 1, 0.5)
    view = ReadOnlyPort(engine.store.path, workspace=engine.workspace_path)
    assert await view.compare_runs(bad.run.id, good.run.id) == found
    assert await view.run_stats(RunQuery(workflow="flaky", limit=100)) == stats
    await view.close()
