"""The queries of the port for the search by name, and for the counts of long lists."""

from __future__ import annotations

from victor_engine.api import FOUND_KINDS, Count, EventQuery, Found, FoundKind, RunQuery
from victor_engine.engine.queries.reader import Reader
from victor_engine.errors import UsageError
from victor_engine.store.queries.list_counts import event_count, run_count
from victor_engine.store.queries.search import find

MAX_FOUND = 50
"""Maximum number of results of each kind."""
MAX_TEXT = 200
"""Maximum number of characters of a search."""


class SearchQueries:
    """The search for things by name."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def find(
        self, text: str, kinds: tuple[FoundKind, ...] = FOUND_KINDS, limit: int = 5
    ) -> list[Found]:
        if not 1 <= limit <= MAX_FOUND:
            raise UsageError(f"limit is {limit}: write a number from 1 to {MAX_FOUND}")
        if len(text) > MAX_TEXT:
            raise UsageError(f"a search has at most {MAX_TEXT} characters")
        return await self._reader.read(find, text, kinds, limit)

    async def run_count(self, query: RunQuery) -> Count:
        return await self._reader.read(run_count, query)

    async def event_count(self, query: EventQuery) -> Count:
        return await self._reader.read(event_count, query)
