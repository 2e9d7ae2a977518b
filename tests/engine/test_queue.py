"""The queue of a user: the requests that the user may answer, in the one order of the inbox."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.engine.support import ME, engine_on, question, workspace
from victor_engine.api import Actor, Answer, RequestQuery
from victor_engine.clock import FakeClock
from victor_engine.engine import Engine
from victor_engine.errors import VictorError
from victor_engine.identity import acting_as

ANA = Actor(user="ana", uid=50_001, via="cli")
BO = Actor(user="bo", uid=50_002, via="cli")
FILES = {
    "workflows/w.yaml": """
        workflows:
          open:
            nodes: [{id: gate, type: hitl, name: zebra, prompt: "Yes?"}]
          soon:
            nodes: [{id: gate, type: hitl, name: yak, prompt: "Soon?", timeout: 1h, on_timeout: reject}]
          late:
            nodes: [{id: gate, type: hitl, name: ant, prompt: "Late?", timeout: 9h, on_timeout: reject}]
          high:
            nodes: [{id: gate, type: hitl, prompt: "High?", priority: high, assignees: ["@ops"]}]
          ana:
            nodes: [{id: gate, type: hitl, prompt: "Ana?", priority: low, assignees: [ana]}]
          two:
            nodes: [{id: gate, type: hitl, prompt: "Both?", required_approvals: 2, assignees: ["@ops", bo]}]
          eyes:
            nodes: [{id: gate, type: hitl, prompt: "Four?", allow_self_approval: false, assignees: ["@ops"]}]
          undo:
            nodes: [{id: gate, type: hitl, prompt: "Undo?", undo_window: 30s, assignees: [bo]}]
        """,
    "victor.yaml": "hitl: {unknown_assignees: warn}\nroles: {ops: [ana, bo]}\n",
}
NEXT = RequestQuery(answerable=True)


async def queue(engine: Engine, actor: Actor) -> list[str]:
    """Return the workflows of a user's queue, and check that its number is that of the same query."""
    with acting_as(actor):
        found = await engine.request_queue()
        rows = await engine.requests(NEXT)
        assert found.count == len(rows) == await engine.request_count(NEXT)
        assert (found.next and found.next.id) == (rows[0].id if rows else None)
        for row in rows:  # none of them is refused
            assert row.asked_as, row
        return [row.workflow for row in rows]


async def test_the_queue_has_only_requests_that_its_user_may_answer_now(tmp_path: Path) -> None:
    async with engine_on(workspace(tmp_path, FILES), clock=FakeClock()) as engine:
        asked = {}
        for name in ("open", "late", "high", "ana", "two", "soon"):
            asked[name] = await question(engine, (await engine.start_run(name)).id)
        with acting_as(BO):
            asked["eyes"] = await question(engine, (await engine.start_run("eyes")).id)
        # By deadline, then priority, then age; the four-eyes rule bars the user who started the run.
        assert await queue(engine, ANA) == ["soon", "late", "high", "open", "two", "eyes", "ana"]
        assert await queue(engine, BO) == ["soon", "late", "high", "open", "two"]
        assert await queue(engine, ME) == ["soon", "late", "open"]
        assert [r.workflow for r in await engine.requests(RequestQuery())] == [
            "soon", "late", "high", "open", "two", "eyes", "ana",
        ]  # fmt: skip
        # A claim takes a request out of the queues of all others, and its end puts it back.
        with acting_as(ANA):
            await engine.claim(asked["soon"].id)
            await engine.answer(asked["two"].id, asked["two"].revision, Answer(outcome="approved"))
        assert await queue(engine, BO) == ["late", "high", "open", "two"]
        assert await queue(engine, ANA) == ["soon", "late", "high", "open", "eyes", "ana"]
        with acting_as(ANA):
            await engine.release(asked["soon"].id)
            # Another assignee.
            await engine.reassign(asked["ana"].id, asked["ana"].revision, ["bo"])
        assert await queue(engine, ANA) == ["soon", "late", "high", "open", "eyes"]
        assert await queue(engine, BO) == ["soon", "late", "high", "open", "two", "ana"]
        with acting_as(BO), pytest.raises(VictorError, match="four-eyes"):
            await engine.answer(asked["eyes"].id, asked["eyes"].revision, Answer(outcome="approved"))
        # An answer that can be undone is in no queue, and is again after the undo.
        undo = await question(engine, (await engine.start_run("undo")).id)
        assert "undo" in await queue(engine, BO)
        with acting_as(BO):
            await engine.answer(undo.id, undo.revision, Answer(outcome="approved"))
            assert "undo" not in await queue(engine, BO)
            listed = await engine.requests(RequestQuery(statuses=("open", "held")))
            assert listed[0].workflow == "undo", "an answer that can be undone comes first"
            await engine.undo_answer(undo.id)
            # Its vote is undone too.
            assert "undo" in await queue(engine, BO)


