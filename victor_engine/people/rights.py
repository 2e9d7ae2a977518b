"""The roles of a user on the engine, from `permissions` of the configuration and the groups of the user."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from contextvars import ContextVar
from typing import TYPE_CHECKING

from msgspec import Struct

from victor_engine.api import ENGINE_ACTOR, Actor
from victor_engine.api.roles import Role, with_included
from victor_engine.errors import PermissionDeniedError
from victor_engine.people.groups import Groups
from victor_engine.people.roles import named, person

if TYPE_CHECKING:
    from victor_engine.config import Config

LOOKUP_SECONDS = 10.0
"""Maximum seconds for the system to look up the groups of a user for a call."""

EVERY_ROLE = with_included([Role.ADMIN])


class Grant(Struct, frozen=True):
    """The rights that a server grants to a token: a role, and the parts of the port; without scopes all parts."""

    role: Role
    scopes: tuple[str, ...] = ()
    may_answer: bool = False


current_grant: ContextVar[Grant | None] = ContextVar("victor_grant", default=None)
"""The grant of the token on whose behalf the current call runs."""


def is_owner(uid: int) -> bool:
    """Return whether a user is root or the user of the engine, who are always admin."""
    return uid in (0, os.geteuid())


class Rights:
    """The roles of users. `config` returns the configuration that is in use."""

    def __init__(self, config: Callable[[], Config], groups: Groups) -> None:
        self._config = config
        self._groups = groups

    @property
    def configured(self) -> bool:
        """Return whether the configuration has `permissions`. Without them, only the owner has a role."""
        return self._config().permissions is not None

    def granted(self) -> dict[str, tuple[str, ...]] | None:
        """Return the users and groups of each role that has any, as configured; None without permissions."""
        permissions = self._config().permissions
        if permissions is None:
            return None
        by_role = {str(role): getattr(permissions, role) for role in Role}
        return {role: names for role, names in by_role.items() if names}

    async def of(self, actor: Actor) -> frozenset[Role]:
        """Return the roles of a user, with those that they include.

        A token has the roles of its grant that the user of its server has too, as long as `proxies` lists this user.
        Raise PermissionDeniedError if the system does not look up the groups of the user in time.
        """
        if actor.proxy is not None:
            grant = current_grant.get()
            if grant is None or not self.may_act_for_tokens(actor.proxy):
                return frozenset()
            return with_included([grant.role]) & await self.of(Actor(user=actor.proxy, uid=actor.proxy_uid))
        if actor == ENGINE_ACTOR or is_owner(actor.uid):
            return EVERY_ROLE
        permissions = self._config().permissions
        if permissions is None:
            return frozenset()
        by_role = {role: getattr(permissions, role) for role in Role}
        groups: frozenset[str] = frozenset()
        if any(name.startswith("@") for names in by_role.values() for name in names):
            groups = await self._look_up(actor)
        return with_included([role for role, names in by_role.items() if named(actor.user, groups, names)])

    @property
    def answers_in_browsers(self) -> bool:
        """Whether requests can be answered in a console in a browser."""
        return self._config().serve.may_answer

    def may_act_for_tokens(self, user: str) -> bool:
        """Return whether the servers of a user may act on behalf of tokens."""
        return user in self._config().proxies

    async def may_answer_anyones(self, actor: Actor) -> bool:
        """Return whether a user may answer requests without assignees."""
        return not self.configured or Role.APPROVER in await self.of(actor)

    async def is_one_of(self, actor: Actor, assignees: Collection[str]) -> bool:
        """Return whether some of these assignees mean the user. Raise PermissionDeniedError like `of`."""
        if not assignees:
            return False
        who = person(actor, self._config().roles, await self._look_up(actor))
        return who.is_one_of(tuple(assignees))

    async def _look_up(self, actor: Actor) -> frozenset[str]:
        try:
            return await self._groups.of(actor.user, LOOKUP_SECONDS)
        except TimeoutError:
            raise PermissionDeniedError(
                f"permission denied: the system did not look up the groups of {actor.user} within "
                f"{LOOKUP_SECONDS:g} seconds. Try again"
            ) from None
