"""The structs that several parts of the port use: actors and errors."""

from __future__ import annotations

from msgspec import Struct


class Actor(Struct, frozen=True, omit_defaults=True):
    """The user who caused a change, as the kernel reports it.

    `via` is the program: console, web (a console in a browser), cli or api, or engine for changes that the engine makes
    by itself. `login` is the user who logged in, if this is another one than `user`, as under `sudo`. It gives no rights.

    `proxy` and `proxy_uid` are the user who runs the server through which a token (`token:ci`) acts.
    """

    user: str
    uid: int = -1
    via: str = "engine"
    tty: str | None = None
    remote: str | None = None
    login: str | None = None
    proxy: str | None = None
    proxy_uid: int = -1

    @property
    def shown(self) -> str:
        """Return the user, with the user who logged in or runs the server: `root (login ana)`, `token:ci (of web)`."""
        if self.proxy:
            return f"{self.user} (of {self.proxy})"
        return f"{self.user} (login {self.login})" if self.login else self.user

    @property
    def person(self) -> int | str:
        """The identity for votes and four eyes: the uid, or the name without one.

        All tokens of one server are one person: the user who runs it.
        """
        uid = self.uid if self.proxy is None else self.proxy_uid
        return uid if uid >= 0 else self.user


ENGINE_ACTOR = Actor(user="engine")


class ErrorInfo(Struct, frozen=True, omit_defaults=True):
    """The error of a failed node or run. `type` is the class of an exception, or a type that a command reports."""

    type: str
    message: str
    node_id: str | None = None
    exit_code: int | None = None
    http_status: int | None = None
