"""The queue of the current user: its number and its first request, and new requests to the user."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from victor_engine.api import Port, QueueInfo, RequestInfo, RequestQuery

NAMED = 4
"""Maximum number of new requests that are loaded for a notification."""


@dataclass(frozen=True)
class Arrivals:
    """The newest requests that were opened for the user since the last load, newest first, and their number."""

    requests: Sequence[RequestInfo] = ()
    count: int = 0


@dataclass(frozen=True)
class Queue:
    """The queue of the current user, and the requests that arrived since it was loaded before."""

    info: QueueInfo
    arrived: Arrivals


class QueueLoader:
    """Loads the queue, and remembers which requests are known. The first load has no arrivals."""

    def __init__(self) -> None:
        self._position: int | None = None

    async def __call__(self, port: Port) -> Queue:
        info = await port.request_queue()
        before, self._position = self._position, info.position
        if before is None or before == info.position:
            return Queue(info, Arrivals())
        query = RequestQuery(
            asked=("mine", "groups", "anyone"), opened_after=before, order="age", reverse=True, limit=NAMED
        )
        newest = await port.requests(query)
        count = len(newest) if len(newest) < NAMED else await port.request_count(query)
        return Queue(info, Arrivals(newest, count))
