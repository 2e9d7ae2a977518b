"""Which requests the console holds: a page of the open ones, and a page of what a filter finds."""

from __future__ import annotations

from dataclasses import dataclass

from victor_engine.api import Port, RequestInfo, RequestQuery

PAGE = 500
"""Requests that are held at once; `Port.request_count` says how many there are."""

OPEN = RequestQuery(limit=PAGE)
FOR_ME = RequestQuery(asked=("mine", "groups"), limit=PAGE)


@dataclass(frozen=True)
class Page:
    """The first requests that fit a query, and how many fit it in all."""

    rows: list[RequestInfo]
    total: int


async def open_page(port: Port) -> list[RequestInfo]:
    """Load a page of open requests by urgency and, where there are more, those that ask whoever looks."""
    first = await port.requests(OPEN)
    if len(first) < PAGE:
        return first
    here = {request.id for request in first}
    return first + [request for request in await port.requests(FOR_ME) if request.id not in here]


async def found_page(port: Port, query: RequestQuery) -> Page:
    """Load a page of the requests that fit a query, with their number."""
    rows = await port.requests(query)
    return Page(rows, len(rows) if len(rows) < query.limit else await port.request_count(query))
