"""A declared and implemented method is derived for the client, the server and the read-only port."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from victor_engine.api import Port, port
from victor_engine.api.marks import action, query
from victor_engine.api.port import derive
from victor_engine.api.roles import Role
from victor_engine.errors import EngineUnavailableError, UsageError
from victor_engine.service import protocol
from victor_engine.service.client import request_for
from victor_engine.service.connection import Connection
from victor_engine.service.read_only import answer_or_refuse
from victor_engine.service.server import PortServer


class ExtraPort(Protocol):
    """A protocol with two additional methods."""

    @query
    async def repeated(self, text: str, times: int = 2) -> list[str]:
        """Return a text several times."""
        ...

    @action(role=Role.OPERATOR)
    async def noted(self, text: str) -> int: ...


def forget() -> None:
    port.declared.cache_clear()
    port.methods.cache_clear()
    protocol.methods.cache_clear()


@pytest.fixture
def extended(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Declare two additional methods for one test."""
    monkeypatch.setattr(port, "PROTOCOLS", (*port.PROTOCOLS, ExtraPort))
    forget()
    yield
    monkeypatch.undo()
    forget()


class Implementation:
    def __init__(self) -> None:
        self.notes: list[str] = []

    async def repeated(self, text: str, times: int = 2) -> list[str]:
        return [text] * times

    async def noted(self, text: str) -> int:
        self.notes.append(text)
        return len(self.notes)


async def test_a_new_method_is_called_over_the_socket(extended: None, tmp_path: Path) -> None:
    @derive(request_for)
    class Client(Connection, Port, ExtraPort):
        pass

    assert str(inspect.signature(Client.repeated)).startswith("(self, text: 'str', times: 'int' = 2)")
    assert Client.repeated.__doc__ == "Return a text several times."
    served: Any = Implementation()
    server = PortServer(served, tmp_path / "s" / "engine.sock")
    await server.start()
    try:
        async with asyncio.timeout(20):
            client = await Client.connect(server.path)
            assert await client.repeated("a") == ["a", "a"]
            assert await client.repeated(times=1, text="b") == ["b"]
            assert await client.noted("c") == 1
            assert served.notes == ["c"]
            with pytest.raises(TypeError, match=r"repeated\(\): missing a required argument: 'text'"):
                await client.repeated()  # type: ignore[call-arg]
            with pytest.raises(UsageError, match="Expected `str`, got `int`"):
                await client.noted(7)  # type: ignore[arg-type]
            await client.close()
    finally:
        await server.close()


async def test_a_port_without_an_engine_refuses_the_new_action(extended: None) -> None:
    @derive(answer_or_refuse)
    class View(Port, ExtraPort):
        async def engine(self) -> Any: ...
        async def whoami(self) -> Any: ...
        async def trust_info(self) -> Any: ...
        async def secrets(self) -> Any: ...
        async def events(self, query: Any) -> Any: ...
        async def plan_deployment(self, undo: bool = False) -> Any: ...
        async def deployments(self, limit: int = 20) -> Any: ...
        async def repeated(self, text: str, times: int = 2) -> list[str]:
            return [text] * times

        def subscribe(self, after: int) -> Any: ...
        async def close(self) -> None: ...

    view: Any = View()
    assert await view.repeated("a", 1) == ["a"]
    with pytest.raises(EngineUnavailableError, match="victor scheduler start"):
        await view.noted("c")
    with pytest.raises(TypeError, match="noted"):
        await view.noted()


def test_a_method_without_a_mark_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unmarked(Protocol):
        async def forgotten(self) -> None: ...

    monkeypatch.setattr(port, "PROTOCOLS", (*port.PROTOCOLS, Unmarked))
    forget()
    try:
        with pytest.raises(TypeError, match=r"Unmarked\.forgotten has no mark; decorate it with @query"):
            port.declared()
    finally:
        monkeypatch.undo()
        forget()
