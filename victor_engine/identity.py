"""Who is acting: the kernel's word, carried through a call in a context variable.

Whoever lets a person in (the socket server, the console, the command line) sets `current_actor`
around each call; the implementation of an action reads it with `acting`.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from victor_engine.api import ENGINE_ACTOR, Actor

current_actor: ContextVar[Actor] = ContextVar("victor_actor", default=ENGINE_ACTOR)
"""The person on whose behalf the present call runs; the engine itself where nobody is."""


def acting() -> Actor:
    """Who is acting in the present call."""
    return current_actor.get()


@contextmanager
def acting_as(actor: Actor) -> Iterator[None]:
    """Let calls inside the block act as `actor`."""
    token = current_actor.set(actor)
    try:
        yield
    finally:
        current_actor.reset(token)


def user_name(uid: int) -> str:
    """The login name of a user id, or `uid 1234` where the system knows none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def terminal() -> str | None:
    """The terminal that this process is on, as `pts/3`; None without one."""
    for fd in (0, 2, 1):
        try:
            return os.ttyname(fd).removeprefix("/dev/")
        except OSError:
            continue
    return None


def remote_address(environ: Mapping[str, str] | None = None) -> str | None:
    """The address that an SSH session says it comes from; None without one."""
    words = (os.environ if environ is None else environ).get("SSH_CONNECTION", "").split()
    return words[0] if words else None


def local_actor(via: str, environ: Mapping[str, str] | None = None) -> Actor:
    """This process's own user; `via` is console, cli or api."""
    uid = os.getuid()
    return Actor(user=user_name(uid), uid=uid, via=via, tty=terminal(), remote=remote_address(environ))
