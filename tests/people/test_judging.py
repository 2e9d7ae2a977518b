"""An answer is judged from what is stored, before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.people.bench import ALICE, BOB, CAROL, NO, YES, bench
from victor_engine.api import Actor, Answer
from victor_engine.errors import ConflictError, PermissionDeniedError
from victor_engine.people.judging import Step, judge
from victor_engine.people.roles import Person
from victor_engine.people.stored_request import read_row
from victor_engine.people.votes import read_voting
from victor_engine.store.db import Tx


async def test_the_judgement_is_what_the_engine_then_does(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask(required_approvals=2, allow_self_approval=False, timeout_seconds=60.0)

        async def judged(answer: Answer, actor: Actor) -> tuple[Step, int]:
            def look(tx: Tx) -> tuple[Step, int]:
                row = read_row(tx, ref.id)
                found = judge(row, read_voting(tx, row), answer, Person(actor), tx.now_us)
                return found.step, found.votes

            return await b.write(look)

        assert await judged(YES, BOB) == (Step.VOTE, 1)
        assert (await b.row(ref))["revision"] == 1
        assert await b.all("SELECT * FROM votes") == []
        assert await b.answer(ref, YES, BOB) is None
        with pytest.raises(ConflictError, match="you have given this answer"):
            await judged(YES, BOB)
        with pytest.raises(PermissionDeniedError, match="four-eyes rule"):
            await judged(YES, ALICE)
        assert await judged(YES, CAROL) == (Step.DECIDE, 2)
        assert await judged(NO, CAROL) == (Step.DECIDE, 1)
        assert (await b.row(ref))["status"] == "open"
        decision = await b.answer(ref, YES, CAROL)
        assert decision is not None
        assert decision.outcome == "approved"


async def test_a_chain_passes_on_and_a_deadline_refuses(tmp_path: Path) -> None:
    async with bench(tmp_path) as b:
        ref = await b.ask(chain=("bob", "carol"), timeout_seconds=60.0)

        def look(tx: Tx) -> Step:
            row = read_row(tx, ref.id)
            return judge(row, read_voting(tx, row), YES, Person(BOB), tx.now_us).step

        assert await b.write(look) is Step.PASS_ON
        b.clock.set_wall(b.clock.now().replace(year=b.clock.now().year + 1))
        with pytest.raises(ConflictError, match="deadline"):
            await b.write(look)
