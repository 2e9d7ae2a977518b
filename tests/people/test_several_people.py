"""Reassignment, delegation, chains, and the policies of rejections."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.people.bench import ALICE, BOB, CAROL, NO, YES, Bench, bench
from victor_engine.api import Actor
from victor_engine.errors import AlreadyAnsweredError, ConflictError, PermissionDeniedError, UsageError
from victor_engine.people.reassignment import delegate_request, reassign_request
from victor_engine.people.requests import RequestRef, claim_request
from victor_engine.people.roles import Person, exists, look_up, needs_groups, person, unix_groups
from victor_engine.people.votes import rejections_needed

DAVE = Actor(user="dave", uid=1004, via="cli")


async def reassign(
    b: Bench, ref: RequestRef, who: Person, *to: str, revision: int = 1, note: str = ""
) -> None:
    await b.write(lambda tx: reassign_request(tx, ref.id, revision, to, note, who))


async def delegate(b: Bench, ref: RequestRef, who: Person, to: str, revision: int = 1) -> None:
    await b.write(lambda tx: delegate_request(tx, ref.id, revision, to, "on leave", who))


# --- handing on --------------------------------------------------------------------------------


async def test_an_assignee_puts_others_in_the_place_of_all(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask(assignees=("alice", "bob"))
        await b.write(lambda tx: claim_request(tx, ref.id, Person(BOB)))
        await reassign(b, ref, Person(ALICE), "carol", note="she knows it")
        assert (await b.ask_row(ref)).assignees == ("carol",)
        assert (await b.row(ref))["claimed_by"] is None
        assert await b.events(ref, "request.reassigned") == [
            {"from": ["alice", "bob"], "to": ["carol"], "note": "she knows it", "actor": "alice"}
        ]
        with pytest.raises(ConflictError, match="has changed"):
            await b.answer(ref, YES, CAROL)
        with pytest.raises(PermissionDeniedError, match="is assigned to carol"):
            await b.answer(ref, YES, ALICE, revision=2)
        assert await b.answer(ref, YES, CAROL, revision=2) is not None


async def test_who_may_hand_on(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask(assignees=("alice", "group:ops"))
        with pytest.raises(PermissionDeniedError, match="you are dave"):
            await reassign(b, ref, Person(DAVE), "dave")
        await reassign(b, ref, Person(DAVE, groups=frozenset({"ops"})), "alice")
        await reassign(b, ref, Person(DAVE, admin=True), "bob", revision=2)
        await b.write(lambda tx: claim_request(tx, ref.id, Person(BOB)))
        await reassign(b, ref, Person(BOB), "alice", revision=3)
        assert (await b.row(ref))["revision"] == 4


async def test_handing_on_is_compare_and_set(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask(assignees=("alice",))
        await reassign(b, ref, Person(ALICE), "alice", "bob")
        with pytest.raises(ConflictError, match="at revision 2, not 1"):
            await delegate(b, ref, Person(ALICE), "carol")
        await b.answer(ref, YES, BOB, revision=2)
        with pytest.raises(AlreadyAnsweredError):
            await delegate(b, ref, Person(ALICE), "carol", revision=3)
        assert len(await b.events(ref, "request.delegated")) == 0


async def test_a_reassignment_to_too_few_people_or_to_no_one_is_refused(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask(assignees=("alice", "bob"), required_approvals=2)
        with pytest.raises(UsageError, match="needs 2 approvals"):
            await reassign(b, ref, Person(ALICE), "user:carol")
        with pytest.raises(UsageError, match="no assignee is given"):
            await reassign(b, ref, Person(ALICE), " ")
        await reassign(b, ref, Person(ALICE), "group:ops")


async def test_one_gives_away_ones_own_place_only(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask(assignees=("alice", "bob"))
        await delegate(b, ref, Person(ALICE), "carol")
        assert (await b.ask_row(ref)).assignees == ("bob", "carol")
        (event,) = await b.events(ref, "request.delegated")
        assert (event["actor"], event["note"]) == ("alice", "on leave")
        group = await b.ask(assignees=("group:ops",))
        await delegate(b, group, Person(DAVE, groups=frozenset({"ops"})), "carol")
        assert (await b.ask_row(group)).assignees == ("group:ops", "carol")
        anyone = await b.ask()
        await delegate(b, anyone, Person(DAVE), "carol")
        assert (await b.ask_row(anyone)).assignees == ("carol",)


# --- chains ------------------------------------------------------------------------------------


async def test_a_chain_asks_one_after_the_other(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask(chain=("alice", "@lead", "group:ops"), timeout_seconds=600.0)
        deadline = (await b.row(ref))["deadline"]
        with pytest.raises(PermissionDeniedError, match="is assigned to alice"):
            await b.answer(ref, YES, BOB, roles=("lead",))
        assert await b.answer(ref, YES, ALICE) is None
        assert (await b.ask_row(ref)).assignees == ("@lead",)
        assert await b.answer(ref, YES, BOB, revision=2, roles=("lead",)) is None
        decision = await b.answer(ref, YES, CAROL, revision=3, groups=("ops",))
        assert decision is not None
        assert [vote["by"] for vote in decision.record["votes"]] == ["alice", "bob", "carol"]
        assert [(e["to"], e["place"], e["of"]) for e in await b.events(ref, "request.passed_on")] == [
            ("@lead", 2, 3),
            ("group:ops", 3, 3),
        ]
        assert (await b.row(ref))["deadline"] == deadline, "one deadline for the whole chain"
        assert await b.all("SELECT stage FROM votes ORDER BY id") == [(0,), (1,), (2,)]


async def test_a_no_ends_a_chain_at_once(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask(chain=("alice", "bob", "carol"))
        await b.answer(ref, YES, ALICE)
        decision = await b.answer(ref, NO, BOB, revision=2)
        assert decision is not None
        assert decision.outcome == "rejected"


async def test_a_chain_asks_different_people(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask(chain=("alice", "group:ops"))
        await b.answer(ref, YES, ALICE)
        with pytest.raises(PermissionDeniedError, match="needs a different user"):
            await b.answer(ref, YES, ALICE, revision=2, groups=("ops",))
        assert await b.answer(ref, YES, BOB, revision=2, groups=("ops",)) is not None


async def test_a_place_of_a_chain_can_be_delegated(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask(chain=("alice", "bob"))
        await delegate(b, ref, Person(ALICE), "dave")
        assert await b.answer(ref, YES, DAVE, revision=2) is None
        assert (await b.ask_row(ref)).assignees == ("bob",)


# --- quorum ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "assignees", "required", "noes"),
    [
        ("any", ("a", "b", "c"), 3, 1),
        ("majority", ("a", "b", "c"), 2, 2),
        ("majority", ("a", "b", "c", "d"), 2, 3),
        ("majority", ("@lead", "b"), 3, 2),
        ("majority", (), 4, 3),
        ("quorum", ("a", "b", "c", "d"), 3, 3),
    ],
)
async def test_how_many_rejections_reject(
    tmp_path: Path, policy: str, assignees: tuple[str, ...], required: int, noes: int
) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask(assignees=assignees, required_approvals=required, reject_policy=policy)
        assert rejections_needed(await b.ask_row(ref)) == noes
        for number in range(noes):
            name = assignees[number] if number < len(assignees) and number else "b"
            actor = Actor(user=name, uid=3000 + number)
            decision = await b.answer(ref, NO, actor, groups=assignees)
            assert (decision is not None) == (number == noes - 1)


# --- who somebody is ---------------------------------------------------------------------------


def test_names_groups_and_roles() -> None:
    root = Actor(user="root", uid=0)
    who = look_up(root, {"approver": ("@root",), "viewer": ("nobody",)})
    assert who.roles == {"approver"}
    assert all(who.matches(name) for name in ("root", "user:root", "group:root", "@approver", "@root"))
    assert not any(who.matches(name) for name in ("user:rot", "group:rot", "@viewer", "rot"))
    assert who.is_one_of(())
    assert unix_groups("no-such-user") == frozenset()


def test_groups_are_looked_up_only_if_needed() -> None:
    assert not needs_groups((), ALICE)
    assert not needs_groups(("bob", "user:alice"), ALICE)
    assert needs_groups(("bob", "@lead"), ALICE)


def test_admins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1001)
    nobody: frozenset[str] = frozenset()
    assert person(ALICE, {}, nobody, ("bob",)).admin, "the user of the engine always is"
    assert not person(BOB, {"admin": ("bob",)}, nobody).admin, "a role of assignees gives no rights"
    assert person(BOB, {}, nobody, ("bob",)).admin
    assert person(CAROL, {}, frozenset({"wheel"}), ("@wheel",)).admin
    assert person(Actor(user="root", uid=0), {}, nobody, ("bob",)).admin


def test_assignees_that_this_machine_does_not_know() -> None:
    assert exists("root", {})
    assert exists("group:root", {})
    assert exists("@lead", {"lead": ()})
    assert not any(exists(name, {}) for name in ("no-such-user", "user:no-such", "group:no-such", "@no-such"))
