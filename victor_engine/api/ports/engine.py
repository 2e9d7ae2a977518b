"""The part of the port that concerns the engine itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from victor_engine.api.engine import EngineInfo, EventInfo, EventQuery, TrustInfo
from victor_engine.api.marks import action, own, query
from victor_engine.api.versions import ProblemInfo


class EnginePort(Protocol):
    """The engine itself: its state, its events, its workspace, and its end."""

    @query
    async def engine(self) -> EngineInfo: ...

    @query
    async def trust_info(self) -> TrustInfo: ...

    @query
    async def events(self, query: EventQuery) -> list[EventInfo]: ...

    @action
    async def drain(self, note: str = "") -> EngineInfo: ...

    @action
    async def undrain(self, note: str = "") -> EngineInfo: ...

    @action
    async def reload(self) -> list[ProblemInfo]: ...

    @action
    async def trust(self) -> TrustInfo: ...

    @action
    async def stop_engine(self) -> None: ...

    @own
    def subscribe(self, after: int) -> AsyncIterator[EventInfo]:
        """Yield events with a sequence above `after`, then every new one as it is committed."""
        ...

    @own
    async def close(self) -> None: ...