async def test_pages_sort_and_find_in_the_store(tmp_path: Path) -> None:
    clock = FakeClock()
    async with engine_on(workspace(tmp_path, FILES), clock=clock) as engine:
        asked = []
        for name in ("open", "late", "open", "soon", "open", "late", "high"):
            asked.append(await question(engine, (await engine.start_run(name)).id))
            await clock.advance(1)
        everything = await engine.request_page(RequestQuery())
        order = [row.id for row in everything.rows]
        assert (everything.total, everything.offset, everything.searched) == (7, 0, None)
        # A page around a request, wherever it is; one that does not match leaves the page where it was.
        for position, request_id in enumerate(order):
            page = await engine.request_page(RequestQuery(limit=3, around=request_id))
            assert request_id in [row.id for row in page.rows]
            assert [row.id for row in page.rows] == order[page.offset : page.offset + 3]
            assert page.offset == max(0, min(position - 1, 4))
        gone = await engine.request_page(RequestQuery(limit=3, offset=2, around="nothing"))
        assert gone.offset == 2
        backwards = await engine.request_page(RequestQuery(reverse=True, limit=2, offset=1))
        assert [row.id for row in backwards.rows] == order[::-1][1:3]
        titles = await engine.request_page(RequestQuery(order="title"))
        assert [row.title for row in titles.rows] == [
            "Approval: gate", "ant", "ant", "yak", "zebra", "zebra", "zebra",
        ]  # fmt: skip
        grouped = await engine.request_page(RequestQuery(order="workflow", limit=1))
        assert grouped.groups == {"open": 3, "late": 2, "soon": 1, "high": 1}
        ages = await engine.requests(RequestQuery(order="age", reverse=True))
        assert [row.id for row in ages] == [request.id for request in asked][::-1]
        # Decided requests: by the time of the decision, not of the question.
        decided = [asked[4], asked[0], asked[2]]
        for request in decided:
            await engine.answer(request.id, request.revision, Answer(outcome="approved"))
            await clock.advance(1)
        done = RequestQuery(statuses=("answered", "expired", "withdrawn"))
        assert [row.id for row in await engine.requests(done)] == [r.id for r in decided][::-1]


async def test_a_search_that_reads_not_all_texts_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("victor_engine.store.queries.request_filters.SEARCHED", 3)
    monkeypatch.setattr("victor_engine.store.queries.people.SEARCHED", 3)
    async with engine_on(workspace(tmp_path, FILES)) as engine:
        for name in ("soon", "late", "open", "ana"):
            await question(engine, (await engine.start_run(name)).id)
        page = await engine.request_page(RequestQuery(words=("ant",)))
        assert [row.workflow for row in page.rows] == ["late"]
        assert (page.total, page.searched) == (1, 3)
        # The other conditions hold before the bound.
        page = await engine.request_page(RequestQuery(words=("ana?",), workflow_part="an"))
        assert ([row.workflow for row in page.rows], page.searched) == (["ana"], None)
        async with asyncio.timeout(5):
            assert (await engine.request_page(RequestQuery(words=("ana?",)))).total == 0
