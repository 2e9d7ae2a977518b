"""The query of the port for the search by name."""

from __future__ import annotations

from victor_engine.api import FOUND_KINDS, Found, FoundKind
from victor_engine.engine.queries.reader import Reader
from victor_engine.errors import UsageError
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
