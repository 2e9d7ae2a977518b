"""Programs that answer: they invent nothing, and replay no old yes to a new question."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec import UNSET

from victor_engine.api import Answer, ChoiceInfo, RequestInfo
from victor_engine.errors import AlreadyAnsweredError, ConflictError, NotFoundError, UsageError
from victor_engine.hitl import (
    AutoApproveHandler,
    HITLFallback,
    HITLNodeType,
    HITLRequest,
    HITLResponse,
    HITLStatus,
    RecordingHandler,
    ReplayHandler,
    ScriptedHandler,
    serve,
)

CHOICES = (ChoiceInfo(value="a", label="A"), ChoiceInfo(value="b", label="B"))


def info(**fields: Any) -> RequestInfo:
    base: dict[str, Any] = {
        "id": "q1", "revision": 1, "run_id": "r1", "workflow": "w", "version": "1.0.0", "node_id": "gate",
        "kind": "approval", "title": "Gate", "prompt": "Ship?", "status": "open",
        "created_at": datetime(2026, 1, 1, tzinfo=UTC), "requested_by": "alice", "digest": "d1",
    }  # fmt: skip
    return RequestInfo(**{**base, **fields})


def request(**fields: Any) -> HITLRequest:
    return HITLRequest.from_info(info(**fields))


def test_a_request_is_what_was_shown() -> None:
    made = request(on_timeout="continue", default=3, has_default=True, context={"a": 1})
    assert (made.hitl_type, made.fallback) == (HITLNodeType.APPROVAL, HITLFallback.CONTINUE)
    assert (made.default_value, made.context, made.digest) == (3, {"a": 1}, "d1")


def test_the_words_are_those_of_the_definition() -> None:
    from victor_engine.definition.model import FALLBACKS, HITL_KINDS

    assert tuple(HITLNodeType) == HITL_KINDS
    assert tuple(HITLFallback) == FALLBACKS


async def test_auto_approve_invents_no_value() -> None:
    handler = AutoApproveHandler({"pick": "b"})
    assert (await handler.request_human_input(request())).status is HITLStatus.APPROVED
    accepted = await handler.request_human_input(request(kind="override", recommendation=5))
    assert (accepted.status, accepted.value) == (HITLStatus.ANSWERED, UNSET)
    defaulted = await handler.request_human_input(request(kind="input", default="x", has_default=True))
    assert defaulted.value == "x"
    picked = await handler.request_human_input(request(kind="choice", choices=CHOICES, node_id="pick"))
    assert (picked.status, picked.value) == (HITLStatus.ANSWERED, "b")
    with pytest.raises(UsageError, match="gate requests a value"):
        await handler.request_human_input(request(choices=CHOICES))


async def test_a_script_answers_in_order_and_lists_unused_answers() -> None:
    no, yes = HITLResponse(HITLStatus.REJECTED), HITLResponse(HITLStatus.APPROVED)
    handler = ScriptedHandler(
        {"gate": [no, lambda asked: HITLResponse(HITLStatus.APPROVED, comment=asked.title)], "never": yes}
    )
    assert await handler.request_human_input(request()) is no
    assert (await handler.request_human_input(request())).comment == "Gate"
    with pytest.raises(NotFoundError, match="'gate'"):
        await handler.request_human_input(request())
    assert handler.unused == {"never": 1}


async def test_a_recording_replays_to_the_same_questions_only() -> None:
    recorder = RecordingHandler(AutoApproveHandler({"pick": ["a", {"b": 1}]}))
    asked = [request(), request(kind="choice", choices=CHOICES, multiple=True, node_id="pick", digest="d2")]
    said = [await recorder.request_human_input(one) for one in asked]
    replay = ReplayHandler(recorder.lines)
    assert [await replay.request_human_input(one) for one in asked] == said
    with pytest.raises(NotFoundError):
        await replay.request_human_input(asked[0])
    with pytest.raises(ConflictError, match="differs from the recorded question"):
        await ReplayHandler(recorder.lines).request_human_input(request(digest="changed"))
    loose = ReplayHandler(recorder.lines, strict=False)
    assert (await loose.request_human_input(request(digest="changed"))).status is HITLStatus.APPROVED


def test_a_passed_response_has_no_answer() -> None:
    with pytest.raises(UsageError):
        HITLResponse(HITLStatus.PASSED).to_answer()


class _Port:
    """The part of the port that serving uses."""

    def __init__(self, *open_now: RequestInfo) -> None:
        self.open = {one.id: one for one in open_now}
        self.news: asyncio.Queue[Any] = asyncio.Queue()
        self.answers: list[tuple[str, int, Answer]] = []
        self.taken: set[str] = set()
        self.keep_open: set[str] = set()

    async def engine(self) -> Any:
        return type("Engine", (), {"last_event": 0})

    async def requests(self, query: Any) -> list[RequestInfo]:
        return list(self.open.values())

    async def subscribe(self, after: int) -> Any:
        while True:
            yield await self.news.get()

    def announce(self, one: RequestInfo) -> None:
        self.open[one.id] = one
        self.news.put_nowait(type("Event", (), {"kind": "request.opened"}))

    async def answer(self, request_id: str, revision: int, answer: Answer) -> None:
        if request_id in self.taken:
            raise AlreadyAnsweredError("bob was first")
        self.answers.append((request_id, revision, answer))
        if request_id not in self.keep_open:
            self.open.pop(request_id)


async def _served(port: _Port, handler: Any) -> None:
    task = asyncio.create_task(serve(port, handler))  # type: ignore[arg-type]
    for _ in range(20):
        await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_serving_answers_what_is_open_and_what_comes() -> None:
    port = _Port(info(id="q1"))
    port.announce(info(id="q2"))
    await _served(port, AutoApproveHandler())
    assert [(name, answer.outcome) for name, _, answer in port.answers] == [
        ("q1", "approved"),
        ("q2", "approved"),
    ]


async def test_serving_leaves_what_others_decide_and_votes_once() -> None:
    port = _Port(info(id="q1"), info(id="q2"), info(id="q3"))
    port.taken.add("q1")
    port.keep_open.add("q2")
    port.announce(info(id="q4"))
    await _served(port, AutoApproveHandler())
    assert [name for name, _, _ in port.answers] == ["q2", "q3", "q4"]


async def test_what_a_handler_raises_ends_serving() -> None:
    with pytest.raises(NotFoundError):
        await serve(_Port(info()), ScriptedHandler({}))  # type: ignore[arg-type]


async def test_a_handler_may_pass() -> None:
    port = _Port(info())
    await _served(port, ScriptedHandler({"gate": HITLResponse(HITLStatus.PASSED)}))
    assert port.answers == []
