"""The requests that the console loads: a page of open requests, and a page of the matches of a filter."""

from __future__ import annotations

from dataclasses import dataclass

from victor_engine.api import Port, RequestInfo, RequestQuery

PAGE = 500
"""Maximum number of loaded requests. `Port.request_count` returns the total."""

OPEN = RequestQuery(limit=PAGE)
FOR_ME = RequestQuery(asked=("mine", "groups"), limit=PAGE)


@dataclass(frozen=True)
class Page:
    """The first requests that match a query, and the total number of matches."""

    rows: list[RequestInfo]
    total: int


async def open_page(port: Port) -> list[RequestInfo]:
    """Load a page of open requests by urgency. If there are more, add the requests of the current user."""
    first = await port.requests(OPEN)
    if len(first) < PAGE:
        return first
    ids = {request.id for request in first}
    return first + [request for request in await port.requests(FOR_ME) if request.id not in ids]


async def found_page(port: Port, query: RequestQuery) -> Page:
    """Load a page of the requests that match a query, with their total number."""
    rows = await port.requests(query)
    return Page(rows, len(rows) if len(rows) < query.limit else await port.request_count(query))
