"""The actor of the current call, as the kernel reports it, in a context variable.

The entry points (the socket server, the console, the command line) set `current_actor` around each call. The
implementation of an action reads it with `acting`.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from victor_engine.api import ENGINE_ACTOR, Actor

current_actor: ContextVar[Actor] = ContextVar("victor_actor", default=ENGINE_ACTOR)
"""The user on whose behalf the current call runs; by default the engine itself."""


PROC = Path("/proc")
"""The file system on which the kernel shows its processes."""

NO_LOGIN = 0xFFFFFFFF
"""The login uid of processes that no login started, such as services."""


def acting() -> Actor:
    """Return the actor of the current call."""
    return current_actor.get()


@contextmanager
def acting_as(actor: Actor) -> Iterator[None]:
    """Set `actor` as the actor of calls inside the block."""
    token = current_actor.set(actor)
    try:
        yield
    finally:
        current_actor.reset(token)


def user_name(uid: int) -> str:
    """Return the login name of a user id, or `uid 1234` if the system has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def login_of(pid: int, uid: int) -> str | None:
    """Return the user who logged in and started a process of the user `uid`; None if that is the same user.

    The kernel keeps the login user across `sudo` and `su`. It is None where the kernel does not record it.
    """
    try:
        login = int((PROC / str(pid) / "loginuid").read_text("ascii"))
    except (OSError, ValueError):
        return None
    return None if login in (uid, NO_LOGIN) else user_name(login)


def terminal() -> str | None:
    """Return the terminal of this process, such as `pts/3`, or None without one."""
    for fd in (0, 2, 1):
        try:
            return os.ttyname(fd).removeprefix("/dev/")
        except OSError:
            continue
    return None


def remote_address(environ: Mapping[str, str] | None = None) -> str | None:
    """Return the client address of the SSH session, or None outside a session."""
    words = (os.environ if environ is None else environ).get("SSH_CONNECTION", "").split()
    return words[0] if words else None


CLAIMED = "claimed:"
"""Prefix of values of an actor that the engine has not verified."""
_CLAIM_LENGTH = 80


def claim(text: str | None) -> str | None:
    """Return a value that is not verified as an actor has it, or None without one."""
    if not text:
        return None
    return CLAIMED + "".join(c if c.isprintable() else "?" for c in text[:_CLAIM_LENGTH])


def local_actor(via: str, environ: Mapping[str, str] | None = None) -> Actor:
    """Return the user of this process as an actor. `via` is console, cli or api.

    The address is from the environment, so it is marked as a claim.
    """
    uid = os.getuid()
    return Actor(
        user=user_name(uid),
        uid=uid,
        via=via,
        tty=terminal(),
        remote=claim(remote_address(environ)),
        login=login_of(os.getpid(), uid),
    )
