"""The access of queries to the store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from victor_engine.store.db import Store

T = TypeVar("T")


class Reader(Protocol):
    """A reader that runs each query on one committed state of the store."""

    async def read(self, query: Callable[..., T], *arguments: Any, **keywords: Any) -> T:
        """Call `query` with a connection and the arguments, and return its result."""
        ...


class StoreReader:
    """The reader of an engine."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def read(self, query: Callable[..., T], *arguments: Any, **keywords: Any) -> T:
        return await self._store.read(lambda connection: query(connection, *arguments, **keywords))
