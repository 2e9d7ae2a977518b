"""The engine accepts exactly the commands on a request that the table accepts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.people.bench import ALICE, BOB, YES, Bench, bench
from victor_engine.api import RequestCommand, request_refused
from victor_engine.domain.statuses import RequestStatus
from victor_engine.domain.transitions import REQUEST_TRANSITIONS, RequestState, request_refusal
from victor_engine.errors import VictorError
from victor_engine.people import corrections, reassignment
from victor_engine.people.requests import (
    RequestRef,
    answer_request,
    claim_request,
    release_request,
    withdraw_requests,
)
from victor_engine.people.roles import Person
from victor_engine.store.db import Tx
from victor_engine.store.queries import request

WHO = Person(BOB)
STATES = ("open", "held", "settling", "answered", "expired", "withdrawn")

SENT: dict[RequestCommand, Callable[[Tx, str, int], object]] = {
    RequestCommand.ANSWER: lambda tx, id_, revision: answer_request(tx, id_, revision, YES, WHO),
    RequestCommand.PUSH_BACK: lambda tx, id_, revision: corrections.push_back(
        tx, id_, revision, "build", "no", WHO
    ),
    RequestCommand.UNDO: lambda tx, id_, revision: corrections.undo_answer(tx, id_, WHO),
    RequestCommand.CLAIM: lambda tx, id_, revision: claim_request(tx, id_, WHO),
    RequestCommand.RELEASE: lambda tx, id_, revision: release_request(tx, id_, WHO),
    RequestCommand.REASSIGN: lambda tx, id_, revision: reassignment.reassign_request(
        tx, id_, revision, ("carol",), "", WHO
    ),
    RequestCommand.DELEGATE: lambda tx, id_, revision: reassignment.delegate_request(
        tx, id_, revision, "carol", "", WHO
    ),
    RequestCommand.ASK: lambda tx, id_, revision: corrections.ask_requester(tx, id_, "Why?", WHO),
    RequestCommand.REPLY: lambda tx, id_, revision: corrections.reply_to_question(
        tx, id_, "So.", Person(ALICE)
    ),
}
"""How each command of a person is given."""


async def put_into(b: Bench, state: str, *, questions: bool) -> RequestRef:
    """Ask something and bring the request into a state by what people and time do."""
    ref = await b.ask(
        timeout_seconds=3600.0,
        allow_questions=questions or state == "held",
        undo_window=5.0 if state in ("settling", "answered") else None,
    )
    if state == "held":
        await b.write(lambda tx: corrections.ask_requester(tx, ref.id, "Why?", WHO))
    elif state in ("settling", "answered"):
        await b.answer(ref, YES)
        if state == "answered":
            await b.run_timers(ref, after=6)
    elif state == "expired":
        await b.run_timers(ref, after=3601)
    elif state == "withdrawn":
        await b.write(lambda tx: withdraw_requests(tx, b.run_key, "it is over"))
    return ref


@pytest.mark.parametrize("questions", [True, False])
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("command", SENT)
async def test_the_engine_accepts_what_the_table_accepts(
    tmp_path: Path, command: RequestCommand, state: str, questions: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corrections, "push_back_targets", lambda *_: ("build",))
    async with bench(tmp_path) as b:
        ref = await put_into(b, state, questions=questions)
        info = await b.store.read(lambda c: request(c, ref.id))
        refusal = request_refused(info, command)
        events = await b.kinds(ref)
        sent = b.write(lambda tx: SENT[command](tx, ref.id, info.revision))
        if refusal is None:
            await sent
            following = REQUEST_TRANSITIONS[command][RequestStatus(info.status)]
            assert (await b.row(ref))["status"] == following
        else:
            with pytest.raises(VictorError):
                await sent
            assert (await b.row(ref))["status"] == info.status
            assert await b.kinds(ref) == events


@pytest.mark.parametrize("command", RequestCommand)
@pytest.mark.parametrize("status", RequestStatus)
def test_each_command_leads_to_a_status_or_gives_a_reason(
    status: RequestStatus, command: RequestCommand
) -> None:
    given: Any = {"settling": status is RequestStatus.ANSWERED, "held": True, "takes_questions": True}
    reason = request_refusal(RequestState(status, **given), command)
    if status in REQUEST_TRANSITIONS[command]:
        assert reason is None
    else:
        assert reason is not None
        assert reason.startswith(f"is {status}; only a request that is ")
