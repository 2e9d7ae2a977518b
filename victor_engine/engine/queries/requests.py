"""The queries of the port on requests to people."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from msgspec.structs import replace

from victor_engine.api import (
    Actor,
    AuditHead,
    AuditPage,
    AuditQuery,
    AuditRecord,
    AuditReport,
    QueueInfo,
    RequestInfo,
    RequestPage,
    RequestQuery,
    RequestStatus,
)
from victor_engine.clock import Clock
from victor_engine.engine.queries import request_details
from victor_engine.engine.queries.reader import Reader
from victor_engine.identity import acting
from victor_engine.people import audit, audit_verification
from victor_engine.people.groups import Groups
from victor_engine.people.viewers import Viewers
from victor_engine.people.visibility import Viewing
from victor_engine.store import queries

NoneOf = Callable[[Sequence[str]], Awaitable[tuple[str, ...]]]
"""Returns the assignees that cannot use the engine."""


async def reach_all(assignees: Sequence[str]) -> tuple[str, ...]:
    """Return no assignee: without an engine it is not known who cannot use it."""
    return ()


class RequestQueries:
    """The queries on requests, with the view of the calling user. `roles` are those of the configuration."""

    def __init__(
        self,
        reader: Reader,
        roles: Callable[[], Mapping[str, tuple[str, ...]]],
        groups: Groups,
        anyone: Callable[[Actor], Awaitable[bool]],
        clock: Clock,
        none_of: NoneOf,
    ) -> None:
        self._reader = reader
        self._viewers = Viewers(clock)
        self._viewing = Viewing(roles, groups, anyone, self._viewers)
        self._none_of = none_of

    async def requests(self, query: RequestQuery) -> list[RequestInfo]:
        found = await self._reader.read(queries.requests, query, await self._viewing.asks(query))
        return await self._viewing.see(found)

    async def request_count(self, query: RequestQuery) -> int:
        return await self._reader.read(queries.request_count, query, await self._viewing.asks(query))

    async def request_page(self, query: RequestQuery) -> RequestPage:
        page = await self._reader.read(queries.request_page, query, await self._viewing.asks(query))
        return replace(page, rows=tuple(await self._viewing.see(page.rows)))

    async def request_queue(self) -> QueueInfo:
        queue = await self._reader.read(queries.request_queue, await self._viewing.caller())
        first = None if queue.next is None else (await self._viewing.see([queue.next]))[0]
        return replace(queue, next=first)

    async def request(self, request_id: str) -> RequestInfo:
        return await self._shown(await self._reader.read(request_details.request, request_id))

    async def view_request(self, request_id: str) -> RequestInfo:
        found = await self._reader.read(request_details.request, request_id)
        self._viewers.view(found.id, acting())
        return await self._shown(found)

    async def _shown(self, found: RequestInfo) -> RequestInfo:
        """Return one request with the view of the calling user, and with the assignees that cannot connect."""
        if found.status == RequestStatus.OPEN:
            found = replace(found, unreachable=await self._none_of(found.assignees))
        return (await self._viewing.see([found]))[0]

    async def leave_request(self, request_id: str) -> None:
        self._viewers.leave(await self._reader.read(queries.request_id, request_id), acting())

    async def view_changes(self) -> int:
        return self._viewers.changes

    async def audit_history(self, query: AuditQuery) -> AuditPage:
        return await self._reader.read(audit.history_page, query)

    async def audit_records(self, after: int = 0, limit: int = 500) -> list[AuditRecord]:
        return await self._reader.read(audit.chain_page, after, limit)

    async def audit_head(self) -> AuditHead:
        return await self._reader.read(audit_verification.head_of)

    async def verify_audit(self, head: str | None = None) -> AuditReport:
        return await self._reader.read(audit_verification.verify, head)
