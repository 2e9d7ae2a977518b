"""A client that sends too much to a real engine: other clients are served meanwhile, and memory comes back."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.command_line import victor_words
from tests.engine.support import workspace
from tests.process.test_kill import attached
from victor_engine.api import Port
from victor_engine.service import protocol
from victor_engine.service.connect import find

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

FILES = {
    "victor.yaml": "",
    "w.yaml": "workflows: {w: {nodes: [{id: a, type: transform, transform: 'x = 1'}]}}",
}
HELLO = protocol.line({"hello": protocol.Hello(protocol=protocol.PROTOCOL)})
SLOW = 5.0
"""Seconds for a call that takes some milliseconds on a quiet machine."""


def memory(pid: int) -> int:
    """Return the resident bytes of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Stranger:
    """Connections that send too much, and read nothing unless a test asks for it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.open: list[asyncio.StreamWriter] = []

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_unix_connection(str(self.path), limit=4096)
        await reader.readline()
        writer.write(HELLO)
        self.open.append(writer)
        return reader, writer

    async def send(self, writer: asyncio.StreamWriter, text: bytes) -> None:
        """Send as much as the engine takes."""
        writer.write(text)
        try:
            async with asyncio.timeout(0.3):
                await writer.drain()
        except (TimeoutError, ConnectionError):
            return

    def close(self) -> None:
        for writer in self.open:
            writer.transport.abort()


async def others(port: Port) -> float:
    """Return the seconds that a call and a run take."""
    began = time.monotonic()
    run = await port.start_run("w")
    assert (await port.run(run.id)).run.id == run.id
    return time.monotonic() - began


async def test_a_client_that_sends_too_much_harms_no_other(tmp_path: Path) -> None:
    root = workspace(tmp_path, FILES)
    engine = subprocess.Popen(  # noqa: ASYNC220
        victor_words(root, "scheduler", "start"), stdout=subprocess.DEVNULL
    )
    try:
        async with attached(root) as port:
            for _ in range(20):
                await others(port)
            idle = memory(engine.pid)
            stranger = Stranger(find(root, root / ".state").socket_path)
            feeds = b"".join(
                b'{"id":%d,"method":"subscribe","params":{"after":0}}\n' % number for number in range(10_000)
            )
            _, writer = await stranger.connect()
            await stranger.send(writer, feeds)
            assert await others(port) < SLOW
            for _ in range(45):
                _, writer = await stranger.connect()
                await stranger.send(
                    writer, b'{"id":1,"method":"start_run","params":{"workflow":"' + b"w" * 2_000_000
                )
            assert await others(port) < SLOW
            for _ in range(8):  # they read nothing
                _, writer = await stranger.connect()
                await stranger.send(
                    writer, b'{"id":1,"method":"events","params":{"query":{"limit":1000}}}\n' * 200
                )
            assert await others(port) < SLOW
            state = b'{"workflow":"w","state":{"x":"' + b"y" * 50_000_000 + b'"}}'
            reader, writer = await stranger.connect()
            writer.write(b'{"id":1,"method":"start_run","params":' + state + b"}\n")
            assert await others(port) < SLOW
            async with asyncio.timeout(60):
                assert b"too large together" in await reader.readline()
            most = memory(engine.pid)
            stranger.close()
            assert most < idle + 250_000_000
            deadline = time.monotonic() + 60
            while memory(engine.pid) > 1.2 * idle:
                assert time.monotonic() < deadline, (idle, most, memory(engine.pid))
                await asyncio.sleep(0.1)
            assert await others(port) < SLOW
    finally:
        engine.send_signal(signal.SIGTERM)
        engine.wait(30)
