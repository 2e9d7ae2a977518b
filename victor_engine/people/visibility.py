"""The relation of requests to the user who reads them: addressed by name, by group, or not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

import msgspec

from victor_engine.api import RequestInfo, RequestQuery
from victor_engine.clock import Clock
from victor_engine.identity import acting
from victor_engine.people.roles import GROUP, ROLE, USER, Person, asked_as, person, unix_groups
from victor_engine.store.queries.request_filters import Asks

log = logging.getLogger(__name__)

LOOKUP_SECONDS = 1.0
"""Seconds that the system may take to look up the groups of a user, before a list is shown without them."""
CACHE_SECONDS = 60.0
"""Seconds for which the groups of a reader are cached. For commands they are looked up each time."""


class Viewing:
    """Fills `RequestInfo.asked_as` for the acting user. `roles` returns the roles of the configuration."""

    def __init__(self, roles: Callable[[], Mapping[str, tuple[str, ...]]], clock: Clock) -> None:
        self._roles = roles
        self._clock = clock
        self._seen: dict[str, tuple[float, frozenset[str]]] = {}

    async def see(self, found: Sequence[RequestInfo]) -> list[RequestInfo]:
        """Return the requests with `asked_as` set for the acting user."""
        who = await self._viewer({name for request in found for name in request.assignees})
        return [msgspec.structs.replace(r, asked_as=asked_as(who, r.assignees)) for r in found]

    async def asks(self, query: RequestQuery) -> Asks | None:
        """Return the assignees that mean the acting user, if the query filters by them; None otherwise."""
        return await self.caller() if query.asked or query.answerable else None

    async def caller(self) -> Asks:
        """Return the assignees that mean the acting user."""
        actor = acting()
        who = await self._viewer({""})
        groups = (name for group in who.groups for name in (group, GROUP + group, ROLE + group))
        roles = (ROLE + role for role in who.roles)
        names = (actor.user, USER + actor.user)
        return Asks(actor.user, names, tuple(dict.fromkeys((*groups, *roles))), uid=actor.uid)

    async def _viewer(self, assignees: set[str]) -> Person:
        actor = acting()
        if not assignees - {actor.user}:
            return Person(actor)
        known = self._seen.get(actor.user)
        if known is None or known[0] < self._clock.monotonic():
            try:
                async with asyncio.timeout(LOOKUP_SECONDS):
                    groups = await asyncio.to_thread(unix_groups, actor.user)
            except TimeoutError:
                log.warning("the lookup of the groups of user %s timed out", actor.user)
                groups = known[1] if known is not None else frozenset()
            known = (self._clock.monotonic() + CACHE_SECONDS, groups)
            self._seen[actor.user] = known
        return person(actor, self._roles(), known[1])
