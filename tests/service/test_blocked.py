"""A blocked or stopped engine: its log shows where, and clients do not wait for ever."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from pathlib import Path

import pytest

from tests.engine.support import engine_on, question, until_end, workspace
from tests.service.test_limits import HELLO, Raw
from victor_engine.api import Answer
from victor_engine.errors import EngineUnavailableError
from victor_engine.service import connection, limits, protocol
from victor_engine.service.client import Client
from victor_engine.service.loop_watchdog import LoopWatchdog, watch
from victor_engine.service.server import PortServer
from victor_engine.store.repositories import suspects


def block(seconds: float) -> int:
    """Block the event loop, as a workspace function can."""
    time.sleep(seconds)
    return 1


async def until(condition: object) -> None:
    async with asyncio.timeout(20):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.01)


async def test_the_stack_of_a_blocked_loop_is_in_the_log_and_its_run_is_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LoopWatchdog.__init__, "__defaults__", (0.2,))
    files = {
        "victor.yaml": "",
        "w.yaml": """
            workflows:
              w:
                nodes:
                  - {id: slow, type: transform, transform: "x = block(1)", next: [gate]}
                  - {id: gate, type: hitl, hitl_type: approval, next: {approved: last, rejected: last}}
                  - {id: last, type: transform, transform: "y = 1"}
            """,
    }
    async with engine_on(workspace(tmp_path, files), functions={"block": block}) as engine:
        watch(engine)
        await asyncio.sleep(0)
        assert engine.alive()
        run = await engine.start_run("w")
        await until(lambda: "the event loop continues" in caplog.text)
        assert "the event loop has been blocked for 0." in caplog.text
        assert "in block\n    time.sleep(seconds)" in caplog.text
        assert engine.alive()
        async with asyncio.timeout(20):
            while not (listed := await engine.store.read(suspects.listed)):
                await asyncio.sleep(0.01)  # the count is stored after the loop continues
        (found,) = listed
        assert (found.node_id, found.deaths, found.quarantined) == ("slow", 1, False)
        request = await question(engine, run.id)
        await engine.answer(request.id, request.revision, Answer(outcome="approved"))
        await until_end(engine, run.id)
        assert await engine.store.read(suspects.listed) == []  # progress clears the count


async def test_alive_is_false_while_the_loop_is_blocked() -> None:
    watchdog = LoopWatchdog(list, lambda noted: None, 0.1)
    await asyncio.sleep(0)
    assert watchdog.alive()
    block(0.2)
    assert not watchdog.alive()
    await until(watchdog.alive)
    watchdog.stop()


class Mute:
    """An engine that greets and then answers nothing, or only the probe of a client."""

    def __init__(self, path: Path, answers_probe: bool) -> None:
        self.path, self.answers_probe = path, answers_probe
        self.release = asyncio.Event()

    async def __aenter__(self) -> Mute:
        self.server = await asyncio.start_unix_server(self._connected, str(self.path))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.release.set()
        self.server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(protocol.line({"hello": protocol.Hello(protocol=protocol.PROTOCOL)}))
        while text := await reader.readline():
            message = protocol.decode_client(text)
            if message.method == "whoami" and self.answers_probe:
                writer.write(
                    protocol.error_line(message.id or 0, {"code": "error", "message": "", "details": {}})
                )
        writer.close()


@pytest.fixture(autouse=True)
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "ANSWER_SECONDS", 0.6)
    monkeypatch.setattr(connection, "NOTE_SECONDS", 0.1)


async def test_a_call_to_an_engine_that_sends_nothing_fails_and_names_the_call(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    async with Mute(tmp_path / "s", answers_probe=False):
        client = await Client.connect(tmp_path / "s", via="cli")
        async with asyncio.timeout(20):
            with pytest.raises(
                EngineUnavailableError, match=r"did not answer workflows .* blocked or stopped"
            ):
                await client.workflows()
        assert "waiting for the answer of the engine to workflows" in capsys.readouterr().err
        await client.close()


async def test_a_long_call_to_an_engine_that_is_alive_has_no_time_limit(tmp_path: Path) -> None:
    async with Mute(tmp_path / "s", answers_probe=True):
        client = await Client.connect(tmp_path / "s")
        announced: list[str] = []
        client.announce = announced.append
        call = asyncio.create_task(client.workflows())
        await asyncio.wait([call], timeout=1.5)
        assert not call.done()
        assert announced == ["waiting for the answer of the engine to workflows"]
        call.cancel()
        await asyncio.wait([call])
        await client.close()


async def test_an_idle_connection_has_no_time_limit(tmp_path: Path) -> None:
    async with Mute(tmp_path / "s", answers_probe=False) as engine:
        raw = await Raw.connect(engine.path)
        raw.close()
        client = await Client.connect(tmp_path / "s")
        await asyncio.sleep(1)
        assert client._lost is None
        await client.close()


async def test_a_client_that_connects_to_a_blocked_engine_is_served_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "GREETING_SECONDS", 0.2)
    files = {
        "victor.yaml": "",
        "w.yaml": "workflows: {w: {nodes: [{id: a, type: transform, transform: 'x = 1'}]}}",
    }
    async with engine_on(workspace(tmp_path, files)) as engine:
        server = PortServer(engine, tmp_path / "s" / "engine.sock")
        await server.start()
        reader, writer = await asyncio.open_unix_connection(str(server.path))
        assert b"hello" in await reader.readline()
        with socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno())) as end:
            end.setblocking(True)
            end.sendall(HELLO + b'{"id":1,"method":"engine","params":{}}\n')
        block(0.5)
        async with asyncio.timeout(20):
            assert b'"result"' in await reader.readline()
        writer.close()
        await server.close()


async def test_a_client_says_that_it_waits_for_the_greeting(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "GREETING_SECONDS", 0.5)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        with pytest.raises(EngineUnavailableError, match="did not respond within"):
            await Client.connect(tmp_path / "s", via="cli")
    assert "waiting for the engine at" in capsys.readouterr().err
