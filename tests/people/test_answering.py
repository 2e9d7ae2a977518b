"""Answers: one winner, errors for the others, and no change by an answer that is refused."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from tests.people.bench import ALICE, BOB, CAROL, NO, YES, bench
from victor_engine import jsonio
from victor_engine.api import Actor, Answer
from victor_engine.definition.model import Choice
from victor_engine.errors import (
    AlreadyAnsweredError,
    ConflictError,
    InvalidAnswerError,
    NotFoundError,
    PermissionDeniedError,
    VictorError,
)
from victor_engine.people.requests import (
    Decision,
    Person,
    claim_request,
    decision_of,
    open_request,
    release_request,
    withdraw_requests,
)

PEOPLE = [Actor(user=f"p{number}", uid=2000 + number, via="cli") for number in range(8)]


async def test_an_answer_is_a_decision_a_vote_and_an_event(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask()
        decision = await b.answer(ref, Answer(outcome="approved", comment="fine"))
        assert decision is not None
        assert (decision.outcome, decision.value, decision.abort) == ("approved", True, None)
        assert decision.record["by"] == "bob"
        assert decision.record["comment"] == "fine"
        assert await b.all("SELECT uid, outcome, comment FROM votes") == [(1002, "approved", "fine")]
        assert await b.kinds(ref) == ["request.opened", "request.answered"]
        assert await b.store.read(lambda connection: decision_of(connection, ref.id)) == decision


async def test_concurrent_answers_have_one_winner_and_errors_for_the_others(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        for _ in range(40):
            ref = await b.ask()
            answers = [
                b.answer(ref, Answer(outcome="approved" if n % 2 else "rejected", comment=p.user), p)
                for n, p in enumerate(PEOPLE)
            ]
            results = await asyncio.gather(*answers, return_exceptions=True)
            won = [(p, r) for p, r in zip(PEOPLE, results, strict=True) if isinstance(r, Decision)]
            lost = [r for r in results if isinstance(r, AlreadyAnsweredError)]
            assert (len(won), len(lost)) == (1, len(PEOPLE) - 1)
            winner, decision = won[0]
            for error in lost:
                assert error.details["by"] == winner.user
                assert error.details["outcome"] == decision.outcome
                assert error.details["at"]
            assert await b.all(
                "SELECT v.uid, q.outcome, q.comment FROM votes v JOIN requests q ON q.key = v.request_key"
                " WHERE q.id = ?",
                ref.id,
            ) == [(winner.uid, decision.outcome, winner.user)]


async def test_a_stale_revision_changes_nothing(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask()
        with pytest.raises(ConflictError, match="at revision 1, not 7"):
            await b.answer(ref, YES, revision=7)
        assert (await b.row(ref))["status"] == "open"
        assert await b.all("SELECT * FROM votes") == []


async def test_an_unknown_request_is_not_found(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask()
        with pytest.raises(NotFoundError, match="'nope'"):
            await b.answer(type(ref)("nope", 0, 1), YES)


@pytest.mark.parametrize(
    ("fields", "answer", "path"),
    [
        ({"require_comment": True}, YES, "comment"),
        ({"require_comment": True}, Answer(outcome="rejected", comment=" \n"), "comment"),
        ({}, Answer(outcome="answered", value="yes"), ""),
        ({"hitl_type": "choice", "choices": (Choice(value="a", label="A"),)}, NO, ""),
        (
            {"hitl_type": "choice", "choices": (Choice(value=1, label="A"),)},
            Answer(outcome="answered", value=True),
            "",
        ),
        (
            {"hitl_type": "choice", "multiple": True, "choices": (Choice(value="a", label="A"),)},
            Answer(outcome="answered", value=[]),
            "",
        ),
        ({"hitl_type": "input"}, Answer(outcome="answered"), ""),
        ({"hitl_type": "input"}, NO, ""),
        (
            {
                "hitl_type": "input",
                "input_schema": {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}},
            },
            Answer(outcome="answered", value={"n": 0}),
            "n",
        ),
        (
            {"hitl_type": "input", "input_schema": {"type": "object", "required": ["who"]}},
            Answer(outcome="answered", value={}),
            "who",
        ),
        ({"hitl_type": "review"}, Answer(outcome="approved", value="changed"), ""),
        ({"hitl_type": "override"}, NO, ""),
    ],
)
async def test_an_answer_that_does_not_fit_changes_nothing(
    tmp_path: Path, fields: dict[str, object], answer: Answer, path: str
) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask(**fields)
        with pytest.raises(InvalidAnswerError) as caught:
            await b.answer(ref, answer)
        assert list(caught.value.details["errors"]) == [path]
        assert (await b.row(ref))["status"] == "open"
        assert await b.all("SELECT * FROM votes") == []
        assert await b.kinds(ref) == ["request.opened"]


ONE = (Choice(value="Retry", label="Retry"),)
DOCUMENT = {"context_keys": ("text",), "hitl_type": "review"}


@pytest.mark.parametrize(
    ("fields", "answer", "outcome", "value"),
    [
        ({"hitl_type": "confirmation"}, NO, "rejected", False),
        ({"choices": ONE}, Answer(outcome="answered", value="retry"), "answered", "Retry"),
        ({"hitl_type": "input"}, Answer(outcome="answered", value="text"), "answered", "text"),
        (DOCUMENT, YES, "approved", True),
        ({**DOCUMENT, "allow_edit": True}, YES, "approved", "draft"),
        ({**DOCUMENT, "allow_edit": True}, Answer(outcome="approved", value="better"), "approved", "better"),
        ({**DOCUMENT, "allow_edit": True}, NO, "rejected", False),
        ({"hitl_type": "override", "context_keys": ("n",)}, Answer(outcome="answered"), "accepted", 1),
        ({"hitl_type": "override", "context_keys": ("n",)}, Answer(outcome="answered", value=2), "overridden", 2),
        ({"hitl_type": "override", "context_keys": ("n",)}, Answer(outcome="answered", value=True), "overridden", True),
    ],
)  # fmt: skip
async def test_what_each_kind_of_answer_comes_to(
    tmp_path: Path, fields: dict[str, object], answer: Answer, outcome: str, value: object
) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask({"text": "draft", "n": 1}, **fields)
        decision = await b.answer(ref, answer)
        assert decision is not None
        assert (decision.outcome, jsonio.canonical(decision.value)) == (outcome, jsonio.canonical(value))


# --- several people ----------------------------------------------------------------------------


async def test_two_different_people_have_to_approve(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask(required_approvals=2)
        assert await b.answer(ref, YES, ALICE) is None
        with pytest.raises(ConflictError, match="1 of 2"):
            await b.answer(ref, YES, ALICE)
        with pytest.raises(ConflictError):
            await b.answer(ref, YES, Actor(user="alias", uid=ALICE.uid))
        decision = await b.answer(ref, YES, BOB)
        assert decision is not None
        assert [vote["by"] for vote in decision.record["votes"]] == ["alice", "bob"]
        assert await b.kinds(ref) == ["request.opened", "request.voted", "request.answered"]


async def test_one_rejection_decides(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask(required_approvals=3)
        await b.answer(ref, YES, ALICE)
        decision = await b.answer(ref, NO, BOB)
        assert decision is not None
        assert decision.outcome == "rejected"


async def test_by_majority_one_rejection_does_not_decide(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask(required_approvals=2, reject_policy="majority")
        assert await b.answer(ref, NO, ALICE) is None
        assert await b.answer(ref, YES, BOB) is None
        decision = await b.answer(ref, YES, CAROL)
        assert decision is not None
        assert decision.outcome == "approved"


async def test_a_quorum_on_choices_needs_people_who_agree(tmp_path: Path) -> None:
    """Two people who say different things have not agreed on either."""
    async with bench(tmp_path) as b:
        choices = (Choice(value="Continue", label="Continue"), Choice(value="Rollback", label="Rollback"))
        ref = await b.ask(required_approvals=2, choices=choices)
        assert await b.answer(ref, Answer(outcome="answered", value="Continue"), ALICE) is None
        assert await b.answer(ref, Answer(outcome="answered", value="Rollback"), BOB) is None
        decision = await b.answer(ref, Answer(outcome="answered", value="Rollback"), ALICE)
        assert decision is not None
        assert decision.value == "Rollback"


async def test_votes_count_only_for_the_same_document(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask({"text": "draft"}, **DOCUMENT, allow_edit=True, required_approvals=2)
        assert await b.answer(ref, YES, ALICE) is None
        assert await b.answer(ref, Answer(outcome="approved", value="sudo rm"), BOB) is None
        decision = await b.answer(ref, YES, CAROL)
        assert decision is not None
        assert decision.value == "draft"


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    required=st.integers(1, 3),
    policy=st.sampled_from(["any", "majority", "quorum"]),
    votes=st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=10),
)
async def test_any_order_of_votes_agrees_with_counting(
    required: int, policy: str, votes: list[tuple[int, bool]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with bench(Path(folder)) as b:
            ref = await b.ask(required_approvals=required, reject_policy=policy)
            said: dict[int, bool] = {}
            decided: str | None = None
            for person, approves in votes:
                repeats = said.get(person) is approves
                try:
                    decision = await b.answer(ref, YES if approves else NO, PEOPLE[person])
                except AlreadyAnsweredError:
                    assert decided is not None
                    continue
                except ConflictError:
                    assert decided is None
                    assert repeats
                    continue
                assert decided is None
                assert not repeats
                said[person] = approves
                counts = (list(said.values()).count(True), list(said.values()).count(False))
                noes = {"any": 1, "majority": required // 2 + 1, "quorum": required}[policy]
                if approves and counts[0] >= required:
                    decided = "approved"
                elif not approves and counts[1] >= noes:
                    decided = "rejected"
                assert (decision.outcome if decision else None) == decided
            row = await b.row(ref)
            assert row["outcome"] == decided
            assert row["status"] == ("answered" if decided else "open")
            assert (await b.kinds(ref)).count("request.answered") == (1 if decided else 0)


# --- who may -----------------------------------------------------------------------------------


async def test_four_eyes(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask(allow_self_approval=False)
        for oneself in (ALICE, Actor(user="alice", uid=7), Actor(user="other", uid=ALICE.uid)):
            with pytest.raises(PermissionDeniedError, match="four-eyes rule"):
                await b.answer(ref, YES, oneself)
        decision = await b.answer(ref, NO, ALICE)
        assert decision is not None, "whoever started a run may still stop it"


async def test_four_eyes_look_through_a_run_that_another_run_started(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        parent = await b.new_run(ALICE)
        await b.new_run(None, parent)
        ref = await b.ask(allow_self_approval=False)
        with pytest.raises(PermissionDeniedError, match="alice started"):
            await b.answer(ref, YES, ALICE)
        assert await b.answer(ref, YES, BOB) is not None


async def test_four_eyes_do_not_stop_anybody_where_a_schedule_started_the_run(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        await b.new_run(None)
        ref = await b.ask(allow_self_approval=False)
        assert await b.answer(ref, YES, ALICE) is not None


async def test_only_assignees_may_answer_or_claim(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask(assignees=("bob", "@lead"))

        with pytest.raises(PermissionDeniedError, match="you are alice"):
            await b.answer(ref, YES, ALICE)
        with pytest.raises(PermissionDeniedError):
            await b.write(lambda tx: claim_request(tx, ref.id, Person(ALICE)))
        assert await b.answer(ref, YES, CAROL, roles=("lead",)) is not None


# --- claims, withdrawal ------------------------------------------------------------------------


async def test_a_claim_is_visible_and_does_not_block_other_answers(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask()
        await b.write(lambda tx: claim_request(tx, ref.id, Person(ALICE)))
        with pytest.raises(ConflictError, match="alice has claimed"):
            await b.write(lambda tx: claim_request(tx, ref.id, Person(BOB)))
        with pytest.raises(PermissionDeniedError):
            await b.write(lambda tx: release_request(tx, ref.id, Person(BOB)))
        await b.write(lambda tx: release_request(tx, ref.id, Person(ALICE)))
        assert (await b.row(ref))["claimed_by"] is None
        await b.write(lambda tx: claim_request(tx, ref.id, Person(ALICE)))
        assert await b.answer(ref, YES, BOB) is not None
        assert await b.kinds(ref) == [
            "request.opened",
            "request.claimed",
            "request.released",
            "request.claimed",
            "request.answered",
        ]
        with pytest.raises(AlreadyAnsweredError):
            await b.write(lambda tx: claim_request(tx, ref.id, Person(CAROL)))


async def test_what_was_withdrawn_cannot_be_answered(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ref, done = await b.ask(), await b.ask()
        await b.answer(done, YES)
        assert await b.write(lambda tx: withdraw_requests(tx, b.run_key, "cancelled")) == 1
        with pytest.raises(ConflictError, match="withdrawn"):
            await b.answer(ref, YES)
        decision = await b.store.read(lambda connection: decision_of(connection, ref.id))
        assert decision is not None
        assert decision.outcome == "withdrawn"
        assert decision.abort
        assert (await b.row(done))["status"] == "answered"


async def test_asking_again_for_the_same_step_finds_the_question(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask()
        row = await b.row(ref)
        from msgspec.json import decode

        from victor_engine.people.questions import Ask

        ask = decode(row["spec"], type=Ask)
        again = await b.write(
            lambda tx: open_request(
                tx,
                run_key=b.run_key,
                run_id=b.run_id,
                workflow="w",
                attempt_id=1,
                node_id="gate",
                iteration=1,
                ask=ask,
                deadline_us=None,
            )
        )
        assert again == ref
        assert await b.kinds(ref) == ["request.opened"]


async def test_errors_cross_the_wire_with_what_they_say(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask()
        await b.answer(ref, YES)
        with pytest.raises(AlreadyAnsweredError) as caught:
            await b.answer(ref, NO, CAROL)
        arrived = VictorError.from_wire(jsonio.loads(jsonio.dumps(caught.value.to_wire())))
        assert isinstance(arrived, AlreadyAnsweredError)
        assert arrived.details["by"] == "bob"


def test_every_pair_of_people_is_distinguished() -> None:
    people = [*PEOPLE, Actor(user="x"), Actor(user="y")]
    assert all(a.person != b.person for a, b in itertools.combinations(people, 2))


PLAN = {"hosts": ["a"], "note": "é"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (UNSET, PLAN),
        ('{\n  "hosts": [],\n  "note": "é"\n}', {"hosts": [], "note": "é"}),
        ({"hosts": ["b"]}, {"hosts": ["b"]}),
    ],
)
async def test_an_edited_review_of_an_object_stays_an_object(
    tmp_path: Path, value: object, expected: object
) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask({"plan": PLAN}, hitl_type="review", context_keys=("plan",), allow_edit=True)
        decision = await b.answer(ref, Answer(outcome="approved", value=value))
        assert decision is not None
        assert (decision.outcome, decision.value) == ("approved", expected)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ('{\n  "hosts": [}', "line 2, column 13"),
        ("[" * 200, "nested more than 100 levels deep"),
        ("[1]", "must be an object, like the original"),
        (7, "must be an object, like the original"),
    ],
)
async def test_a_review_of_an_object_is_refused_with_the_place_of_its_error(
    tmp_path: Path, value: object, words: str
) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask({"plan": PLAN}, hitl_type="review", context_keys=("plan",), allow_edit=True)
        with pytest.raises(InvalidAnswerError, match=words):
            await b.answer(ref, Answer(outcome="approved", value=value))
        assert (await b.row(ref))["status"] == "open"
