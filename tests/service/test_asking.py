"""Questions of users without a workflow: their limits, their marks, and the role that asks them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.engine.support import ME, engine_on, until_end, workspace
from tests.service import second_user
from tests.service.engines import daemon
from tests.service.second_user import Shell
from tests.service.test_permissions import Served, serving
from tests.service.test_shared_socket import VIEWER, configure
from victor_engine.api import (
    ASKED_WORKFLOW,
    MOST_QUESTIONS,
    Actor,
    Answer,
    EventQuery,
    Question,
    RequestQuery,
    RunQuery,
    source_text,
)
from victor_engine.cli.main import main
from victor_engine.errors import (
    ConflictError,
    NotFoundError,
    PermissionDeniedError,
    UsageError,
)
from victor_engine.identity import acting_as

BOTS = Actor(user="bot", uid=4711, via="cli")


async def test_a_user_who_may_only_ask_sees_replies_and_withdraws_their_own_questions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path, monkeypatch) as served:
        await _ask_only(served)


async def _ask_only(served: Served) -> None:
    bot, ben, ana, cy = [await served.client(user) for user in ("bot", "ben", "ana", "cy")]
    others = await ben.ask(Question("Ben's?"))
    mine = await bot.ask(Question("Ship **4.2**?", context={"diff": "+1"}))
    assert (mine.requested_by, mine.kind, mine.title) == ("bot", "approval", "Ship 4.2?")
    assert source_text(mine) == "bot from a shell"
    with pytest.raises(PermissionDeniedError, match="ask needs the role ask; ana has viewer"):
        await ana.ask(Question("Me?"))
    assert [r.id for r in await bot.requests(RequestQuery())] == [mine.id]
    assert await bot.request_count(RequestQuery()) == 1
    for method, given in (
        ("request", (others.id,)),
        ("answer", (mine.id, mine.revision, Answer("approved"))),
        ("claim", (mine.id,)),
        ("reassign", (mine.id, mine.revision, ["bot"])),
        ("run", (mine.run_id,)),
        ("withdraw", (others.id,)),
    ):
        with pytest.raises(PermissionDeniedError):
            await getattr(bot, method)(*given)
    await cy.ask_requester(mine.id, "Which host?")
    assert (await bot.reply(mine.id, "web-1")).messages[-1].text == "web-1"
    done = await cy.answer(mine.id, (await cy.request(mine.id)).revision, Answer("approved"))
    assert done.answered_by is not None
    assert (done.answered_by.user, (await bot.request(mine.id)).outcome) == ("cy", "approved")
    with pytest.raises(ConflictError, match="already counts"):
        await bot.withdraw(mine.id)
    second = await bot.ask(Question("Again?"))
    withdrawn = await bot.withdraw(second.id, "no longer needed")
    assert withdrawn.status == "withdrawn"


async def test_a_question_is_a_run_that_is_no_workflow(tmp_path: Path) -> None:
    root = workspace(tmp_path, {"victor.yaml": ""})
    async with engine_on(root) as engine:
        # No slot is needed to ask, and the position survives the engine.
        picked = await engine.ask(Question("Where?", choices=("left", "right"), timeout=3600))
        form = await engine.ask(Question("Port?", input_schema={"type": "integer", "minimum": 1}))
    async with engine_on(root) as engine:
        assert {r.id for r in await engine.requests(RequestQuery())} == {picked.id, form.id}
        assert {r.workflow for r in await engine.runs(RunQuery())} == {ASKED_WORKFLOW}
        assert (await engine.request(picked.id)).ways == ()
        done = await engine.answer(picked.id, 1, Answer("answered", value="left"))
        assert (await until_end(engine, done.run_id)).run.status == "succeeded"
        assert (await engine.run_stats(RunQuery())).looked_at == 0
        assert await engine.workflows() == []
        for refused in (
            lambda: engine.rerun(done.run_id),
            lambda: engine.redrive_run(done.run_id),
            lambda: engine.retry_run(done.run_id),
        ):
            with pytest.raises(UsageError, match="is a question from a shell"):
                await refused()
        with pytest.raises(NotFoundError):
            await engine.start_run(ASKED_WORKFLOW)
        await engine.cancel_run(form.run_id)
        assert (await engine.request(form.id)).status == "withdrawn"
        ours = await engine.ask(Question("Go?"))
        await engine.answer(ours.id, 1, Answer("approved"))
        (found,) = await engine.events(EventQuery(kinds=("request.answered",), run_id=ours.run_id))
        assert found.data["self_approved"] is True
        records = [record.record for record in await engine.audit_records()]
        assert any('"self_approved":true' in record for record in records)
        report = await engine.verify_audit()
        assert report.intact


async def test_a_workflow_cannot_take_the_name_of_questions(tmp_path: Path) -> None:
    flow = f"workflows: {{{ASKED_WORKFLOW}: {{nodes: [{{id: a, type: transform, transform: 'x = 1'}}]}}}}\n"
    async with engine_on(workspace(tmp_path, {"victor.yaml": "", "w.yaml": flow})) as engine:
        problems = (await engine.engine()).problems
        assert any("is reserved for questions" in problem.message for problem in problems)
        assert (await engine.ask(Question("Fine?"))).version == "0.0.1"


async def test_questions_have_limits(tmp_path: Path) -> None:
    async with engine_on(workspace(tmp_path, {"victor.yaml": ""})) as engine:
        for wrong, message in (
            (Question(" "), "is empty"),
            (Question("x" * 300_000), "larger than"),
            (Question("a", choices=("b", "b")), "listed twice"),
            (Question("a", choices=("b", "")), "a choice is empty"),
            (Question("a", choices=("b",), input_schema={}), "not both"),
            (Question("a", timeout=-1), "longer than 0"),
            (Question("a", input_schema={"type": "nonsense"}), "input_schema"),
            (Question("a", input_schema={"type": "string", "writeOnly": True}), "secret fields"),
        ):
            with pytest.raises(UsageError, match=message):
                await engine.ask(wrong)
        asked = await asyncio.gather(*(engine.ask(Question(f"{n}?")) for n in range(MOST_QUESTIONS)))
        with pytest.raises(ConflictError, match=f"me has {MOST_QUESTIONS} open questions"):
            await engine.ask(Question("one more?"))
        with acting_as(BOTS):
            await engine.ask(Question("mine?"))
        await engine.answer(asked[0].id, 1, Answer("rejected"))
        assert (await engine.ask(Question("one more?"))).requested_by == ME.user


@pytest.mark.process
def test_a_real_user_who_may_only_ask_asks_and_cannot_answer(folder: Path, root: Path, second: Shell) -> None:
    second_user.need_root()
    words = ("--workspace", str(root))
    configure(folder, "permissions: {ask: [nobody]}\n")
    assert main([*words, "trust"]) == 0
    with daemon(folder, root, folder / "state"):
        asked = second.run(*words, "ask", "Ship?", "--no-wait")
        assert asked.returncode == 0, asked.stderr
        request = asked.stdout.strip()
        assert "nobody from a shell" in second.run(*words, "inbox", "list").stdout
        assert second.run(*words, "inbox", "answer", request, "yes").returncode == 6
        assert second.run(*words, "runs", "list").returncode == 6
        assert main([*words, "--state-dir", str(folder / "state"), "inbox", "answer", request, "no"]) == 0
        waited = second.run(*words, "inbox", "wait", request)
        assert (waited.returncode, waited.stdout) == (1, "no\n")
        assert second.run(*words, "ask", "Anyone?", "--timeout", "0.2s").returncode == 124
    configure(folder, VIEWER)
    with daemon(folder, root, folder / "state"):
        refused = second.run(*words, "ask", "Ship?")
        assert (refused.returncode, "ask needs the role ask; nobody has viewer" in refused.stderr) == (
            6,
            True,
        )
        refused = second.run(*words, "gate", "--", "true")
        assert (refused.returncode, "needs the role ask" in refused.stderr) == (126, True)
