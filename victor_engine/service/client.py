"""The client of an engine: the port over its Unix socket, for consoles and the command line.

The methods are derived from the protocols that declare the port; each is one request.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from victor_engine.api.port import Port, PortMethod, derive
from victor_engine.service.connection import Connection


def request_for(method: PortMethod) -> Callable[..., Awaitable[Any]]:
    """Return the function that sends a call of one method to the engine."""

    async def send(self: Connection, *given: Any, **named: Any) -> Any:
        return await self.call(method.name, method.arguments(given, named))

    return send


@derive(request_for)
class Client(Connection, Port):
    """The port over a Unix socket. `Client.connect` creates it."""
