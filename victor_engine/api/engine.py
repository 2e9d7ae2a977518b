"""The engine itself, its events, and trust."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from victor_engine.api.common import Actor
from victor_engine.api.schedules import PauseInfo
from victor_engine.api.versions import ProblemInfo

EngineMode = Literal["embedded", "daemon", "readonly"]


class StorageInfo(Struct, frozen=True, omit_defaults=True):
    """The store takes nothing: since when, why, and how many changes wait in memory to be recorded."""

    since: datetime
    message: str
    waiting: int = 0


class EngineInfo(Struct, frozen=True, omit_defaults=True):
    mode: EngineMode
    pid: int
    epoch: int
    user: str
    host: str
    state_dir: str
    workspace: str
    product_version: str
    started_at: datetime
    now: datetime
    trusted: bool = True
    problems: tuple[ProblemInfo, ...] = ()
    schedules: int = 0
    running: int = 0
    queued: int = 0
    waiting: int = 0
    open_requests: int = 0
    failed_recently: int = 0  # failed runs in the last 24 hours
    dead_letters: int = 0  # runs that failed for good and that nobody has dealt with yet
    next_fire: datetime | None = None
    next_fire_workflow: str | None = None
    last_event: int = 0
    draining: PauseInfo | None = None  # finishes what runs, starts nothing
    storage: StorageInfo | None = None  # the store cannot be written: nothing goes on until it can
    recent_breaches: int = 0  # in the last 24 hours
    beside: int | None = (
        None  # of a read-only view: process id of the engine that runs; 0 where it is not known
    )


class EventInfo(Struct, frozen=True, omit_defaults=True):
    """A stored fact. Only `engine.storage_lost` is none: it comes live, with the number of the last one."""

    seq: int
    at: datetime
    kind: str
    actor: Actor
    run_id: str | None = None
    schedule_id: str | None = None
    request_id: str | None = None
    workflow: str | None = None
    node_id: str | None = None
    data: dict[str, Any] = {}


class EventQuery(Struct, frozen=True, omit_defaults=True):
    kinds: tuple[str, ...] = ()  # exact, or a prefix that ends with a dot: `request.`
    run_id: str | None = None
    schedule_id: str | None = None
    request_id: str | None = None
    workflow: str | None = None
    node: str | None = None
    actor: str | None = None  # a user; `engine` is what the engine did by itself
    text: str | None = None
    after: datetime | None = None
    before: datetime | None = None
    before_seq: int | None = None  # paging: only older ones
    limit: int = 200


class TrustInfo(Struct, frozen=True):
    """What trusting a workspace would allow to be executed."""

    workspace: str
    trusted: bool
    commands: tuple[str, ...]
    functions: tuple[str, ...]
    urls: tuple[str, ...]
