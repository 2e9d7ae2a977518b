"""A sender that records messages, fails on demand, and can be waited for."""

from __future__ import annotations

import asyncio


class Mailbox:
    """A sender for tests. `messages` are (url, title, body). Addresses in `broken` fail with the given error."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, str, str]] = []
        self.tries: list[str] = []
        self.broken: dict[str, Exception] = {}
        self.stuck: asyncio.Event | None = None
        self._told = asyncio.Condition()

    async def send(self, url: str, title: str, body: str) -> None:
        self.tries.append(url)
        async with self._told:
            self._told.notify_all()
        if self.stuck is not None:
            await self.stuck.wait()
        if url in self.broken:
            raise self.broken[url]
        self.messages.append((url, title, body))
        async with self._told:
            self._told.notify_all()

    async def until(self, messages: int = 0, tries: int = 0) -> None:
        async with asyncio.timeout(20), self._told:
            await self._told.wait_for(lambda: len(self.messages) >= messages and len(self.tries) >= tries)

    @property
    def titles(self) -> list[str]:
        return [title for _, title, _ in self.messages]
