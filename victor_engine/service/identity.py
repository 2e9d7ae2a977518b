"""The identity of a client: SO_PEERCRED gives the user; the rest is a claim of the client."""

from __future__ import annotations

import grp
import hashlib
import re
import socket
import struct
from collections.abc import Callable

import msgspec
from msgspec import Struct

from victor_engine.api import Actor
from victor_engine.errors import UsageError
from victor_engine.identity import acting, acting_as, claim, current_actor, local_actor, login_of, user_name

_UCRED = struct.Struct("3i")

WAYS = frozenset({"console", "cli", "api", "web"})


class Peer(Struct, frozen=True):
    """The process of a client, as the kernel reports it."""

    pid: int
    uid: int
    gid: int


class Claims(Struct, frozen=True, omit_defaults=True):
    """Unverified statements of a client about itself. They are shown as claims and never decide permissions."""

    via: str = "api"
    tty: str | None = None
    remote: str | None = None


ActorFactory = Callable[[Peer, Claims], Actor]


def peer_of(connection: socket.socket) -> Peer:
    """Return the process at the other end of a connection."""
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    return Peer(*_UCRED.unpack(data))


def group_name(gid: int) -> str:
    """Return the name of a group id, or `gid 1234` if the system has none."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return f"gid {gid}"


def peer_actor(peer: Peer, claims: Claims) -> Actor:
    """Return the actor of a connection: the user from the kernel, terminal and address as claims."""
    return Actor(
        user=user_name(peer.uid),
        uid=peer.uid,
        via=claims.via if claims.via in WAYS else "api",
        tty=claim(claims.tty),
        remote=claim(claims.remote),
        login=login_of(peer.pid, peer.uid),
    )


TOKEN_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
_TOKEN_UIDS = 2**32
"""The first number after the user ids of the kernel. Tokens have larger ones."""


def check_token_name(name: str) -> None:
    """Raise UsageError for an invalid name of a token."""
    if not TOKEN_NAME.fullmatch(name):
        raise UsageError(
            f"{name[:60]!r} is not a name of a token: use up to 40 of a-z, 0-9, '.', '_' and '-', and begin with a "
            "letter or digit"
        )


def token_actor(server: Actor, name: str) -> Actor:
    """Return the actor of a token, and the user of its server. Raise UsageError for an invalid name.

    The token has a number of its own in place of a user id, so that it never is the user of the server.
    """
    check_token_name(name)
    digest = hashlib.sha256(f"{server.uid}:{name}".encode()).digest()
    return msgspec.structs.replace(
        server,
        user=f"token:{name}",
        uid=_TOKEN_UIDS + int.from_bytes(digest[:5], "big"),
        tty=None,
        login=None,
        proxy=server.user,
        proxy_uid=server.uid,
    )


__all__ = [
    "TOKEN_NAME",
    "ActorFactory",
    "Claims",
    "Peer",
    "acting",
    "acting_as",
    "check_token_name",
    "current_actor",
    "group_name",
    "local_actor",
    "peer_actor",
    "peer_of",
    "token_actor",
    "user_name",
]
