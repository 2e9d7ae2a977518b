"""People: their user names, Unix groups and roles, compared with the assignees of requests.

The user database of the system can be remote, so it is read before a transition starts, never inside one. `look_up`,
`unix_groups` and `exists` block; the other functions only compare.
"""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from victor_engine.api import ENGINE_ACTOR, Actor

USER, GROUP, ROLE = "user:", "group:", "@"
"""The prefixes of assignees. A name without a prefix is a user or a group."""


@dataclass(frozen=True, slots=True)
class Person:
    """A person who acts on a request. An `admin` may reassign requests of other people."""

    actor: Actor
    groups: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    admin: bool = False

    @property
    def key(self) -> int | str:
        """The identity of the person for counting votes."""
        return self.actor.person

    def is_one_of(self, assignees: tuple[str, ...]) -> bool:
        """Return whether a request with these assignees is for this person. Without assignees, it is for everyone."""
        return not assignees or any(self.matches(name) for name in assignees)

    def matches(self, assignee: str) -> bool:
        """Return whether an assignee means this person.

        It can do so by name (`alice`, `user:alice`), Unix group (`ops`, `group:ops`) or role (`@lead`). A role that
        the configuration does not have is a group.
        """
        if assignee.startswith(USER):
            return assignee[len(USER) :] == self.actor.user
        if assignee.startswith(GROUP):
            return assignee[len(GROUP) :] in self.groups
        if assignee.startswith(ROLE):
            return assignee[len(ROLE) :] in self.roles | self.groups
        return assignee == self.actor.user or assignee in self.groups


def asked_as(person: Person, assignees: tuple[str, ...]) -> Literal["", "name", "group", "anyone"]:
    """Return how a request with these assignees is addressed to this person; empty if it is not."""
    if not assignees:
        return "anyone"
    if any(name in (person.actor.user, USER + person.actor.user) for name in assignees):
        return "name"
    return "group" if person.is_one_of(assignees) else ""


def same_user(one: Actor, other: Actor) -> bool:
    """Return whether two actors are the same user, or the same token."""
    return one.uid == other.uid if one.uid >= 0 else one.user == other.user


def unix_groups(user: str) -> frozenset[str]:
    """Return the names of all groups of a user; empty if the user does not exist. Blocks."""
    try:
        primary = pwd.getpwnam(user).pw_gid
    except (KeyError, ValueError):  # ValueError: the name contains a null character
        return frozenset()
    names = set()
    for gid in os.getgrouplist(user, primary):
        try:
            names.add(grp.getgrgid(gid).gr_name)
        except KeyError:
            continue
    return frozenset(names)


def needs_groups(assignees: tuple[str, ...], actor: Actor) -> bool:
    """Return whether the groups of an actor are needed to compare it with the assignees."""
    own = (actor.user, USER + actor.user)
    return bool(assignees) and not any(name in own for name in assignees)


def person(
    actor: Actor, roles: Mapping[str, tuple[str, ...]], groups: frozenset[str], admins: tuple[str, ...] = ()
) -> Person:
    """Return the person of an actor. `roles` maps a role to users and `@group`s, as in the configuration.

    Admins are root, the engine itself, the user of the engine, and `admins`: users and `@group`s.
    """
    held = frozenset(role for role, members in roles.items() if named(actor.user, groups, members))
    always = actor.uid in (0, os.geteuid()) or actor == ENGINE_ACTOR
    return Person(actor, groups, held, always or named(actor.user, groups, admins))


def named(user: str, groups: frozenset[str], names: tuple[str, ...]) -> bool:
    """Return whether users and `@group`s name a user with these groups."""
    return user in names or any(f"@{group}" in names for group in groups)


def look_up(actor: Actor, roles: Mapping[str, tuple[str, ...]], admins: tuple[str, ...] = ()) -> Person:
    """Return the person of an actor with its groups. Blocks while the system looks them up."""
    return person(actor, roles, unix_groups(actor.user), admins)


def exists(assignee: str, roles: Mapping[str, tuple[str, ...]]) -> bool:
    """Return whether the user, group or role of an assignee exists on this machine. Blocks."""

    def known_user(name: str) -> bool:
        try:
            pwd.getpwnam(name)
        except (KeyError, ValueError):  # ValueError: the name contains a null character
            return False
        return True

    def known_group(name: str) -> bool:
        try:
            grp.getgrnam(name)
        except (KeyError, ValueError):  # ValueError: the name contains a null character
            return False
        return True

    if assignee.startswith(USER):
        return known_user(assignee[len(USER) :])
    if assignee.startswith(GROUP):
        return known_group(assignee[len(GROUP) :])
    if assignee.startswith(ROLE):
        return assignee[len(ROLE) :] in roles or known_group(assignee[len(ROLE) :])
    return known_user(assignee) or known_group(assignee)
