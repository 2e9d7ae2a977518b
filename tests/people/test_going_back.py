"""Answers taken back, runs sent back, and questions to the requester."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.people.bench import ALICE, BOB, CAROL, NO, YES, Bench, bench
from victor_engine.api import Answer
from victor_engine.errors import AlreadyAnsweredError, ConflictError, PermissionDeniedError, UsageError
from victor_engine.people import corrections
from victor_engine.people.requests import RequestRef, decision_of, withdraw_requests
from victor_engine.people.roles import Person
from victor_engine.store.queries import request

HOUR = 3600.0


async def undo(b: Bench, ref: RequestRef, who: Person) -> None:
    await b.write(lambda tx: corrections.undo_answer(tx, ref.id, who))


# --- undo --------------------------------------------------------------------------------------


async def test_an_answer_counts_once_its_window_is_over(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask(undo_window=5.0)
        assert await b.answer(ref, YES) is None
        assert await b.store.read(lambda c: decision_of(c, ref.id)) is None
        info = await b.store.read(lambda c: request(c, ref.id))
        assert (info.status, info.outcome) == ("answered", "approved")
        assert info.settles_at is not None
        assert (info.settles_at - b.clock.now()).total_seconds() == 5.0
        with pytest.raises(AlreadyAnsweredError, match="bob answered"):
            await b.answer(ref, NO, CAROL)
        assert await b.run_timers(ref, after=4.9) is None
        decision = await b.run_timers(ref, after=0.1)
        assert decision is not None
        assert decision.outcome == "approved"
        assert await b.run_timers(ref, after=60) is None
        assert (await b.kinds(ref)).count("request.settled") == 1
        with pytest.raises(ConflictError, match="its undo window has ended"):
            await undo(b, ref, Person(BOB))


async def test_its_author_takes_an_answer_back(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask(undo_window=5.0, timeout_seconds=HOUR, reminders=(600.0,))
        before = (await b.row(ref))["deadline"]
        await b.answer(ref, YES)
        assert await b.all("SELECT * FROM reminders") == []
        await b.run_timers(ref, after=3)
        with pytest.raises(PermissionDeniedError, match="bob answered"):
            await undo(b, ref, Person(CAROL, admin=True))
        await undo(b, ref, Person(BOB))
        row = await b.row(ref)
        assert (row["status"], row["outcome"], row["revision"]) == ("open", None, 3)
        assert row["deadline"] == before + 3_000_000
        assert len(await b.all("SELECT * FROM reminders")) == 1
        assert await b.run_timers(ref, after=10) is None, "what was taken back never counts"
        await b.answer(ref, NO, revision=3)
        decision = await b.run_timers(ref, after=5)
        assert decision is not None
        assert decision.outcome == "rejected"
        assert await b.all("SELECT outcome, undone_at IS NULL FROM votes ORDER BY id") == [
            ("approved", 0),
            ("rejected", 1),
        ]


async def test_a_vote_that_was_taken_back_is_not_counted(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask(undo_window=5.0, required_approvals=2)
        await b.answer(ref, YES, ALICE)
        await b.answer(ref, YES, BOB)
        await undo(b, ref, Person(BOB))
        info = await b.store.read(lambda c: request(c, ref.id))
        assert [(vote.actor.user, vote.undone) for vote in info.votes] == [("alice", False), ("bob", True)]
        await b.answer(ref, YES, CAROL, revision=3)
        decision = await b.run_timers(ref, after=5)
        assert decision is not None
        assert [vote["by"] for vote in decision.record["votes"]] == ["alice", "carol"]


async def test_a_run_that_ends_withdraws_the_undecided_answer(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask(undo_window=5.0)
        await b.answer(ref, YES)
        assert await b.write(lambda tx: withdraw_requests(tx, b.run_key, "cancelled")) == 1
        assert (await b.row(ref))["status"] == "withdrawn"
        assert await b.run_timers(ref, after=10) is None
        with pytest.raises(ConflictError, match="withdrawn"):
            await undo(b, ref, Person(BOB))


@pytest.mark.parametrize("window", [None, 5.0])
async def test_there_is_nothing_to_take_back(tmp_path: Path, window: float | None) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask(undo_window=window)
        with pytest.raises(ConflictError, match="is open"):
            await undo(b, ref, Person(BOB))
        if window is None:
            await b.answer(ref, YES)
            with pytest.raises(ConflictError, match="no undo_window"):
                await undo(b, ref, Person(BOB))


# --- push back ---------------------------------------------------------------------------------


async def visited(b: Bench, *nodes: str, parent: str | None = None) -> int:
    for node in nodes:
        await b.write(
            lambda tx, node=node: tx.execute(  # type: ignore[misc]
                "INSERT INTO attempts (run_key, definition_id, node_id, node_type, iteration, number, parent,"
                " status, started_at) VALUES (?, 1, ?, 'agent', 1, 1, ?, 'succeeded', 0)",
                (b.run_key, node, parent),
            )
        )
    ((last,),) = await b.all("SELECT MAX(id) FROM attempts")
    b.asked = last - 1
    return int(last)


async def test_a_run_is_sent_back_with_a_comment(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await visited(b, "write", "check", "write", "gate")
        ref = await b.ask()
        info = await b.store.read(lambda c: request(c, ref.id))
        assert info.can_go_back_to == ("write", "check")
        with pytest.raises(
            UsageError, match="cannot go back to 'deploy' from gate: it has visited write, check"
        ):
            await b.write(lambda tx: corrections.push_back(tx, ref.id, 1, "deploy", "no", Person(BOB)))
        with pytest.raises(UsageError, match="a comment is required"):
            await b.write(lambda tx: corrections.push_back(tx, ref.id, 1, "write", " ", Person(BOB)))
        decision = await b.write(
            lambda tx: corrections.push_back(tx, ref.id, 1, "write", "too long", Person(BOB))
        )
        assert decision is not None
        assert (decision.outcome, decision.back_to) == ("pushed_back", "write")
        said = decision.record["pushed_back"]
        assert {key: said[key] for key in ("to", "comment", "by", "iteration")} == {
            "to": "write",
            "comment": "too long",
            "by": "bob",
            "iteration": 1,
        }
        with pytest.raises(AlreadyAnsweredError, match="pushed_back"):
            await b.answer(ref, YES, CAROL)


async def test_only_who_is_asked_sends_back(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await visited(b, "write", "gate")
        ref = await b.ask(assignees=("carol",))
        with pytest.raises(PermissionDeniedError):
            await b.write(lambda tx: corrections.push_back(tx, ref.id, 1, "write", "no", Person(BOB)))


async def test_a_branch_of_a_parallel_node_cannot_go_back_alone(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await visited(b, "write")
        await visited(b, "gate", parent="both")
        ref = await b.ask()
        with pytest.raises(UsageError, match="it has not visited an earlier node"):
            await b.write(lambda tx: corrections.push_back(tx, ref.id, 1, "write", "no", Person(BOB)))


# --- the requester -----------------------------------------------------------------------------


async def test_the_deadline_stands_still_while_the_requester_is_asked(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask(allow_questions=True, timeout_seconds=HOUR, reminders=(600.0,))
        await b.run_timers(ref, after=HOUR - 900)
        await b.write(lambda tx: corrections.ask_requester(tx, ref.id, "Which host?", Person(BOB)))
        info = await b.store.read(lambda c: request(c, ref.id))
        assert (info.deadline, info.held_left, info.held_since) == (None, 900.0, b.clock.now())
        assert await b.run_timers(ref, after=10 * HOUR) is None
        with pytest.raises(PermissionDeniedError, match="alice started"):
            await b.write(lambda tx: corrections.reply_to_question(tx, ref.id, "mine", Person(CAROL)))
        await b.write(lambda tx: corrections.reply_to_question(tx, ref.id, "web-3", Person(ALICE)))
        info = await b.store.read(lambda c: request(c, ref.id))
        assert info.deadline is not None
        assert (info.deadline - b.clock.now()).total_seconds() == 900.0
        assert [(m.kind, m.actor.user, m.text) for m in info.messages] == [
            ("question", "bob", "Which host?"),
            ("reply", "alice", "web-3"),
        ]
        await b.run_timers(ref, after=300)
        assert len(await b.events(ref, "request.reminded")) == 1
        decision = await b.run_timers(ref, after=600)
        assert decision is not None
        assert decision.outcome == "timed_out"


async def test_an_answer_closes_an_open_question(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask(allow_questions=True, timeout_seconds=HOUR)
        await b.write(lambda tx: corrections.ask_requester(tx, ref.id, "Why?", Person(BOB)))
        await b.run_timers(ref, after=2 * HOUR)
        assert await b.answer(ref, Answer(outcome="approved"), BOB) is not None
        info = await b.store.read(lambda c: request(c, ref.id))
        assert info.held_since is None


async def test_questions_need_the_authors_leave(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask()
        with pytest.raises(ConflictError, match="allow_questions: true"):
            await b.write(lambda tx: corrections.ask_requester(tx, ref.id, "Why?", Person(BOB)))
        open_ref = await b.ask(allow_questions=True)
        with pytest.raises(UsageError, match="write a question"):
            await b.write(lambda tx: corrections.ask_requester(tx, open_ref.id, "", Person(BOB)))
        with pytest.raises(ConflictError, match="has no open question"):
            await b.write(lambda tx: corrections.reply_to_question(tx, open_ref.id, "x", Person(ALICE)))
