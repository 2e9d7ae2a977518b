"""Who somebody is to a request: their name, their Unix groups, their roles of the configuration.

The system's user database may be a network away, so it is asked before a transition starts, never
inside one: `look_up` blocks, everything else here only compares.
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
"""How an assignee says what it is; a bare name is a user or a group."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who acts on a request. `admin` may hand on what is not theirs."""

    actor: Actor
    groups: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    admin: bool = False

    @property
    def key(self) -> int | str:
        """Who they are when people are counted: the uid that the kernel gave, or else the name."""
        return person_key(self.actor)

    def is_one_of(self, assignees: tuple[str, ...]) -> bool:
        """Whether a request with these assignees is for this person; without any it is for everybody."""
        return not assignees or any(self.is_meant(name) for name in assignees)

    def is_meant(self, assignee: str) -> bool:
        """By name (`alice`, `user:alice`), by Unix group (`ops`, `group:ops`), by role (`@lead`).

        A role that the configuration does not have is looked for among the groups.
        """
        if assignee.startswith(USER):
            return assignee[len(USER) :] == self.actor.user
        if assignee.startswith(GROUP):
            return assignee[len(GROUP) :] in self.groups
        if assignee.startswith(ROLE):
            return assignee[len(ROLE) :] in self.roles | self.groups
        return assignee == self.actor.user or assignee in self.groups


def asked_as(person: Person, assignees: tuple[str, ...]) -> Literal["", "name", "group", "anyone"]:
    """How a request with these assignees asks this person; empty where it does not."""
    if not assignees:
        return "anyone"
    if any(name in (person.actor.user, USER + person.actor.user) for name in assignees):
        return "name"
    return "group" if person.is_one_of(assignees) else ""


def person_key(actor: Actor) -> int | str:
    """The uid that the kernel gave, or else the name."""
    return actor.uid if actor.uid >= 0 else actor.user


def unix_groups(user: str) -> frozenset[str]:
    """The names of all groups of a user; empty for a name that the system does not know. Blocks."""
    try:
        primary = pwd.getpwnam(user).pw_gid
    except KeyError:
        return frozenset()
    names = set()
    for gid in os.getgrouplist(user, primary):
        try:
            names.add(grp.getgrgid(gid).gr_name)
        except KeyError:
            continue
    return frozenset(names)


def needs_groups(assignees: tuple[str, ...], actor: Actor) -> bool:
    """Whether names alone do not say if a request is for this person."""
    own = (actor.user, USER + actor.user)
    return bool(assignees) and not any(name in own for name in assignees)


def person(actor: Actor, roles: Mapping[str, tuple[str, ...]], groups: frozenset[str]) -> Person:
    """The person behind an actor. `roles` maps a role to users and `@group`s, as in the configuration.

    Admins are root, the engine itself, the members of the role `admin` and, where nobody has that
    role, the user who runs the engine.
    """
    held = frozenset(
        role
        for role, members in roles.items()
        if actor.user in members or any(f"@{group}" in members for group in groups)
    )
    alone = not roles.get("admin") and actor.uid == os.geteuid()
    admin = alone or actor.uid == 0 or actor == ENGINE_ACTOR or "admin" in held
    return Person(actor, groups, held, admin)


def look_up(actor: Actor, roles: Mapping[str, tuple[str, ...]]) -> Person:
    """The person behind an actor, with their groups. Blocks while the system looks them up."""
    return person(actor, roles, unix_groups(actor.user))


def exists(assignee: str, roles: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether this machine knows the user, group or role that an assignee names. Blocks."""

    def known_user(name: str) -> bool:
        try:
            pwd.getpwnam(name)
        except KeyError:
            return False
        return True

    def known_group(name: str) -> bool:
        try:
            grp.getgrnam(name)
        except KeyError:
            return False
        return True

    if assignee.startswith(USER):
        return known_user(assignee[len(USER) :])
    if assignee.startswith(GROUP):
        return known_group(assignee[len(GROUP) :])
    if assignee.startswith(ROLE):
        return assignee[len(ROLE) :] in roles or known_group(assignee[len(ROLE) :])
    return known_user(assignee) or known_group(assignee)
