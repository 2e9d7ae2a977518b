"""The embedded engine on a workspace with real commands: load, runs, requests, answers and a restart."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine.support import engine_on, question, until_end, workspace
from victor_engine.api import Answer, EventQuery, RequestQuery, RunQuery, ScheduleSpec
from victor_engine.engine import Engine
from victor_engine.errors import (
    AlreadyAnsweredError,
    DefinitionError,
    InvalidAnswerError,
    NotFoundError,
    UntrustedError,
)
from victor_engine.store.queries.typical_durations import SAMPLE

GATE = {
    "victor.yaml": f"""
        agents:
          writer: {{command: [{sys.executable}, work.py]}}
        """,
    "work.py": """
        import json, sys
        call = json.load(sys.stdin)
        print("a line for the log", file=sys.stderr)
        json.dump({"draft": call["goal"].upper()}, sys.stdout)
        """,
    "workflows/gate.yaml": """
        workflows:
          gate:
            version: 1.0.0
            schedule: {cron: "0 9 * * *", timezone: Europe/Berlin}
            nodes:
              - {id: write, type: agent, role: writer, goal: "about {topic}", next: [ok]}
              - id: ok
                type: hitl
                hitl_type: approval
                prompt: "Publish {draft}?"
                timeout: 1h
                next: {approved: out, rejected: out}
              - {id: out, type: transform, transform: "published = ok"}
        """,
}


async def test_the_result_of_a_start_equals_the_stored_run(tmp_path: Path) -> None:
    root = workspace(
        tmp_path,
        {
            "workflows/sum.yaml": "workflows: {sum: {nodes: [{id: add, type: transform, transform: x = 1}]}}",
        },
    )
    async with engine_on(root) as engine:
        for _ in range(SAMPLE):
            await until_end(engine, (await engine.start_run("sum")).id)
    async with engine_on(root, work=False) as engine:
        read = await engine.start_run("sum")
        assert engine.queries.runs.paces.remembered(1, engine.clock.now()) is not None
        told = await engine.start_run("sum", note="by hand")
        assert told == (await engine.run(told.id)).run
        assert (told.status, told.nodes_expected) == ("queued", 1)
        assert read == (await engine.run(read.id)).run


async def test_a_run_with_a_free_slot_is_returned_as_queued_and_starts_at_once(tmp_path: Path) -> None:
    yaml = "workflows: {sum: {nodes: [{id: add, type: transform, transform: x = 1}]}}"
    async with engine_on(workspace(tmp_path, {"workflows/sum.yaml": yaml})) as engine:
        told = [await engine.start_run("sum") for _ in range(SAMPLE + 1)]
        for run in told:
            await until_end(engine, run.id)
        last = await engine.start_run("sum")
        read = (await until_end(engine, last.id)).run
        assert (last.status, last.started_at) == ("queued", None)
        assert read.started_at is not None
        assert read.started_at >= read.created_at
        seen = await engine.events(EventQuery(run_id=last.id))
        assert [event.kind for event in reversed(seen)] == [
            "run.created", "run.started", "node.completed", "run.finished",
        ]  # fmt: skip


async def test_a_workspace_runs_asks_and_finishes(tmp_path: Path) -> None:
    async with engine_on(workspace(tmp_path, GATE)) as engine:
        run = await engine.start_run("gate", state={"topic": "frogs"}, note="by hand")
        asked = await question(engine, run.id)
        assert asked.prompt == "Publish ABOUT FROGS?"
        assert asked.requested_by == "me"
        waiting = (await engine.run(run.id)).run
        assert waiting.status == "waiting"
        assert waiting.waits_for is not None
        with pytest.raises(InvalidAnswerError):
            await engine.answer(asked.id, asked.revision, Answer(outcome="answered"))
        await engine.answer(asked.id, asked.revision, Answer(outcome="approved", comment="good"))
        done = await until_end(engine, run.id)
        assert done.run.status == "succeeded"
        assert done.state["published"] is True
        assert [line.text for line in await engine.run_log(run.id)] == ["a line for the log"]
        with pytest.raises(AlreadyAnsweredError, match="me answered this"):
            await engine.answer(asked.id, asked.revision, Answer(outcome="rejected"))
        info = await engine.engine()
        assert (info.schedules, info.waiting, info.open_requests) == (1, 0, 0)
        (schedule,) = await engine.schedules()
        assert schedule.summary == "at 09:00 every day (Europe/Berlin)"
        assert schedule.resolved_version == "1.0.0"


async def test_a_restart_registers_nothing_again_and_keeps_the_request(tmp_path: Path) -> None:
    root = workspace(tmp_path, GATE)
    async with engine_on(root) as engine:
        run = await engine.start_run("gate", state={"topic": "x"})
        asked = await question(engine, run.id)
    async with engine_on(root) as engine:
        again = (await engine.requests(RequestQuery()))[0]
        assert (again.id, again.deadline, again.revision) == (asked.id, asked.deadline, asked.revision)
        kinds = [event.kind async for event in _until(engine, "engine.started", 2)]
        assert kinds.count("version.registered") == 1
        assert kinds.count("schedule.added") == 1
        await engine.answer(again.id, again.revision, Answer(outcome="rejected"))
        assert (await until_end(engine, run.id)).state["published"] is False
        attempts = [a for a in (await engine.run(run.id)).attempts if a.node_id == "write"]
        assert len(attempts) == 1


async def _until(engine: Engine, kind: str, times: int) -> AsyncIterator[Any]:
    async for event in engine.subscribe(0):
        yield event
        times -= event.kind == kind
        if not times:
            return


async def test_an_untrusted_workspace_is_loaded_and_not_executed(tmp_path: Path) -> None:
    async with engine_on(workspace(tmp_path, GATE, trusted=False)) as engine:
        assert not (await engine.engine()).trusted
        assert [info.name for info in await engine.workflows()] == ["gate"]
        with pytest.raises(UntrustedError, match=r"victor --workspace \S+ trust"):
            await engine.start_run("gate")
        info = await engine.trust_info()
        assert any("work.py" in command for command in info.commands)
        assert (await engine.trust()).trusted
        run = await engine.start_run("gate", state={"topic": "x"})
        await question(engine, run.id)


async def test_work_without_a_binding_is_an_error_with_the_lines_to_add(tmp_path: Path) -> None:
    files = {**GATE, "victor.yaml": "agents: {}\n"}
    async with engine_on(workspace(tmp_path, files)) as engine:
        problems = (await engine.engine()).problems
        assert any(p.severity == "error" and "writer" in p.message + p.remedy for p in problems)
        with pytest.raises(DefinitionError, match="writer"):
            await engine.start_run("gate")
        assert await engine.runs(RunQuery()) == []


async def test_a_version_never_changes_and_an_unversioned_workflow_gets_revisions(tmp_path: Path) -> None:
    root = workspace(tmp_path, GATE)
    async with engine_on(root) as engine:
        file = root / "workflows/gate.yaml"
        file.write_text(file.read_text().replace("Publish {draft}", "Ship {draft}"))
        plain = root / "workflows/plain.yaml"
        plain.write_text("workflows: {plain: {nodes: [{id: a, type: transform, transform: 'x = 1'}]}}")
        problems = await engine.reload()
        assert any("use version 1.0.1" in p.message and "prompt" in p.message for p in problems)
        plain.write_text("workflows: {plain: {nodes: [{id: a, type: transform, transform: 'x = 2'}]}}")
        await engine.reload()
        versions = {w.name: [v.version for v in w.versions] for w in await engine.workflows()}
        assert versions == {"gate": ["1.0.0"], "plain": ["0.0.2", "0.0.1"]}
        run = await engine.start_run("plain", version="0.0.1")
        assert (await until_end(engine, run.id)).state == {"x": 1}


async def test_schedules_are_added_edited_triggered_and_removed(tmp_path: Path) -> None:
    async with engine_on(workspace(tmp_path, GATE)) as engine:
        spec = ScheduleSpec(workflow="gate", cron="*/5 * * * *", initial_state={"topic": "y"})
        added = await engine.add_schedule(spec, note="try")
        assert added.created
        assert not (await engine.add_schedule(spec)).created
        run = await engine.trigger_schedule(added.id[:6])
        assert (await question(engine, run.id)).prompt == "Publish ABOUT Y?"
        paused = await engine.pause_schedule(added.id, note="holiday")
        assert paused.paused is not None
        assert paused.paused.note == "holiday"
        assert (await engine.resume_schedule(added.id)).paused is None
        await engine.remove_schedule(added.id)
        assert len(await engine.schedules()) == 1
        with pytest.raises(NotFoundError, match="Did you mean"):
            await engine.add_schedule(ScheduleSpec(workflow="gaet", cron="@daily"))


async def test_the_command_line_writes_under_the_lock_without_running_anything(tmp_path: Path) -> None:
    root = workspace(tmp_path, GATE)
    async with engine_on(root) as engine:
        run = await engine.start_run("gate", state={"topic": "x"})
        asked = await question(engine, run.id)
    async with engine_on(root, work=False) as engine:
        await engine.answer(asked.id, asked.revision, Answer(outcome="approved"))
        assert (await engine.run(run.id)).run.status == "waiting"
    async with engine_on(root) as engine:
        assert (await until_end(engine, run.id)).state["published"] is True
