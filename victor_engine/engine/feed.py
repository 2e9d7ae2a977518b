"""The live feed: committed events to any number of subscribers, none of whom can hold up the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec

from victor_engine.api import EventInfo
from victor_engine.store.db import Store
from victor_engine.store.queries import events_after

QUEUE = 10_000
"""Events that may wait for one subscriber; past that it catches up from the store."""

PAGE = 500


class Broadcast:
    """Hands each committed event to every subscriber, in order, without a gap."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._subscribers: set[asyncio.Queue[EventInfo | None]] = set()
        self.closed = False

    def publish(self, events: list[EventInfo]) -> None:
        for queue in self._subscribers:
            for event in events:
                if queue.full():
                    # The subscriber is told by None, and reads what it missed from the store.
                    while not queue.empty():
                        queue.get_nowait()
                    queue.put_nowait(None)
                    break
                queue.put_nowait(event)

    def notice(self, event: EventInfo) -> None:
        """Tell everybody of something that the store cannot hold; `event.seq` is 0. Who lags does without."""
        for queue in self._subscribers:
            if not queue.full():
                queue.put_nowait(event)

    def close(self) -> None:
        self.closed = True
        for queue in self._subscribers:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(None)

    async def subscribe(self, after: int) -> AsyncIterator[EventInfo]:
        """Events with a sequence above `after`: first from the store, then as they are committed."""
        queue: asyncio.Queue[EventInfo | None] = asyncio.Queue(QUEUE)
        self._subscribers.add(queue)
        try:
            last = after
            while not self.closed:
                while page := await self._store.read(lambda c, last=last: events_after(c, last, PAGE)):  # type: ignore[misc]
                    for event in page:
                        last = event.seq
                        yield event
                while (event_or_gap := await queue.get()) is not None:
                    if event_or_gap.seq > last:
                        last = event_or_gap.seq
                        yield event_or_gap
                    elif event_or_gap.seq == 0:
                        yield msgspec.structs.replace(event_or_gap, seq=last)
        finally:
            self._subscribers.discard(queue)
