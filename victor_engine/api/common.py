"""What more than one room of the port speaks of: who, and what went wrong."""

from __future__ import annotations

from msgspec import Struct


class Actor(Struct, frozen=True, omit_defaults=True):
    """Who did something, as the kernel knows them: never typed in.

    `via` is how they came: console, cli, api, or engine for what the engine does by itself.
    """

    user: str
    uid: int = -1
    via: str = "engine"
    tty: str | None = None
    remote: str | None = None


ENGINE_ACTOR = Actor(user="engine")


class ErrorInfo(Struct, frozen=True, omit_defaults=True):
    """Why a node or run failed. `type` is an exception's class name or the command's own word."""

    type: str
    message: str
    node_id: str | None = None
    exit_code: int | None = None
    http_status: int | None = None
