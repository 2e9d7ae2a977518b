"""The actions of the port on requests to people."""

from __future__ import annotations

from victor_engine.api import (
    Answer,
    RequestInfo,
)
from victor_engine.engine.queries import Queries
from victor_engine.hitl.requests import answer_request, claim_request, release_request
from victor_engine.identity import acting
from victor_engine.store import queries


class PeopleActions(Queries):
    """Answer, claim, release."""

    def _members(self, role: str) -> frozenset[str]:
        return frozenset(self.workspace.config.roles.get(role, ()))

    async def answer(self, request_id: str, revision: int, answer: Answer) -> RequestInfo:
        actor = acting()
        full = await self._read(queries.request_id, request_id)
        decision = await self.store.write(
            lambda tx: answer_request(tx, full, revision, answer, actor, self._members)
        )
        if decision is not None:
            self.runtime.deliver(full, decision)
        return await self.request(full)

    async def claim(self, request_id: str) -> RequestInfo:
        actor = acting()
        full = await self._read(queries.request_id, request_id)
        await self.store.write(lambda tx: claim_request(tx, full, actor, self._members))
        return await self.request(full)

    async def release(self, request_id: str) -> RequestInfo:
        actor = acting()
        full = await self._read(queries.request_id, request_id)
        await self.store.write(lambda tx: release_request(tx, full, actor))
        return await self.request(full)
