"""The feed of committed events. A slow subscriber does not delay the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec

from victor_engine.api import ENGINE_ACTOR, EventInfo, StorageInfo
from victor_engine.events import EventKind
from victor_engine.store.db import Store
from victor_engine.store.queries import events_after

QUEUE = 10_000
"""Maximum events that wait for one subscriber. If there are more, it reads them from the store."""

PAGE = 500


class Broadcast:
    """The distribution of each committed event to every subscriber, in order and without gaps."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._subscribers: set[asyncio.Queue[EventInfo | None]] = set()
        self.closed = False

    def publish(self, events: list[EventInfo]) -> None:
        for queue in self._subscribers:
            for event in events:
                if queue.full():
                    # None makes the subscriber read the missed events from the store.
                    while not queue.empty():
                        queue.get_nowait()
                    queue.put_nowait(None)
                    break
                queue.put_nowait(event)

    def notice(self, event: EventInfo) -> None:
        """Send an event that cannot be stored; its `seq` is 0. A subscriber with a full queue does not get it."""
        for queue in self._subscribers:
            if not queue.full():
                queue.put_nowait(event)

    def storage_lost(self, info: StorageInfo) -> None:
        """Send the start of a storage outage, which cannot be stored."""
        kind, data = EventKind.ENGINE_STORAGE_LOST, {"message": info.message}
        self.notice(EventInfo(seq=0, at=info.since, kind=kind, actor=ENGINE_ACTOR, data=data))

    def close(self) -> None:
        self.closed = True
        for queue in self._subscribers:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(None)

    async def subscribe(self, after: int) -> AsyncIterator[EventInfo]:
        """Yield events with a `seq` above `after`: first from the store, then when they are committed."""
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
