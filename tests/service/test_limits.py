"""The limits of connections and users: one that exceeds a limit gets an error, and the others work on."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine.support import engine_on, question, workspace
from victor_engine import jsonio
from victor_engine.api import Answer, EngineInfo, RunQuery, ScheduleSpec
from victor_engine.engine import Engine
from victor_engine.errors import UsageError, VictorError
from victor_engine.service import limits, protocol, served_connection, server
from victor_engine.service.client import Client
from victor_engine.service.limits import CONNECTION, USER, Account, Limits
from victor_engine.service.server import PortServer

FILES = {
    "victor.yaml": "",
    "w.yaml": """
        workflows:
          ask: {nodes: [{id: gate, type: hitl, hitl_type: review}]}
          w: {nodes: [{id: a, type: transform, transform: "x = 1"}]}
        """,
}
HELLO = protocol.line({"hello": protocol.Hello(protocol=protocol.PROTOCOL)})


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    async with engine_on(workspace(tmp_path, FILES)) as found:
        yield found


@pytest.fixture
async def served(engine: Engine, tmp_path: Path) -> AsyncIterator[PortServer]:
    found = PortServer(engine, tmp_path / "s" / "engine.sock")
    await found.start()
    yield found
    await found.close()


class Raw:
    """A client that sends what it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, path: Path) -> Raw:
        found = cls(*await asyncio.open_unix_connection(str(path), limit=protocol.MAX_MESSAGE))
        assert "hello" in await found.read()
        found.writer.write(HELLO)
        return found

    def send(self, text: bytes) -> None:
        self.writer.write(text)

    async def read(self) -> dict[str, Any]:
        async with asyncio.timeout(20):
            found: dict[str, Any] = jsonio.loads(await self.reader.readline())
        return found

    async def ask(self, number: int, method: str, params: str = "{}") -> dict[str, Any]:
        self.send(b'{"id":%d,"method":"%b","params":%b}\n' % (number, method.encode(), params.encode()))
        return await self.read()

    async def ended(self) -> None:
        async with asyncio.timeout(20):
            while await self.reader.read(65_536):
                pass

    def close(self) -> None:
        self.writer.close()


async def others_work(served: PortServer) -> None:
    client = await Client.connect(served.path)
    async with asyncio.timeout(20):
        assert isinstance(await client.engine(), EngineInfo)
    await client.close()


def limited(monkeypatch: pytest.MonkeyPatch, *, user: bool = False, **changed: Any) -> None:
    """Change limits of connections or of users."""
    if user:
        monkeypatch.setattr(server, "USER", dataclasses.replace(USER, **changed))
        monkeypatch.setattr(served_connection, "USER", dataclasses.replace(USER, **changed))
    else:
        monkeypatch.setattr(served_connection, "CONNECTION", dataclasses.replace(CONNECTION, **changed))


@pytest.mark.parametrize(
    ("frame", "number", "message"),
    [
        (b'{"id":5,"method":"engine","params":{]}', 5, "invalid message"),
        (b'{"id":5,"method":7}', 5, "invalid message"),
        (b'{"id": 5, "method":"start_run","params":' + b"[" * 300_000, 5, "more than 200000 values"),
        (b'{"id":5,"method":"engine","params":{"x":"' + b"a" * 20_000_000 + b'"}}', 5, "larger than 17 MB"),
        (b"\xff\xfe", None, "invalid message"),
        (b"[]", None, "invalid message"),
    ],
    ids=["broken", "mistyped", "many values", "large", "not text", "not an object"],
)
async def test_a_bad_message_gets_an_error_and_the_connection_stays(
    served: PortServer, frame: bytes, number: int | None, message: str
) -> None:
    raw = await Raw.connect(served.path)
    raw.send(frame + b"\n")
    answer = await raw.read()
    assert answer.get("id") == number
    assert message in answer["error"]["message"]
    assert "result" in await raw.ask(6, "engine")
    raw.close()


