"""The two ends of a socket check each other: users, the number of connections, and the directories of the socket."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.service import second_user
from tests.service.second_user import RAW, SECOND
from victor_engine import jsonio
from victor_engine.errors import EngineUnavailableError, PermissionDeniedError
from victor_engine.ownership import closed_to_others, why_unsafe
from victor_engine.service.client import Client
from victor_engine.service.guard import OwnerOnly
from victor_engine.service.identity import Peer
from victor_engine.service.server import PortServer


class NoPort:
    """A port without methods: these tests end before the first call."""


class Admitting(OwnerOnly):
    """A gate that asks a function of the test."""

    def __init__(self, allowed: Callable[[Peer], bool]) -> None:
        super().__init__(NoPort())  # type: ignore[arg-type]
        self._allowed = allowed

    async def may_connect(self, peer: Peer) -> bool:
        return self._allowed(peer)


@pytest.fixture
def folder() -> Iterator[Path]:
    with second_user.open_folder() as found:
        yield found


def serve(path: Path, **options: Any) -> PortServer:
    return PortServer(NoPort(), path, **options)  # type: ignore[arg-type]


@pytest.fixture
async def shared(folder: Path) -> AsyncIterator[PortServer]:
    """A server that accepts all users, with a socket that they can connect to."""
    server = serve(folder / "engine.sock", mode=0o666, gate=Admitting(lambda peer: True), per_user=2)
    await server.start()
    yield server
    await server.close()


async def test_a_stranger_gets_one_line_before_any_byte_of_theirs(folder: Path) -> None:
    second_user.need_root()
    seen: list[Peer] = []

    def allowed(peer: Peer) -> bool:
        seen.append(peer)
        return False

    server = serve(folder / "engine.sock", mode=0o666, gate=Admitting(allowed))
    await server.start()
    try:
        ended = await asyncio.to_thread(second_user.run, RAW, str(server.path), everything=False)
    finally:
        await server.close()
    assert [peer.uid for peer in seen] == [SECOND]
    (line,) = ended.stdout.splitlines()
    error = jsonio.loads(line)["error"]
    assert error["code"] == "permission"
    assert error["message"].startswith(
        "permission denied: nobody cannot use the engine of root, ask root for a role"
    )


async def test_the_client_raises_the_refusal(folder: Path) -> None:
    server = serve(folder / "engine.sock", gate=Admitting(lambda peer: False))
    await server.start()
    try:
        with pytest.raises(PermissionDeniedError, match=r"^permission denied: .*ask .* for a role"):
            await Client.connect(server.path)
    finally:
        await server.close()


async def test_the_connections_of_one_user_are_limited(shared: PortServer) -> None:
    second_user.need_root()
    command = second_user.words(RAW, str(shared.path), "hold", everything=False)
    pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
    started = [await asyncio.create_subprocess_exec(*command, **pipes) for _ in range(2)]  # type: ignore[arg-type]
    try:
        async with asyncio.timeout(60):
            for process in started:
                assert process.stdout is not None
                assert b"hello" in await process.stdout.readline()
            third = await asyncio.to_thread(second_user.run, RAW, str(shared.path), everything=False)
            assert "nobody has 2 connections to this engine, which is the maximum" in third.stdout
            mine = [await Client.connect(shared.path) for _ in range(2)]
            with pytest.raises(PermissionDeniedError, match="has 2 connections"):
                await Client.connect(shared.path)
            await mine.pop().close()
            while shared.connections > 3:
                await asyncio.sleep(0)
            mine.append(await Client.connect(shared.path))
            for client in mine:
                await client.close()
    finally:
        for process in started:
            process.kill()
            await process.wait()


@pytest.mark.parametrize(("mode", "group"), [(0o600, None), (0o660, SECOND), (0o660, 1), (0o666, None)])
async def test_the_socket_has_the_mode_and_the_group(folder: Path, mode: int, group: int | None) -> None:
    second_user.need_root()
    server = serve(folder / "engine.sock", mode=mode, group=group, gate=Admitting(lambda peer: True))
    await server.start()
    try:
        info = os.stat(server.path)
        ended = await asyncio.to_thread(second_user.run, RAW, str(server.path), "hold", everything=False)
    finally:
        await server.close()
    assert info.st_mode & 0o777 == mode
    assert info.st_gid == (group or os.getegid())
    permitted = mode == 0o666 or group == SECOND
    assert ("hello" in ended.stdout) == permitted
    assert ("PermissionError" in ended.stderr) != permitted


def listen_as_second_user(listener: socket.socket) -> None:
    pid = os.fork()
    if pid == 0:  # the kernel reports the user that listens
        os.setresuid(SECOND, SECOND, SECOND)
        listener.listen()
        os._exit(0)
    os.waitpid(pid, 0)


async def test_a_client_sends_nothing_to_the_socket_of_another_user(folder: Path) -> None:
    second_user.need_root()
    path = folder / "fake.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listen_as_second_user(listener)
        with pytest.raises(
            PermissionDeniedError, match=r"of nobody listens there instead of an engine of root"
        ):
            await Client.connect(path)
        with pytest.raises(PermissionDeniedError, match="instead of an engine of root or daemon"):
            await Client.connect(path, trusted={1})
        listener.setblocking(False)
        for _ in range(2):
            connection, _ = listener.accept()
            with connection:
                assert await asyncio.to_thread(connection.recv, 10) == b""
    with pytest.raises(EngineUnavailableError) as caught:
        await Client.connect(path)
    assert caught.value.details == {"stale": True}


def test_the_owner_of_each_directory_decides(folder: Path) -> None:
    second_user.need_root()
    mine = {os.geteuid()}
    inner = folder / "a" / "b"
    inner.mkdir(parents=True)
    assert why_unsafe(inner, mine) is None
    inner.chmod(0o775)
    assert why_unsafe(inner, mine) == f"its group can write to {inner} (0775)"
    inner.chmod(0o1777)
    assert why_unsafe(inner, mine) == f"all users can write to {inner} (1777)"
    assert why_unsafe(inner, mine, sticky=True) is None
    inner.chmod(0o755)
    (folder / "a").chmod(0o777)
    assert why_unsafe(inner, mine) == f"all users can write to {folder / 'a'} (0777)"
    (folder / "a").chmod(0o1777)
    assert why_unsafe(inner, mine) is None
    os.chown(folder / "a", SECOND, SECOND)
    assert why_unsafe(inner, mine) == f"{folder / 'a'} belongs to nobody"
    assert why_unsafe(inner, {*mine, SECOND}) is None


def test_a_link_of_another_user_is_not_followed(folder: Path) -> None:
    second_user.need_root()
    (folder / "real").mkdir()
    (folder / "link").symlink_to("real")
    (folder / "far").symlink_to(folder / "link")
    assert why_unsafe(folder / "far", {0}) is None
    os.lchown(folder / "link", SECOND, SECOND)
    assert why_unsafe(folder / "far", {0}) == f"{folder / 'link'} belongs to nobody"
    (folder / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="symbolic links"):
        why_unsafe(folder / "loop", {0})


def test_the_directory_that_others_cannot_enter_is_named(folder: Path) -> None:
    (folder / "a" / "b").mkdir(parents=True)
    assert closed_to_others(folder / "a" / "b") is None
    (folder / "a").chmod(0o750)
    assert closed_to_others(folder / "a" / "b") == folder / "a"
