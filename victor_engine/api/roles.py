"""The roles of users on an engine, and the refusal of a call without the role that it needs."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum, unique
from types import MappingProxyType


@unique
class Role(StrEnum):
    """A role of a user on an engine. The configuration grants it with `permissions`."""

    VIEWER = "viewer"
    """Sees everything that the engine shows, and changes nothing."""
    OPERATOR = "operator"
    """Controls runs, schedules, versions and backfills, and can ask people questions."""
    APPROVER = "approver"
    """Answers requests that have no assignees."""
    ADMIN = "admin"
    """Stops the engine, reloads and trusts its files, and has all other roles."""
    ASK = "ask"
    """Asks people questions, and sees nothing else."""


_INCLUDED = MappingProxyType(
    {
        Role.VIEWER: frozenset({Role.VIEWER}),
        Role.OPERATOR: frozenset({Role.OPERATOR, Role.VIEWER, Role.ASK}),
        Role.APPROVER: frozenset({Role.APPROVER, Role.VIEWER}),
        Role.ADMIN: frozenset(Role),
        Role.ASK: frozenset({Role.ASK}),
    }
)


def with_included(granted: Collection[Role]) -> frozenset[Role]:
    """Return roles together with the roles that they include."""
    return frozenset(role for each in granted for role in _INCLUDED[each])


def shown_roles(roles: Collection[Role]) -> str:
    """Return roles as text, without those that another one includes: `operator and approver`, or `no role`."""
    if Role.ADMIN in roles:
        return Role.ADMIN
    left = [role for role in Role if role in roles]
    left = [role for role in left if not any(role in _INCLUDED[o] for o in left if o is not role)]
    return " and ".join(left) or "no role"


def granting_users(engine_user: str) -> str:
    """Return the users who can grant roles on the engine of a user: `root`, or `root or ana`."""
    return "root" if engine_user in ("", "root") else f"root or {engine_user}"


def refusal(method: str, needed: Role, user: str, roles: Collection[Role], ask: str = "root") -> str:
    """Return the message that refuses a call. `ask` is the user who can grant roles."""
    return f"permission denied: {method} needs the role {needed}; {user} has {shown_roles(roles)}. Ask {ask} for a role"