def test_signs_in_texts_are_not_values() -> None:
    text = jsonio.dumps({"csv": '1,2,"a\\"b",[{\n' * 100, "n": [1, 2, 3]})
    assert not jsonio.has_more_values(text, 6)
    assert jsonio.has_more_values(text, 4)


async def test_a_message_that_is_not_finished_ends_its_connection(
    served: PortServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "UNFINISHED_SECONDS", 0.2)
    raw = await Raw.connect(served.path)
    raw.send(b'{"id":1,"method":')
    assert "was not finished in 0.2 seconds" in (await raw.read())["error"]["message"]
    await raw.ended()
    raw.close()
    idle = await Raw.connect(served.path)
    await asyncio.sleep(0.3)  # a connection without an unfinished message has no time limit
    assert "result" in await idle.ask(1, "engine")
    idle.close()


async def test_unfinished_messages_of_a_user_are_limited_together(
    served: PortServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited(monkeypatch, user=True, incoming=1_000_000)
    raws = [await Raw.connect(served.path) for _ in range(3)]
    for raw in raws:
        raw.send(b'{"id":3,"method":"engine","params":{"x":"' + b"a" * 400_000)
        await raw.writer.drain()
    refused = 0
    for raw in raws:
        raw.send(b'"}}\n')
        answer = await raw.read()
        refused += "too large together" in answer["error"]["message"]
    assert refused == 1
    await others_work(served)
    for raw in raws:
        raw.close()


async def test_a_connection_has_a_limited_number_of_subscriptions(
    served: PortServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited(monkeypatch, calls_per_second=100_000)
    raw = await Raw.connect(served.path)
    answers = []
    for first in range(0, 10_000, 500):
        for number in range(first, first + 500):
            raw.send(b'{"id":%d,"method":"subscribe","params":{"after":1000000}}\n' % number)
        answers += [await raw.read() for _ in range(500)]
    accepted = [answer["id"] for answer in answers if "error" not in answer]
    assert accepted == list(range(CONNECTION.subscriptions))
    assert "16 subscriptions, which is the maximum" in answers[-1]["error"]["message"]
    raw.send(b'{"cancel":3}\n')
    async with asyncio.timeout(20):
        while "error" in await raw.ask(20_000, "subscribe", '{"after":1000000}'):
            pass
    await others_work(served)
    raw.close()


async def test_the_subscriptions_of_a_user_are_limited_together(
    served: PortServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited(monkeypatch, user=True, subscriptions=3)
    raws = [await Raw.connect(served.path) for _ in range(2)]
    for number in range(2):
        assert "error" not in await raws[0].ask(number, "subscribe", '{"after":1000000}')
    assert "error" not in await raws[1].ask(0, "subscribe", '{"after":1000000}')
    assert "3 subscriptions" in (await raws[1].ask(1, "subscribe", '{"after":1000000}'))["error"]["message"]
    raws[0].close()
    async with asyncio.timeout(20):
        while "error" in await raws[1].ask(1, "subscribe", '{"after":1000000}'):
            pass
    raws[1].close()


def test_calls_beyond_the_rate_wait() -> None:
    few = Limits(subscriptions=1, calls=1, calls_per_second=10, incoming=1, outgoing=1)
    user = Account(few, "u")
    first, second = Account(few, "a", user), Account(few, "b", user)
    assert [first.wait_for(0.0) for _ in range(20)] == [0.0] * 20
    assert first.wait_for(0.0) == pytest.approx(0.1)
    assert second.wait_for(0.0) == pytest.approx(0.2)  # the user has used all
    assert second.wait_for(100.0) == 0.0


async def test_a_client_that_does_not_read_is_closed(
    served: PortServer, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await engine.start_run("w", state={"text": "x" * 4_000_000})
    monkeypatch.setattr(limits, "STALLED_SECONDS", 0.2)
    raw = await Raw.connect(served.path)
    raw.writer.transport.pause_reading()  # type: ignore[attr-defined]
    for number in range(50):
        raw.send(b'{"id":%d,"method":"run","params":{"run_id":"%b"}}\n' % (number, run.id.encode()))
    most = 0
    async with asyncio.timeout(20):
        while served.connections:
            most = max(most, sum(each.outgoing for each in served._connections.values()))
            await asyncio.sleep(0.01)
    assert 1_000_000 < most < 10_000_000  # one response at a time
    await others_work(served)
    raw.close()


async def test_a_subscriber_that_does_not_read_is_dropped_and_continues_from_the_store(
    served: PortServer,
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(limits, "STALLED_SECONDS", 0.1)
    monkeypatch.setattr(protocol, "QUEUED_EVENTS", 20)
    monkeypatch.setattr(served_connection, "_BATCH", 1)
    raw = await Raw.connect(served.path)
    assert "error" not in await raw.ask(1, "subscribe", '{"after":0}')
    raw.writer.transport.pause_reading()  # type: ignore[attr-defined]
    async with asyncio.timeout(60):
        while "does not read" not in caplog.text:
            await engine.start_run("w", note="n" * 4000)
    raw.writer.transport.resume_reading()  # type: ignore[attr-defined]
    seen = []
    while "gap" not in (message := await raw.read()):
        seen.append(message["event"]["seq"])
    assert seen == list(range(1, seen[-1] + 1))
    raw.send(b'{"id":2,"method":"subscribe","params":{"after":%d}}\n' % seen[-1])
    assert await raw.read() == {"id": 2, "result": None}
    assert (await raw.read())["event"]["seq"] == seen[-1] + 1
    raw.close()


async def test_responses_that_a_user_does_not_read_are_limited_together(
    served: PortServer, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await engine.start_run("w", state={"text": "x" * 2_000_000})
    limited(monkeypatch, user=True, outgoing=9_000_000)
    waiting = []
    for _ in range(2):
        raw = await Raw.connect(served.path)
        raw.writer.transport.pause_reading()  # type: ignore[attr-defined]
        raw.send(b'{"id":1,"method":"run","params":{"run_id":"%b"}}\n' % run.id.encode())
        waiting.append(raw)
    async with asyncio.timeout(20):
        while sum(each.outgoing > 1_000_000 for each in served._connections.values()) < 2:
            await asyncio.sleep(0.01)
    raw = await Raw.connect(served.path)
    answer = await raw.ask(1, "run", f'{{"run_id":"{run.id}"}}')
    assert "too many responses wait" in answer["error"]["message"]
    assert "result" in await raw.ask(2, "engine")
    for each in (*waiting, raw):
        each.close()


async def test_a_state_or_an_answer_is_at_most_as_large_as_a_result(engine: Engine) -> None:
    large = {"x": "y" * (16 * 1024 * 1024 + 1)}
    run = await engine.start_run("ask")
    asked = await question(engine, run.id)
    spec = ScheduleSpec(workflow="w", every_seconds=3600)
    added = await engine.add_schedule(spec)
    calls = [
        engine.start_run("w", state=large),
        engine.rerun(run.id, state=large),
        engine.redrive_run(run.id, state=large),
        engine.trigger_schedule(added.id, state=large),
        engine.add_schedule(ScheduleSpec(workflow="w", every_seconds=7200, initial_state=large)),
        engine.edit_schedule(added.id, ScheduleSpec(workflow="w", every_seconds=7200, initial_state=large)),
        engine.answer(asked.id, asked.revision, Answer(outcome="answered", value=large)),
    ]
    for call in calls:
        with pytest.raises(UsageError, match=r"at most 16 MB, and this has 16\.0"):
            await call
    with pytest.raises(VictorError):
        await engine.start_run("w", state={"x": "\ud800"})
    assert len(await engine.runs(RunQuery())) == 1
