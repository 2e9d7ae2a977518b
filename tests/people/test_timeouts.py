"""Deadlines: `on_timeout` takes effect, and no request is approved without `on_timeout: approve`."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.people.bench import BOB, YES, Bench, bench
from victor_engine.definition.model import FALLBACKS, Choice, ConditionNode, HITLNode, WorkflowDefinition
from victor_engine.errors import AlreadyAnsweredError, ConflictError, NodeError
from victor_engine.people.requests import (
    Decision,
    RequestRef,
    decision_of,
    due_requests,
    next_deadline,
    next_nodes,
)
from victor_engine.store.db import open_store

HOUR = 3600.0


@pytest.mark.parametrize(
    ("fallback", "fields", "outcome", "value", "aborts"),
    [
        ("abort", {}, "timed_out", None, True),
        ("continue", {}, "timed_out", None, False),
        ("continue", {"has_default": True, "default_value": True}, "timed_out", True, False),
        ("skip", {}, "skipped", None, False),
        ("reject", {}, "rejected", False, False),
        ("approve", {}, "approved", True, False),
        ("escalate", {}, "timed_out", None, True),
    ],
)
async def test_a_deadline_without_an_answer_applies_on_timeout(
    tmp_path: Path, fallback: str, fields: dict[str, object], outcome: str, value: object, aborts: bool
) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask(timeout_seconds=HOUR, fallback=fallback, **fields)
        decision = await b.expire(ref, after=HOUR)
        assert decision is not None
        assert (decision.outcome, decision.value, decision.abort is not None) == (outcome, value, aborts)
        assert decision.record["by"] is None
        assert (await b.row(ref))["status"] == "expired"
        assert (await b.kinds(ref))[-1] == "request.expired"
        assert await b.store.read(lambda connection: decision_of(connection, ref.id)) == decision
        with pytest.raises(AlreadyAnsweredError, match="deadline"):
            await b.answer(ref, YES)


@pytest.mark.parametrize("fallback", [f for f in FALLBACKS if f != "approve"])
async def test_nothing_else_ever_approves(tmp_path: Path, fallback: str) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask(timeout_seconds=1.0, fallback=fallback, max_asks=2, escalate_to="lead")
        for _ in range(6):
            await b.expire(ref, after=2.0)
        row = await b.row(ref)
        assert row["status"] == "expired"
        assert row["outcome"] != "approved"


async def test_nothing_happens_before_the_deadline_or_without_one(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ref, endless = await b.ask(timeout_seconds=HOUR), await b.ask()
        assert await b.expire(ref, after=HOUR - 1) is None
        assert await b.expire(endless) is None
        now = b.clock.now()
        assert await b.store.read(lambda c: due_requests(c, now)) == []
        assert await b.store.read(next_deadline) == now + timedelta(seconds=1)
        later = now + timedelta(seconds=1)
        assert await b.store.read(lambda c: due_requests(c, later)) == [ref.id]


async def test_an_answer_after_the_deadline_counts_for_nothing(tmp_path: Path) -> None:
    """Also where no engine was there to act on the deadline: being down extends nothing."""
    async with bench(tmp_path) as b:
        ref = await b.ask(timeout_seconds=HOUR, fallback="reject")
        b.clock.set_wall(b.clock.now() + timedelta(seconds=HOUR))
        with pytest.raises(ConflictError, match=r"deadline .* passed .*is rejected"):
            await b.answer(ref, YES)
        decision = await b.expire(ref)
        assert decision is not None
        assert decision.outcome == "rejected"


async def test_a_deadline_survives_a_restart(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask(timeout_seconds=HOUR)
        before = await b.row(ref)
    store = open_store(tmp_path / "victor.db")
    store.begin_epoch()
    store.start()
    try:
        again = Bench(store, b.clock)
        assert await again.row(ref) == before
    finally:
        await store.close()


@pytest.mark.parametrize("start", ["2026-03-29T00:30:00+00:00", "2026-10-25T00:30:00+00:00"])
async def test_a_change_of_the_clocks_neither_shortens_nor_extends_a_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: str
) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        async with bench(tmp_path) as b:
            b.clock.set_wall(datetime.fromisoformat(start))
            chain = ({"to": "bob", "after": "2h"},)
            ref = await b.ask(
                timeout_seconds=2 * HOUR, reminders=(1800.0,), fallback="escalate", escalation=chain
            )
            assert await b.run_timers(ref, after=2 * HOUR - 1) is None
            assert await b.kinds(ref) == ["request.opened", "request.reminded"]
            assert await b.run_timers(ref, after=1) is None
            assert await _escalations(b, ref) == ["bob"]
            assert await b.run_timers(ref, after=2 * HOUR - 1) is None
            decision = await b.run_timers(ref, after=1)
            assert decision is not None
            assert decision.outcome == "timed_out"
    finally:
        monkeypatch.undo()
        time.tzset()


async def test_it_is_asked_again_so_many_times_and_no_more(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask(timeout_seconds=HOUR, fallback="retry", max_asks=3)
        digest = (await b.row(ref))["digest"]
        for revision in (2, 3):
            assert await b.expire(ref, after=HOUR) is None
            row = await b.row(ref)
            assert (row["status"], row["revision"], row["digest"]) == ("open", revision, digest)
            with pytest.raises(ConflictError, match="has changed"):
                await b.answer(ref, YES)
        decision = await b.expire(ref, after=HOUR)
        assert decision is not None
        assert decision.abort is not None


async def _escalations(b: Bench, ref: RequestRef) -> list[str]:
    rows = await b.all(
        "SELECT json_extract(data, '$.escalated_to') FROM events"
        " WHERE request_id = ? AND kind = 'request.escalated' ORDER BY seq",
        ref.id,
    )
    return [name for (name,) in rows]


async def test_a_chain_of_escalations_has_its_own_deadlines(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        chain = ({"to": "bob", "after": "10m"}, {"to": "carol", "after": "5m"})
        ref = await b.ask(
            timeout_seconds=HOUR, fallback="escalate", assignees=("alice",), escalation=chain, priority=1
        )
        assert await b.expire(ref, after=HOUR) is None
        assert await b.expire(ref, after=599) is None
        assert await b.expire(ref, after=1) is None
        assert await _escalations(b, ref) == ["bob", "carol"]
        decision = await b.answer(ref, YES, BOB, revision=3)
        assert decision is not None, "whoever was asked on the way may still answer"


async def test_each_step_describes_the_next(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        chain = ({"to": "bob", "after": "10m"}, {"to": "carol", "after": "5m"})
        ref = await b.ask(timeout_seconds=HOUR, fallback="retry", max_asks=2, escalation=chain)
        told = []
        for after in (0, HOUR, HOUR, 600):
            assert await b.expire(ref, after=after) is None
            told.append((await b.ask_row(ref)).on_timeout_text.removeprefix("If no one answers: "))
        end = "the run is aborted."
        again = f"the question is asked again, at most 2 times; then bob is asked; then carol is asked; then {end}"
        assert told == [again, again, f"carol is asked; then {end}", end]


async def test_a_chain_without_a_limit_of_its_own_begins(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask(fallback="escalate", escalation=({"to": "bob", "after": "10m"},))
        assert await b.expire(ref, after=600) is None
        assert await _escalations(b, ref) == ["bob"]


async def test_a_default_that_is_not_a_valid_answer_aborts(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask(
            {"choice": "neither"},
            hitl_type="choice",
            choices=(Choice(value="a", label="a"),),
            has_default=True,
            default_value="$ctx.choice",
            timeout_seconds=1.0,
            fallback="continue",
        )
        decision = await b.expire(ref, after=1.0)
        assert decision is not None
        assert decision.abort is not None
        assert "'neither'" in decision.abort


# --- where it leads ----------------------------------------------------------------------------


def _way(decision: Decision, **fields: object) -> tuple[tuple[str, ...], str | None]:
    node = HITLNode(id="gate", **fields)  # type: ignore[arg-type]
    nodes = {
        "gate": node,
        "work": HITLNode(id="work"),
        "check": ConditionNode(id="check", condition="gate"),
    }
    way = next_nodes(node, decision, WorkflowDefinition(name="w", nodes=nodes))
    return way.successors, way.rejected


def _decision(outcome: str, value: object = None) -> Decision:
    return Decision(outcome, value, {"by": "bob", "outcome": outcome})


def test_a_list_of_next_nodes_continues_unless_rejected() -> None:
    assert _way(_decision("approved", True), next=("work",)) == (("work",), None)
    assert _way(_decision("timed_out"), next=("work",)) == (("work",), None)
    assert _way(_decision("rejected", False), next=("work",)) == ((), "bob rejected gate")
    assert _way(_decision("rejected", False), next=("check",)) == (("check",), None)
    assert _way(_decision("rejected", False), next=("check", "work"))[1] is not None
    assert _way(_decision("rejected", False))[1] is not None


RETRY = (
    Choice(value="approve", label="Approve"),
    Choice(value="Retry", label="Retry"),
    Choice(value=2, label="2"),
)


@pytest.mark.parametrize(
    ("outcome", "value", "fields", "target"),
    [
        ("approved", True, {"outcomes": {"approved": "work", "rejected": "check"}}, "work"),
        ("rejected", False, {"outcomes": {"approved": "work", "rejected": "check"}}, "check"),
        ("approved", True, {"outcomes": {"true": "work", "false": "check"}}, "work"),
        ("approved", "rejected", {"outcomes": {"approved": "work", "rejected": "check"}}, "work"),
        ("answered", "Retry", {"choices": RETRY, "outcomes": {"Retry": "work", "default": "check"}}, "work"),
        ("answered", 2, {"choices": RETRY, "outcomes": {"2": "work", "default": "check"}}, "work"),
        ("answered", "approve", {"choices": RETRY, "outcomes": {"approved": "work", "default": "check"}}, "work"),
        ("answered", "timed_out", {"outcomes": {"timed_out": "check", "answered": "work"}}, "work"),
        ("answered", "skip", {"outcomes": {"skip": "work", "default": "check"}}, "work"),
        ("timed_out", "Retry", {"choices": RETRY, "outcomes": {"Retry": "check", "timed_out": "work"}}, "work"),
        ("timed_out", "Retry", {"choices": RETRY, "outcomes": {"Retry": "work"}}, "work"),
        ("timed_out", True, {"outcomes": {"approved": "check", "default": "work"}}, "work"),
        ("overridden", 5, {"outcomes": {"overridden": "work", "accepted": "check"}}, "work"),
        ("answered", ["a"], {"outcomes": {"default": "work"}}, "work"),
    ],
)  # fmt: skip
def test_a_map_leads_by_what_was_picked_or_by_the_outcome(
    outcome: str, value: object, fields: dict[str, object], target: str
) -> None:
    assert _way(_decision(outcome, value), **fields) == ((target,), None)


def test_a_map_without_the_outcome_is_an_error_that_names_it() -> None:
    with pytest.raises(NodeError, match=r"'timed_out'.*'approved'"):
        _way(_decision("timed_out", True), outcomes={"approved": "work"})


def test_the_loader_and_the_engine_mean_the_same_by_yes() -> None:
    from victor_engine.definition.loader import load_text

    text = (
        "workflows: {w: {nodes: [{id: gate, type: hitl, hitl_type: choice, choices: ['Yes', 'No'],"
        " next: {'Yes': a, 'No': b}}, {id: a, type: transform, transform: 'x = 1'},"
        " {id: b, type: transform, transform: 'x = 2'}]}}"
    )
    definition = load_text(text).workflows["w"]
    gate = definition.nodes["gate"]
    assert isinstance(gate, HITLNode)
    assert next_nodes(gate, _decision("answered", "Yes"), definition).successors == ("a",)
    assert next_nodes(gate, _decision("answered", "No"), definition).successors == ("b",)
