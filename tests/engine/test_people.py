"""Requests in whole runs: answers in their undo window, and runs that are pushed back."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from tests.engine.support import ME, engine_on, question, until_end, workspace
from victor_engine.api import Answer, RequestInfo, RequestQuery
from victor_engine.clock import FakeClock
from victor_engine.engine import Engine
from victor_engine.errors import InvalidAnswerError, PermissionDeniedError, VictorError
from victor_engine.identity import acting_as

FLOW = {
    "workflows/flow.yaml": """
        workflows:
          flow:
            version: 1.0.0
            nodes:
              - {id: draft, type: transform, transform: "n = n + 1", next: [gate]}
              - id: gate
                type: hitl
                prompt: "Draft {n}. {human.gate.pushed_back.comment}"
                timeout: 1h
                undo_window: 5s
                allow_questions: true
                assignees: [me, "group:no-such-group"]
                next: [out]
              - {id: out, type: transform, transform: "done = n"}
        """
}


async def asked(engine: Engine, run_id: str, after: str = "") -> RequestInfo:
    async with asyncio.timeout(20):
        while True:
            found = await engine.requests(RequestQuery(run_id=run_id))
            if found and found[0].id != after:
                return found[0]
            await asyncio.sleep(0)


async def later(engine: Engine, clock: FakeClock, seconds: float) -> None:
    await clock.advance(seconds)
    engine.runtime.deadlines_changed()


async def test_a_run_that_is_pushed_back_gets_the_comment_and_opens_a_new_request(tmp_path: Path) -> None:
    clock = FakeClock()
    async with engine_on(workspace(tmp_path, FLOW), clock=clock) as engine:
        run = await engine.start_run("flow", state={"n": 0})
        first = await engine.request((await asked(engine, run.id)).id)
        assert first.can_go_back_to == ("draft",)
        held = await engine.push_back(first.id, first.revision, "draft", "too long")
        assert (held.status, held.outcome, held.pushed_back_to) == ("answered", "pushed_back", "draft")
        await later(engine, clock, 5)
        second = await asked(engine, run.id, after=first.id)
        assert second.prompt == "Draft 2. too long"
        state = (await engine.run(run.id)).state
        assert state["human"]["gate"]["pushed_back"]["iteration"] == 1
        assert "gate" not in state
        await engine.answer(second.id, second.revision, Answer(outcome="approved"))
        await later(engine, clock, 5)
        found = await until_end(engine, run.id)
        assert (found.run.status, found.state["done"], found.state["gate"]) == ("succeeded", 2, True)


async def test_an_answer_in_its_undo_window_survives_a_restart(tmp_path: Path) -> None:
    clock = FakeClock()
    root = workspace(tmp_path, FLOW)
    async with engine_on(root, clock=clock) as engine:
        run = await engine.start_run("flow", state={"n": 0})
        request = await question(engine, run.id)
        await engine.answer(request.id, request.revision, Answer(outcome="approved"))
        assert [q.id for q in await engine.requests(RequestQuery(statuses=("open", "held")))] == [request.id]
        assert (await engine.run(run.id)).run.status == "waiting"
    clock.set_wall(clock.now() + timedelta(seconds=4))
    async with engine_on(root, clock=clock) as engine:
        undone = await engine.undo_answer(request.id)
        assert (undone.status, undone.revision) == ("open", 3)
        await engine.answer(request.id, 3, Answer(outcome="approved"))
    clock.set_wall(clock.now() + timedelta(seconds=60))
    async with engine_on(root, clock=clock) as engine:
        found = await until_end(engine, run.id)
        assert (found.run.status, found.state["done"]) == ("succeeded", 1)


async def test_an_answer_asks_for_an_undo_window_that_its_node_does_not_set(tmp_path: Path) -> None:
    clock = FakeClock()
    files = {"workflows/flow.yaml": FLOW["workflows/flow.yaml"].replace("undo_window: 5s", "priority: low")}
    root = workspace(tmp_path, files)
    async with engine_on(root, clock=clock) as engine:
        run = await engine.start_run("flow", state={"n": 0})
        request = await question(engine, run.id)
        for wrong in (-1.0, 3601.0, float("nan")):
            with pytest.raises(InvalidAnswerError, match="undo_window must be from 0 to 3600 seconds"):
                await engine.answer(request.id, 1, Answer("approved", undo_window=wrong))
        held = await engine.answer(request.id, 1, Answer("approved", undo_window=4.0))
        assert held.settles_at == clock.now() + timedelta(seconds=4)
        assert (await engine.run(run.id)).run.status == "waiting"
    async with engine_on(root, clock=clock) as engine:
        assert (await engine.undo_answer(request.id)).status == "open"
        await engine.answer(request.id, 3, Answer("approved", undo_window=4.0))
        await later(engine, clock, 4)
        assert (await until_end(engine, run.id)).run.status == "succeeded"


async def test_a_review_is_not_held_on_request(tmp_path: Path) -> None:
    files = {
        "workflows/flow.yaml": FLOW["workflows/flow.yaml"].replace(
            "hitl\n", "hitl\n                hitl_type: review\n"
        )
    }
    async with engine_on(workspace(tmp_path, files)) as engine:
        run = await engine.start_run("flow", state={"n": 0})
        request = await question(engine, run.id)
        with pytest.raises(InvalidAnswerError, match="set undo_window in the node"):
            await engine.answer(request.id, 1, Answer("approved", undo_window=4.0))


async def test_an_answer_without_an_engine_has_an_undo_window_too(tmp_path: Path) -> None:
    clock = FakeClock()
    root = workspace(tmp_path, FLOW)
    async with engine_on(root, clock=clock) as engine:
        run = await engine.start_run("flow", state={"n": 0})
        request = await question(engine, run.id)
    async with engine_on(root, clock=clock, work=False) as engine:
        held = await engine.answer(request.id, request.revision, Answer(outcome="approved"))
        assert held.settles_at is not None
    async with engine_on(root, clock=clock) as engine:
        assert (await engine.undo_answer(request.id)).status == "open"


async def test_questions_and_delegation_through_the_port(tmp_path: Path) -> None:
    files = {**FLOW, "victor.yaml": "roles: {approver: [me], admin: [me]}"}
    async with engine_on(workspace(tmp_path, files), clock=FakeClock()) as engine:
        run = await engine.start_run("flow", state={"n": 0})
        request = await question(engine, run.id)
        assert (await engine.ask_requester(request.id, "Why now?")).held_left == 3600.0
        assert (await engine.reply(request.id, "Because.")).held_since is None
        given = await engine.delegate(request.id, request.revision, "user:nobody", "away")
        assert given.assignees == ("group:no-such-group", "user:nobody")
        back = await engine.reassign(request.id, given.revision, ["user:root", "@approver"])
        assert back.assignees == ("user:root", "@approver")


async def test_groups_are_looked_up_outside_the_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    threads: list[str] = []

    def slow(user: str) -> frozenset[str]:
        threads.append(threading.current_thread().name)
        return frozenset({"no-such-group"})

    monkeypatch.setattr("victor_engine.people.roles.unix_groups", slow)
    async with engine_on(workspace(tmp_path, FLOW), clock=FakeClock()) as engine:
        run = await engine.start_run("flow", state={"n": 0})
        request = await question(engine, run.id)
        threads.clear()
        await engine.claim(request.id)
        assert threads == [], "who is named is not looked up"
        await engine.release(request.id)
        someone = ME.__class__(user="someone", uid=70000, via="cli")
        with acting_as(someone):
            assert (await engine.claim(request.id)).claimed_by == "someone"
        assert len(threads) == 2, "once for the command, once for the view of its result"
        assert not any("writer" in thread for thread in threads)
        monkeypatch.setattr("victor_engine.people.roles.unix_groups", lambda user: frozenset())
        with acting_as(someone), pytest.raises(PermissionDeniedError):
            await engine.answer(request.id, request.revision, Answer(outcome="approved"))


async def test_a_user_database_that_hangs_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    over = threading.Event()
    monkeypatch.setattr("victor_engine.people.roles.unix_groups", lambda user: over.wait(20) and frozenset())
    monkeypatch.setattr("victor_engine.engine.requests.GROUPS_SECONDS", 0.05)
    monkeypatch.setattr("victor_engine.people.visibility.LOOKUP_SECONDS", 0.05)
    async with engine_on(workspace(tmp_path, FLOW), clock=FakeClock()) as engine:
        run = await engine.start_run("flow", state={"n": 0})
        request = await question(engine, run.id)
        someone = ME.__class__(user="someone", uid=70000, via="cli")
        with acting_as(someone), pytest.raises(VictorError, match="the groups of someone"):
            await engine.answer(request.id, request.revision, Answer(outcome="approved"))
        assert (await engine.request(request.id)).status == "open"
        over.set()
