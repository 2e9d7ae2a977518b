"""The structs that several parts of the port use: actors and errors."""

from __future__ import annotations

from msgspec import Struct


class Actor(Struct, frozen=True, omit_defaults=True):
    """The user who caused a change, as the kernel reports it.

    `via` is the program: console, cli or api, or engine for changes that the engine makes by itself. `login` is the
    user who logged in, if this is another one than `user`, as under `sudo`. It gives no rights.
    """

    user: str
    uid: int = -1
    via: str = "engine"
    tty: str | None = None
    remote: str | None = None
    login: str | None = None

    @property
    def shown(self) -> str:
        """Return the user, with the user who logged in: `root (login ana)`."""
        return f"{self.user} (login {self.login})" if self.login else self.user


ENGINE_ACTOR = Actor(user="engine")


class ErrorInfo(Struct, frozen=True, omit_defaults=True):
    """The error of a failed node or run. `type` is the class of an exception, or a type that a command reports."""

    type: str
    message: str
    node_id: str | None = None
    exit_code: int | None = None
    http_status: int | None = None
