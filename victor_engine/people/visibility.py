"""How whoever looks is asked by the requests that they see."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

import msgspec

from victor_engine.api import RequestInfo, RequestQuery
from victor_engine.clock import Clock
from victor_engine.identity import acting
from victor_engine.people.roles import GROUP, ROLE, USER, Person, asked_as, person, unix_groups
from victor_engine.store.queries.people import Asks

log = logging.getLogger(__name__)

LOOKING_SECONDS = 1.0
"""How long the system may take to say in which groups somebody is, before a list is shown without."""
GROUPS_KEPT = 60.0
"""How long the groups of who looks are kept; who acts is looked up each time."""


class Viewing:
    """Fills `RequestInfo.asked_as` for who is acting. `roles` are those of the configuration."""

    def __init__(self, roles: Callable[[], Mapping[str, tuple[str, ...]]], clock: Clock) -> None:
        self._roles = roles
        self._clock = clock
        self._seen: dict[str, tuple[float, frozenset[str]]] = {}

    async def see(self, found: Sequence[RequestInfo]) -> list[RequestInfo]:
        """The same requests, each with how it asks who looks."""
        who = await self._viewer({name for request in found for name in request.assignees})
        return [msgspec.structs.replace(r, asked_as=asked_as(who, r.assignees)) for r in found]

    async def asks(self, query: RequestQuery) -> Asks | None:
        """Return by which assignees requests ask who looks, where the query wants to know."""
        if not query.asked:
            return None
        actor = acting()
        who = await self._viewer({""})
        groups = (name for group in who.groups for name in (group, GROUP + group, ROLE + group))
        roles = (ROLE + role for role in who.roles)
        return Asks(actor.user, (actor.user, USER + actor.user), tuple(dict.fromkeys((*groups, *roles))))

    async def _viewer(self, assignees: set[str]) -> Person:
        actor = acting()
        if not assignees - {actor.user}:
            return Person(actor)
        known = self._seen.get(actor.user)
        if known is None or known[0] < self._clock.monotonic():
            try:
                async with asyncio.timeout(LOOKING_SECONDS):
                    groups = await asyncio.to_thread(unix_groups, actor.user)
            except TimeoutError:
                log.warning("the system does not say in which groups %s is", actor.user)
                groups = known[1] if known is not None else frozenset()
            known = (self._clock.monotonic() + GROUPS_KEPT, groups)
            self._seen[actor.user] = known
        return person(actor, self._roles(), known[1])
