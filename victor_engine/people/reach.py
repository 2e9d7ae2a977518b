"""The users that an engine lets connect, compared with the people that its workflows and permissions name.

Without `permissions`, only root and the user of the engine connect. With `socket.group`, others need that group. These
functions read the users and groups of the system, so they block.
"""

from __future__ import annotations

import asyncio
import grp
import os
import pwd
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields

from victor_engine.api import ProblemInfo
from victor_engine.clock import Clock
from victor_engine.config import Config, PermissionsConfig
from victor_engine.config.yaml_locations import place_from_text
from victor_engine.identity import user_name
from victor_engine.people.groups import CACHE_SECONDS
from victor_engine.people.roles import GROUP, ROLE, USER, exists, unix_groups

LOOKUP_SECONDS = 1.0
"""Seconds that the system may take to look up the assignees of a request, before it is shown without this check."""


def unreachable(assignee: str, config: Config) -> str | None:
    """Return why none of the people that an assignee means can use the engine, or None.

    People that do not exist, and groups without known members, give None.
    """
    people = _people(assignee, config)
    if not people or any(_connects(name, config) for name in people):
        return None
    if config.permissions is None:
        return "without permissions, only root and the user of the engine can use it"
    return f"only members of the group {config.socket.group} (socket.group) can connect to it"


class Reach:
    """The assignees that cannot use the engine or do not exist, looked up in a thread, kept for `CACHE_SECONDS`."""

    def __init__(self, config: Callable[[], Config], clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._known: dict[str, tuple[float, Config | None, bool]] = {}

    async def none_of(self, assignees: Sequence[str]) -> tuple[str, ...]:
        """Return the assignees that cannot use the engine or do not exist; none if the system does not answer in time."""
        config, now = self._config(), self._clock.monotonic()

        def look_up(names: list[str]) -> None:
            for name in names:
                cannot = not exists(name, config.roles) or unreachable(name, config) is not None
                self._known[name] = (now + CACHE_SECONDS, config, cannot)

        old = [name for name in assignees if not self._holds(name, now, config)]
        if old:
            try:
                async with asyncio.timeout(LOOKUP_SECONDS):
                    await asyncio.to_thread(look_up, old)
            except TimeoutError:
                return ()
        return tuple(name for name in assignees if self._known[name][2])

    def _holds(self, name: str, now: float, config: Config) -> bool:
        until, known, _ = self._known.get(name, (now, None, False))
        return until > now and known is config


def permission_problems(config: Config) -> Iterator[ProblemInfo]:
    """Yield a warning for each name in `permissions` that does not exist, or that cannot connect."""
    for role in fields(PermissionsConfig):
        for name in getattr(config.permissions, role.name, ()):
            path, line, column = place_from_text(config.origins.get(f"permissions.{role.name}", ""))
            people = _members(name[1:]) if name.startswith("@") else ({name} if _exists(name) else None)
            if people is None:
                kind = "group" if name.startswith("@") else "user"
                yield ProblemInfo(
                    "warning",
                    f"permissions.{role.name}: the {kind} {name} does not exist on this machine",
                    path,
                    line,
                    column,
                    "Check the spelling, or remove the name",
                )
            elif people and not any(_connects(person, config) for person in people):
                yield ProblemInfo(
                    "warning",
                    f"permissions.{role.name}: {name} cannot connect: the group {config.socket.group} (socket.group) "
                    "has no such member",
                    path,
                    line,
                    column,
                    f"Add the users to the group {config.socket.group}, or remove socket.group",
                )


def _connects(name: str, config: Config) -> bool:
    """Return whether the socket accepts a user. Roles are not considered: assignees need none."""
    if name in ("root", user_name(os.geteuid())):
        return True
    if config.permissions is None:
        return False
    return config.socket.group is None or config.socket.group in unix_groups(name)


def _people(assignee: str, config: Config) -> set[str]:
    """Return the known users that an assignee means."""
    if assignee.startswith(USER):
        name = assignee[len(USER) :]
        return {name} if _exists(name) else set()
    if assignee.startswith(GROUP):
        return _members(assignee[len(GROUP) :]) or set()
    if assignee.startswith(ROLE):
        role = assignee[len(ROLE) :]
        if role not in config.roles:
            return _members(role) or set()
        return {
            person
            for name in config.roles[role]
            for person in ((_members(name[1:]) or set()) if name.startswith(ROLE) else {name} & _known(name))
        }
    return _known(assignee) | (_members(assignee) or set())


def _known(name: str) -> set[str]:
    return {name} if _exists(name) else set()


def _exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except (KeyError, ValueError):  # ValueError: the name contains a null character
        return False
    return True


def _members(group: str) -> set[str] | None:
    """Return the listed members of a group, with root and this user if they are in it; None if it does not exist."""
    try:
        listed = set(grp.getgrnam(group).gr_mem)
    except (KeyError, ValueError):  # ValueError: the name contains a null character
        return None
    own = {name for name in ("root", user_name(os.geteuid())) if group in unix_groups(name)}
    return listed | own
