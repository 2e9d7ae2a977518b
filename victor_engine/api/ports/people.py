"""The part of the port that concerns people."""

from __future__ import annotations

from typing import Protocol

from victor_engine.api.marks import action, query
from victor_engine.api.people import Answer, RequestInfo, RequestQuery


class PeoplePort(Protocol):
    """Requests to people: list, answer, claim and hand them on."""

    @query
    async def requests(self, query: RequestQuery) -> list[RequestInfo]:
        """A page of requests: the open ones by deadline, priority and age, then the decided ones, newest first."""
        ...

    @query
    async def request_count(self, query: RequestQuery) -> int:
        """How many requests fit a query, whatever its page."""
        ...

    @query
    async def request(self, request_id: str) -> RequestInfo: ...

    @action
    async def answer(self, request_id: str, revision: int, answer: Answer) -> RequestInfo: ...

    @action
    async def claim(self, request_id: str) -> RequestInfo: ...

    @action
    async def release(self, request_id: str) -> RequestInfo: ...

    @action
    async def reassign(
        self, request_id: str, revision: int, assignees: list[str], note: str = ""
    ) -> RequestInfo: ...

    @action
    async def delegate(self, request_id: str, revision: int, to: str, note: str = "") -> RequestInfo: ...

    @action
    async def undo_answer(self, request_id: str) -> RequestInfo: ...

    @action
    async def push_back(self, request_id: str, revision: int, to_node: str, comment: str) -> RequestInfo: ...

    @action
    async def ask_requester(self, request_id: str, question: str) -> RequestInfo: ...

    @action
    async def reply(self, request_id: str, text: str) -> RequestInfo: ...
