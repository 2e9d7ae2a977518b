"""The lines about the access to an engine: its socket, and the users and groups of each role."""

from __future__ import annotations

import grp
from collections.abc import Iterator, Mapping


def access_lines(socket: str, permissions: Mapping[str, tuple[str, ...]] | None) -> Iterator[str]:
    """Yield the socket, and each role with its users and groups; nothing without permissions."""
    if permissions is None:
        return
    if socket:
        yield f"socket {socket}"
    for role, names in permissions.items():
        yield f"role {role}: {', '.join(_with_members(name) for name in names)}"
    yield "root and the user of the engine are always admin"


def _with_members(name: str) -> str:
    """Return a user, or a group with its members, as text."""
    if not name.startswith("@"):
        return name
    try:
        members = grp.getgrnam(name[1:]).gr_mem
    except (KeyError, ValueError):  # ValueError: the name contains a null character
        return f"{name} (does not exist)"
    return f"{name} ({', '.join(members)})" if members else name
