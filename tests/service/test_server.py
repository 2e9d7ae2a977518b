"""The socket: identity of clients, messages, and slow, invalid and lost connections."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.tui.realport import RealPort
from victor_engine import api, jsonio
from victor_engine.api import (
    ENGINE_ACTOR,
    Actor,
    Answer,
    EngineInfo,
    EventInfo,
    RunInfo,
    RunQuery,
)
from victor_engine.errors import EngineUnavailableError, NotFoundError, UsageError, VictorError
from victor_engine.identity import acting
from victor_engine.service import protocol
from victor_engine.service.client import Client
from victor_engine.service.identity import Claims, Peer, peer_actor
from victor_engine.service.server import PortServer

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Recorder(RealPort):
    """A port on an engine that records its callers. The test controls its feed and its pace."""

    def __init__(self) -> None:
        super().__init__()
        self.actors: list[Actor] = []
        self.gate = asyncio.Event()
        self.entered = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.feed_length = 0
        self.subscriptions: list[int] = []

    async def claim(self, request_id: str) -> Any:
        self.actors.append(acting())
        return await super().claim(request_id)

    async def reload(self) -> Any:
        self.entered.set()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return []

    async def trust(self, content: str = "") -> Any:
        raise ZeroDivisionError("an internal error")

    async def subscribe(self, after: int) -> AsyncIterator[EventInfo]:
        self.subscriptions.append(after)
        for seq in range(after + 1, self.feed_length + 1):
            yield EventInfo(seq=seq, at=NOW, kind="run.created", actor=ENGINE_ACTOR)
        await self.gate.wait()


class Served:
    def __init__(self, port: Recorder, server: PortServer) -> None:
        self.port, self.server, self.path = port, server, server.path

    async def raw(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_unix_connection(str(self.path), limit=protocol.MAX_MESSAGE)


@pytest.fixture
async def port(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Recorder]:
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    port = Recorder()
    await port.open()
    yield port
    await port.end()


@pytest.fixture
async def served(port: Recorder, tmp_path: Path) -> AsyncIterator[Served]:
    server = PortServer(port, tmp_path / "s" / "engine.sock", product="9.9")
    await server.start()
    yield Served(port, server)
    await server.close()


@pytest.fixture
async def client(served: Served) -> AsyncIterator[Client]:
    found = await Client.connect(served.path, via="cli")
    yield found
    await found.close()


async def one(reader: asyncio.StreamReader) -> Any:
    async with asyncio.timeout(10):
        return jsonio.loads(await reader.readline())


# --- the port over the wire ----------------------------------------------------------------------


def test_every_method_of_the_port_crosses_the_wire() -> None:
    wanted = {name for name in dir(api.Port) if not name.startswith("_")} - {"subscribe", "close"}
    assert set(protocol.methods()) == wanted


async def test_structs_arrive_unchanged(client: Client, served: Served) -> None:
    await served.port.ask()
    assert await client.engine() == await served.port.engine()
    query = RunQuery(limit=5)
    found = await client.runs(query)
    assert found == await served.port.runs(query)
    assert all(isinstance(run, RunInfo) for run in found)
    assert await client.run(found[0].id) == await served.port.run(found[0].id)
    assert await client.workflows() == await served.port.workflows()
    assert await client.schedules() == await served.port.schedules()


async def test_an_answer_without_a_value_arrives_without_one(client: Client, served: Served) -> None:
    request = await served.port.ask()
    with contextlib.suppress(VictorError):
        await client.answer(request.id, request.revision, Answer(outcome="approved"))
    with contextlib.suppress(VictorError):
        await client.answer(request.id, request.revision, Answer(outcome="answered", value=None))
    sent = [given for name, arguments in served.port.calls if name == "answer" for given in arguments]
    answers = [given for given in sent if isinstance(given, Answer)]
    assert answers == [Answer(outcome="approved"), Answer(outcome="answered", value=None)]


async def test_errors_keep_their_type(client: Client, served: Served) -> None:
    with pytest.raises(NotFoundError):
        await client.run("nothing")
    with pytest.raises(VictorError, match="internal error: ZeroDivisionError") as caught:
        await client.trust()
    assert type(caught.value) is VictorError
    assert isinstance(await client.engine(), EngineInfo)


async def test_wrong_parameters_are_named(client: Client) -> None:
    with pytest.raises(UsageError, match=r"runs: .*limit"):
        await client.runs(RunQuery(limit="many"))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no method"):
        await client._request("selfdestruct", {})
    with pytest.raises(UsageError, match="unknown field"):
        await client._request("engine", {"x": 1})


async def test_many_requests_at_once_are_answered_in_any_order(client: Client, served: Served) -> None:
    slow = asyncio.create_task(client.reload())
    await served.port.entered.wait()
    engines = await asyncio.gather(*(client.engine() for _ in range(300)))
    assert len(engines) == 300
    assert not slow.done()
    served.port.gate.set()
    assert await slow == []


async def test_a_cancelled_call_is_cancelled_in_the_engine(client: Client, served: Served) -> None:
    slow = asyncio.create_task(client.reload())
    await served.port.entered.wait()
    slow.cancel()
    with pytest.raises(asyncio.CancelledError):
        await slow
    async with asyncio.timeout(10):
        await served.port.cancelled.wait()


# --- identity ------------------------------------------------------------------------------------


async def test_the_user_comes_from_the_kernel_and_the_rest_is_a_claim(client: Client, served: Served) -> None:
    request = await served.port.ask()
    await client.claim(request.id)
    (actor,) = served.port.actors
    assert (actor.uid, actor.via) == (os.getuid(), "cli")
    assert acting() == ENGINE_ACTOR


def test_claims_are_marked_shortened_and_made_harmless() -> None:
    peer = Peer(pid=1, uid=os.getuid(), gid=0)
    actor = peer_actor(peer, Claims(via="root", tty="pts/3\x1b[2J", remote="1" * 500))
    assert actor.via == "api"
    assert actor.tty == "claimed:pts/3?[2J"
    assert actor.remote == "claimed:" + "1" * 80


async def test_the_socket_has_permissions_for_its_owner_only(served: Served) -> None:
    info = os.stat(served.path)
    assert info.st_mode & 0o777 == 0o600
    assert os.listdir(served.path.parent) == ["engine.sock"]


async def test_another_user_is_refused(
    port: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = PortServer(port, tmp_path / "engine.sock")
    await server.start()
    monkeypatch.setattr("victor_engine.service.server.peer_of", lambda connection: Peer(1, 4321, 4321))
    with pytest.raises(VictorError, match=r"ask .* for a role"):
        await Client.connect(server.path)
    await server.close()


async def test_another_version_of_the_protocol_is_refused(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = await served.raw()
    assert (await one(reader))["hello"] == {
        "protocol": protocol.PROTOCOL,
        "product": "9.9",
        "pid": os.getpid(),
    }
    writer.write(b'{"hello":{"protocol":99}}\n')
    assert "the client version 99" in (await one(reader))["error"]["message"]
    assert await reader.read() == b""
    writer.close()


@pytest.mark.parametrize("text", [b"GET / HTTP/1.1\r\n", b"{}\n", b"[]\n"])
async def test_a_client_without_a_hello_message_is_refused(served: Served, text: bytes) -> None:
    reader, writer = await served.raw()
    await one(reader)
    writer.write(text)
    assert (await one(reader))["error"]["code"] == "usage"
    assert await reader.read() == b""
    writer.close()


async def test_a_response_that_is_too_large_is_an_error(
    client: Client, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    await served.port.ask()
    monkeypatch.setattr(protocol, "MAX_MESSAGE", 512)
    with pytest.raises(UsageError, match="larger than 64 MB"):
        await client.events(api.EventQuery())


# --- the feed ------------------------------------------------------------------------------------


async def test_a_long_feed_arrives_complete_and_in_order(client: Client, served: Served) -> None:
    served.port.feed_length = 3 * protocol.QUEUED_EVENTS
    seen = []
    async with asyncio.timeout(60), contextlib.aclosing(client.subscribe(10)) as feed:  # type: ignore[type-var]
        async for event in feed:
            seen.append(event.seq)
            if event.seq == served.port.feed_length:
                break
    assert seen == list(range(11, served.port.feed_length + 1))


async def test_a_slow_subscriber_needs_bounded_memory_and_misses_no_event(
    client: Client, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "QUEUED_EVENTS", 50)
    served.port.feed_length = 500
    seen = []
    feed = client.subscribe(0)
    async with asyncio.timeout(60):
        async for event in feed:
            seen.append(event.seq)
            assert all(queue.qsize() <= 51 for queue in client._streams.values())
            if event.seq % 40 == 0:
                await client.engine()  # lets the connection receive further events
            if event.seq == 500:
                break
    assert seen == list(range(1, 501))
    assert len(served.port.subscriptions) > 1
    await feed.aclose()  # type: ignore[attr-defined]


async def test_a_slow_subscriber_gets_a_gap(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "QUEUED_EVENTS", 10)
    served.port.feed_length = 100
    reader, writer = await served.raw()
    await one(reader)
    writer.write(protocol.line({"hello": protocol.Hello(protocol=protocol.PROTOCOL)}))
    writer.write(b'{"id":7,"method":"subscribe","params":{"after":0}}\n')
    assert await one(reader) == {"id": 7, "result": None}
    messages = []
    while "gap" not in (message := await one(reader)):
        messages.append(message)
    assert [message["event"]["seq"] for message in messages] == list(range(1, len(messages) + 1))
    assert message == {"sub": 7, "gap": True}
    writer.close()


async def test_a_subscription_with_invalid_parameters_is_an_error(client: Client) -> None:
    async with asyncio.timeout(10):
        with pytest.raises(UsageError, match="subscribe"):
            await anext(client.subscribe("x"))  # type: ignore[arg-type]


# --- lost connections ----------------------------------------------------------------------------


async def test_a_lost_engine_is_an_error_in_every_open_call(client: Client, served: Served) -> None:
    slow = asyncio.create_task(client.reload())
    feed = client.subscribe(0)
    waiting = asyncio.ensure_future(anext(feed))
    await served.port.entered.wait()
    while not served.port.subscriptions:
        await asyncio.sleep(0)
    await served.server.close()
    async with asyncio.timeout(10):
        for lost in (slow, waiting):
            with pytest.raises(EngineUnavailableError):
                await lost
        with pytest.raises(EngineUnavailableError):
            await client.engine()
        with pytest.raises(EngineUnavailableError):
            await anext(client.subscribe(0))


async def test_a_missing_or_stale_socket_is_an_error_and_is_replaced(port: Recorder, tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailableError, match="cannot connect to the engine"):
        await Client.connect(tmp_path / "engine.sock")
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(tmp_path / "engine.sock"))
    stale.close()
    with pytest.raises(EngineUnavailableError, match="cannot connect to the engine"):
        await Client.connect(tmp_path / "engine.sock")
    server = PortServer(port, tmp_path / "engine.sock")
    await server.start()
    client = await Client.connect(tmp_path / "engine.sock")
    assert isinstance(await client.engine(), EngineInfo)
    await client.close()
    await server.close()
    assert os.listdir(tmp_path) == []


async def test_a_file_that_is_not_a_socket_is_not_replaced(port: Recorder, tmp_path: Path) -> None:
    (tmp_path / "engine.sock").write_text("mine")
    with pytest.raises(UsageError, match="move it away"):
        await PortServer(port, tmp_path / "engine.sock").start()
    assert (tmp_path / "engine.sock").read_text() == "mine"


async def test_the_socket_of_another_engine_is_not_removed(port: Recorder, tmp_path: Path) -> None:
    first = PortServer(port, tmp_path / "engine.sock")
    await first.start()
    second = PortServer(port, tmp_path / "engine.sock")
    await second.start()
    await first.close()
    client = await Client.connect(tmp_path / "engine.sock")
    assert isinstance(await client.engine(), EngineInfo)
    await client.close()
    await second.close()


async def test_a_lost_client_is_cleaned_up(served: Served) -> None:
    client = await Client.connect(served.path)
    slow = asyncio.create_task(client.reload())
    await served.port.entered.wait()
    client._writer.transport.abort()
    with pytest.raises(EngineUnavailableError):
        await slow
    async with asyncio.timeout(10):
        await served.port.cancelled.wait()
        while served.server.connections:
            await asyncio.sleep(0)
    await client.close()


async def test_a_request_that_cannot_be_sent_keeps_the_connection(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = {"text": "\ud800"}  # a lone surrogate cannot be encoded
    with pytest.raises(UsageError, match="start_run: cannot be sent"):
        await client.start_run("deploy", state=odd)
    monkeypatch.setattr(protocol, "MAX_REQUEST", 4096)
    with pytest.raises(UsageError, match=r"start_run: the request is larger than .* file"):
        await client.start_run("deploy", state={"x": "y" * 5000})
    assert isinstance(await client.engine(), EngineInfo)
