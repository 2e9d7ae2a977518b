"""Programs that answer: they invent nothing, and replay no old yes to a new question."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec import UNSET

from tests.tui.realport import RealPort
from victor_engine.api import Answer, ChoiceInfo, RequestInfo, RequestQuery
from victor_engine.clock import FakeClock
from victor_engine.errors import (
    AlreadyAnsweredError,
    ConflictError,
    EngineUnavailableError,
    NotFoundError,
    UsageError,
)
from victor_engine.hitl import (
    AutoApproveHandler,
    HITLFallback,
    HITLNodeType,
    HITLRequest,
    HITLResponse,
    HITLStatus,
    RecordingHandler,
    ReplayHandler,
    Report,
    ScriptedHandler,
    serve,
)
from victor_engine.service.client import Client
from victor_engine.service.server import PortServer

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


async def test_a_handler_may_pass() -> None:
    port = _Port(info())
    await _served(port, ScriptedHandler({"gate": HITLResponse(HITLStatus.PASSED)}))
    assert port.answers == []


# --- on an engine ------------------------------------------------------------------------------


class _ByTitle:
    """Approves requests, and fails on those whose title says so."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def request_human_input(self, request: HITLRequest) -> Any:
        self.asked.append(request.title)
        if request.title == "raise":
            raise ZeroDivisionError("of this request")
        if request.title == "nothing":
            return None
        if request.title == "wrong":
            return HITLResponse(HITLStatus.ANSWERED, "seven")
        return HITLResponse(HITLStatus.APPROVED)


async def test_one_request_never_ends_serving() -> None:
    port = await RealPort().open()
    for title in ("raise", "nothing", "wrong"):
        await port.ask("approval", title=title, workflow=title)
    others = await port.ask("approval", title="others", workflow="others", assignees=["bo"])
    good = await port.ask("approval", title="good", workflow="good")
    handler, reports = _ByTitle(), list[Report]()
    task = asyncio.create_task(serve(port, handler, report=reports.append))
    try:
        await port.until(lambda: _decided(port, good.id))
        later = await port.ask("approval", title="later", workflow="later")
        await port.until(lambda: _decided(port, later.id))
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        still_open = {one.title for one in await port.requests(RequestQuery())}
        await port.end()
    assert sorted(handler.asked) == ["good", "later", "nothing", "raise", "wrong"]
    assert still_open == {"raise", "nothing", "wrong", "others"}
    by_id = {report.request_id: report for report in reports}
    assert by_id[others.id].result == "not asked"
    assert "assigned to bo" in by_id[others.id].text
    failed = [report for report in reports if report.result == "failed"]
    assert len(failed) == 3
    assert all("stays open" in report.text for report in failed)
    assert {type(report.error).__name__ for report in failed} == {
        "ZeroDivisionError",
        "TypeError",
        "InvalidAnswerError",
    }


async def _decided(port: RealPort, request_id: str) -> bool:
    return (await port.request(request_id)).status != "open"


async def test_serving_survives_a_restart_of_the_engine(tmp_path: Path) -> None:
    port = RealPort(tmp_path / "workflows")
    await port.open()
    path = tmp_path / "s" / "engine.sock"
    server = PortServer(port.engine_, path)
    await server.start()
    clock, reports = FakeClock(), list[Report]()
    client = await Client.connect(path)
    task = asyncio.create_task(serve(client, AutoApproveHandler(), report=reports.append, clock=clock))
    first = await port.ask("approval", workflow="one")
    await port.until(lambda: _decided(port, first.id))
    await server.close()
    await port.end()

    async def waits() -> bool:
        return clock.sleeping == 1

    await port.until(waits)
    await clock.advance(0.5)  # the engine is still away
    await port.until(waits)
    await port.open()
    second = await port.ask("approval", workflow="two")
    server = PortServer(port.engine_, path)
    await server.start()
    await clock.advance(1.0)
    await port.until(lambda: _decided(port, second.id))
    third = await port.ask("approval", workflow="three")
    await port.until(lambda: _decided(port, third.id))
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await client.close()
    await server.close()
    await port.end()
    lost = [report.text for report in reports if report.result == "disconnected"]
    assert len(lost) == 2
    assert lost[0].endswith("the next attempt is in 0.5 s")
    assert lost[1].endswith("the next attempt is in 1 s")


async def test_an_answer_that_the_connection_lost_is_sent_again_without_asking_twice() -> None:
    class Breaks(_Port):
        broken = True

        async def answer(self, request_id: str, revision: int, answer: Answer) -> None:
            if self.broken:
                self.broken = False
                raise EngineUnavailableError("the engine closed the connection")
            await super().answer(request_id, revision, answer)

        async def close(self) -> None:
            return None

        @property
        def reopen(self) -> Any:
            async def again() -> Breaks:
                return self

            return again

    port, handler = Breaks(info(title="once")), _ByTitle()
    clock = FakeClock()
    task = asyncio.create_task(serve(port, handler, report=lambda _: None, clock=clock))  # type: ignore[arg-type]
    async with asyncio.timeout(60):
        while not port.answers:
            await asyncio.sleep(0)
            if clock.sleeping:
                await clock.advance(0.5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert handler.asked == ["once"]
    assert [name for name, _, _ in port.answers] == ["q1"]


async def test_the_end_of_an_engine_in_this_process_ends_serving() -> None:
    port = await RealPort().open()
    task = asyncio.create_task(serve(port, AutoApproveHandler()))
    await asyncio.sleep(0)
    port.go_down()
    with pytest.raises(EngineUnavailableError):
        await task
    port.down = False
    await port.end()


async def test_a_handler_without_the_method_is_refused_at_the_start() -> None:
    with pytest.raises(TypeError, match="object has no method request_human_input"):
        await serve(None, object())  # type: ignore[arg-type]
