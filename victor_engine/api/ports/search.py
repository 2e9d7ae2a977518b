"""The part of the port for the search by name, and for the counts of long lists."""

from __future__ import annotations

from typing import Protocol

from victor_engine.api.engine import EventQuery
from victor_engine.api.marks import query
from victor_engine.api.runs import RunQuery
from victor_engine.api.search import FOUND_KINDS, Count, Found, FoundKind


class SearchPort(Protocol):
    """The search for workflows, versions, schedules, runs and open requests by name, and the counts of lists."""

    @query
    async def find(
        self, text: str, kinds: tuple[FoundKind, ...] = FOUND_KINDS, limit: int = 5
    ) -> list[Found]:
        """Return what the words of `text` name, the best match first, and of a kind the most recent.

        Each word must be a part of the name, or its letters must occur in the name in this order. The status of a
        run is a word of its name. Return at most `limit` (1 to 50) of each kind.
        """
        ...

    @query
    async def run_count(self, query: RunQuery) -> Count:
        """Return the number of runs that match a query, without regard to its page, up to a bound."""
        ...

    @query
    async def event_count(self, query: EventQuery) -> Count:
        """Return the number of events that match a query, without regard to its page, up to a bound."""
        ...
