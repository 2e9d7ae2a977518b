"""The structs that several parts of the port use: actors and errors."""

from __future__ import annotations

from msgspec import Struct


class Actor(Struct, frozen=True, omit_defaults=True):
    """The user who caused a change, as the kernel reports it.

    `via` is the program: console, cli or api, or engine for changes that the engine makes by itself.
    """

    user: str
    uid: int = -1
    via: str = "engine"
    tty: str | None = None
    remote: str | None = None


ENGINE_ACTOR = Actor(user="engine")


class ErrorInfo(Struct, frozen=True, omit_defaults=True):
    """The error of a failed node or run. `type` is the class of an exception, or a type that a command reports."""

    type: str
    message: str
    node_id: str | None = None
    exit_code: int | None = None
    http_status: int | None = None
