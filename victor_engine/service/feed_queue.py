"""The events that wait for one subscriber: a bounded queue between the feed of the engine and the socket."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

from victor_engine.api import EventInfo
from victor_engine.service import limits, protocol


class FeedQueue:
    """Reads a feed ahead of a subscriber. It ends if too many events wait, or if `changed` returns.

    Events that a subscriber does not read are dropped, and `not_read` is called with their number.

    `error` is then the reason, or None if the subscriber must subscribe again after its last event.
    """

    def __init__(
        self,
        feed: AsyncIterator[EventInfo],
        changed: Callable[[], Awaitable[Exception | None]],
        not_read: Callable[[int], None],
    ) -> None:
        self.error: Exception | None = None
        self._feed = feed
        self._not_read = not_read
        self._waiting: deque[EventInfo] = deque()
        self._arrived = asyncio.Event()
        self._ended = False
        loop = asyncio.get_running_loop()
        self._pumping = loop.create_task(self._pump())
        self._watching = loop.create_task(self._watch(changed))

    async def take(self, most: int) -> list[EventInfo]:
        """Wait for events and return some of them; an empty list at the end."""
        while not self._waiting and not self._ended:
            self._arrived.clear()
            await self._arrived.wait()
        return [self._waiting.popleft() for _ in range(min(len(self._waiting), most))]

    async def close(self) -> None:
        self._pumping.cancel()
        self._watching.cancel()
        await asyncio.gather(self._pumping, self._watching, return_exceptions=True)

    async def _pump(self) -> None:
        error = None
        try:
            async for event in self._feed:
                if len(self._waiting) >= protocol.QUEUED_EVENTS:
                    break
                self._waiting.append(event)
                self._arrived.set()
        except Exception as problem:
            error = problem
        finally:
            if isinstance(self._feed, AsyncGenerator):
                await self._feed.aclose()
        self._end(error)
        await self._drop_unread()

    async def _drop_unread(self) -> None:
        """Drop the rest of the events if the subscriber reads none of them for a time. The store has them."""
        while left := len(self._waiting):
            await asyncio.sleep(limits.STALLED_SECONDS)
            if len(self._waiting) == left:
                self._waiting.clear()
                self._not_read(left)

    async def _watch(self, changed: Callable[[], Awaitable[Exception | None]]) -> None:
        try:
            error = await changed()
        except Exception as problem:
            error = problem
        self._pumping.cancel()
        self._waiting.clear()
        self._end(error)

    def _end(self, error: Exception | None) -> None:
        self.error = error
        self._ended = True
        self._arrived.set()
