"""The connections of a server to the engine: one for each token, so that the engine checks and limits each token."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from victor_engine.errors import EngineUnavailableError
from victor_engine.service.client import Client
from victor_engine.service.finding import attach, how_to_start
from victor_engine.service.paths import Paths
from victor_engine.service.protocol import OnBehalf
from victor_engine.web.tokens import Token

MOST = 64
"""Maximum connections. An engine accepts 100 of one user."""

Connect = Callable[[Token], Awaitable[Client]]


def connecting(paths: Paths) -> Connect:
    """Return the function that opens the connection of a token to the engine of a workspace."""

    async def connect(token: Token) -> Client:
        client = await attach(paths, "api", OnBehalf(token.name, token.grant))
        if client is None:
            raise EngineUnavailableError(how_to_start(paths))
        return client

    return connect


class _Entry:
    """The connection of one token, and the number of its uses."""

    def __init__(self) -> None:
        self.client: Client | None = None
        self.uses = 0
        self.opening = asyncio.Lock()


class Engines:
    """The connections by token. A connection that was lost is opened again for the next call."""

    def __init__(self, connect: Connect, most: int = MOST) -> None:
        self._connect = connect
        self._most = most
        self._entries: dict[str, _Entry] = {}

    @asynccontextmanager
    async def client(self, token: Token) -> AsyncIterator[Client]:
        """Yield the connection of a token. Raise EngineUnavailableError without an engine."""
        entry = self._entries.pop(token.digest, None) or _Entry()
        self._entries[token.digest] = entry  # the last one is the one that was used last
        entry.uses += 1
        try:
            async with entry.opening:
                if entry.client is not None and entry.client.lost:
                    await entry.client.close()
                    entry.client = None
                if entry.client is None:
                    await self._make_room()
                    entry.client = await self._connect(token)
            yield entry.client
        finally:
            entry.uses -= 1

    async def close(self) -> None:
        """Close all connections."""
        entries, self._entries = self._entries, {}
        for entry in entries.values():
            if entry.client is not None:
                await entry.client.close()

    async def _make_room(self) -> None:
        """Close the connection that was not used for the longest time, if there are too many."""
        unused = [digest for digest, entry in self._entries.items() if not entry.uses]
        if len(self._entries) <= self._most:
            return
        if not unused:
            raise EngineUnavailableError(f"{self._most} tokens use the engine at the moment; try again")
        entry = self._entries.pop(unused[0])
        if entry.client is not None:
            await entry.client.close()
