"""The relation of requests to the user who reads them: addressed by name, by group, or not."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from victor_engine.api import Actor, RequestInfo, RequestQuery
from victor_engine.identity import acting
from victor_engine.people.groups import Groups
from victor_engine.people.roles import GROUP, ROLE, USER, Person, asked_as, person
from victor_engine.people.viewers import Viewers
from victor_engine.store.queries.request_filters import Asks

log = logging.getLogger(__name__)

LOOKUP_SECONDS = 1.0
"""Seconds that the system may take to look up the groups of a user, before a list is shown without them."""


class Viewing:
    """Fills `RequestInfo.asked_as` and `RequestInfo.viewers` for the acting user.

    `roles` returns the roles of the configuration. `anyone` returns whether a user may answer requests without
    assignees.
    """

    def __init__(
        self,
        roles: Callable[[], Mapping[str, tuple[str, ...]]],
        groups: Groups,
        anyone: Callable[[Actor], Awaitable[bool]],
        viewers: Viewers,
    ) -> None:
        self._viewers = viewers
        self._roles = roles
        self._groups = groups
        self._anyone = anyone

    async def see(self, found: Sequence[RequestInfo]) -> list[RequestInfo]:
        """Return the requests with `asked_as` and `viewers` set for the acting user."""
        who = await self._viewer({name for request in found for name in request.assignees})
        actor = acting()
        return [
            msgspec.structs.replace(
                r, asked_as=asked_as(who, r.assignees), viewers=self._viewers.others(r.id, actor)
            )
            for r in found
        ]

    async def asks(self, query: RequestQuery) -> Asks | None:
        """Return the assignees that mean the acting user, if the query filters by them; None otherwise."""
        return await self.caller() if query.asked or query.answerable or query.named else None

    async def caller(self) -> Asks:
        """Return the assignees that mean the acting user."""
        actor = acting()
        who = await self._viewer({""})
        groups = (name for group in who.groups for name in (group, GROUP + group, ROLE + group))
        roles = (ROLE + role for role in who.roles)
        names = (actor.user, USER + actor.user)
        mine = tuple(dict.fromkeys((*groups, *roles)))
        return Asks(
            actor.user, names, mine, anyone=await self._anyone(actor), uid=actor.uid, person=actor.person
        )

    async def _viewer(self, assignees: set[str]) -> Person:
        actor = acting()
        if not assignees - {actor.user}:
            return Person(actor)
        try:
            groups = await self._groups.of(actor.user, LOOKUP_SECONDS)
        except TimeoutError:
            log.warning("the lookup of the groups of user %s timed out", actor.user)
            groups = self._groups.last(actor.user)
        return person(actor, self._roles(), groups)
