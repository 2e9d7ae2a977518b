"""The structs of the engine itself, its events, and trust."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from victor_engine.api.common import Actor
from victor_engine.api.deployments import FilesInfo
from victor_engine.api.roles import Role
from victor_engine.api.schedules import PauseInfo
from victor_engine.api.versions import ProblemInfo

EngineMode = Literal["embedded", "daemon", "readonly"]


class CallerInfo(Struct, frozen=True, omit_defaults=True):
    """The calling user, as the kernel reports it, with all roles that this user has on the engine."""

    user: str
    uid: int
    roles: tuple[Role, ...] = ()


class StorageInfo(Struct, frozen=True, omit_defaults=True):
    """A storage outage: its start, its reason, and the number of changes that wait in memory."""

    since: datetime
    message: str
    waiting: int = 0


class ClockAhead(Struct, frozen=True, omit_defaults=True):
    """A time in which the clock of the engine was ahead, in instants of the corrected clock."""

    since: datetime  # at the earliest
    until: datetime  # at the latest
    furthest: datetime  # the latest instant that the clock showed, or that was decided
    reopened: int = 0  # the fires that became open again
    last_event: int = 0  # the number of the last event before the correction


class EngineInfo(Struct, frozen=True, omit_defaults=True):
    """The state of an engine with its current numbers of schedules, runs and requests."""

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
    untrusted: str = ""  # why the workspace is not trusted
    problems: tuple[ProblemInfo, ...] = ()
    schedules: int = 0
    running: int = 0
    queued: int = 0
    waiting: int = 0
    open_requests: int = 0
    oldest_request: datetime | None = None  # when the oldest open request was opened
    failed_recently: int = 0  # runs that failed in the last 24 hours
    dead_letters: int = 0  # failed runs that need a decision
    next_fire: datetime | None = None
    next_fire_workflow: str | None = None
    next_fire_schedule: str | None = None  # its id
    last_event: int = 0
    draining: PauseInfo | None = None  # set while active runs continue and new runs do not start
    storage: StorageInfo | None = None  # set during a storage outage, in which runs do not continue
    recent_breaches: int = 0  # expectations not met in the last 24 hours
    socket: str = ""  # the path of the socket; empty without one
    permissions: dict[str, tuple[str, ...]] | None = None  # the users and groups of each role, if configured
    clock_ahead: ClockAhead | None = (
        None  # set for a day after the correction, and until `furthest` has passed
    )
    limited: bool = False  # the numbers and problems are left out: the caller does not have the role viewer
    engine_user: str = ""  # the user of the process of the engine; `user` is the user who asks
    inheriting: tuple[str, ...] = ()  # the bindings that rely on the default of `inherit_env`
    files: FilesInfo | None = None  # None if no engine compares them
    beside: int | None = None  # of a read-only port: process id of the running engine, 0 if it is unknown


class SecretInfo(Struct, frozen=True, omit_defaults=True):
    """A secret that the workspace declares or uses, without its value. `missing` says why it cannot be read."""

    name: str
    source: str
    missing: str = ""
    used_by: tuple[str, ...] = ()


class EventInfo(Struct, frozen=True, omit_defaults=True):
    """A stored fact. `engine.storage_lost` is not stored: subscribers get it with the last `seq`."""

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
    """A filter of events. All given conditions must hold."""

    kinds: tuple[str, ...] = ()  # exact, or a prefix that ends with a dot: `request.`
    run_id: str | None = None
    schedule_id: str | None = None
    request_id: str | None = None
    workflow: str | None = None
    node: str | None = None
    actor: str | None = None  # a user, or `engine`
    text: str | None = None
    after: datetime | None = None
    before: datetime | None = None
    before_seq: int | None = None  # for pages: only events with a smaller `seq`
    activity: bool = False  # only acts of people and outcomes, without the kinds of `events.DETAILS`
    limit: int = 200


class FileChange(Struct, frozen=True):
    """A file of the content that is new, changed or gone since the last yes."""

    path: str
    how: str


class TrustInfo(Struct, frozen=True, omit_defaults=True):
    """The content of a workspace that a trusted engine executes, and its `changes` since the last yes.

    `content` is its digest. `mode` is `pinned` if changed content needs a new yes, and `watch` if content that only root
    and the user of the engine can write is trusted as it changes. `service` is whether the list of the administrator
    decides. Files in `held` are not trusted; `reason` says why. `by` and `at` are those of the last yes.
    """

    workspace: str
    trusted: bool
    commands: tuple[str, ...]
    functions: tuple[str, ...]
    urls: tuple[str, ...]
    content: str = ""
    mode: str = ""
    service: bool = False
    reason: str = ""
    changes: tuple[FileChange, ...] = ()
    held: tuple[str, ...] = ()
    files: int = 0
    by: str = ""
    at: str = ""
    user: str = ""  # the user of the engine


class RetentionCount(Struct, frozen=True):
    """The ended runs of a workflow with a status that the rules of retention delete now."""

    workflow: str
    status: str
    runs: int


class RetentionInfo(Struct, frozen=True, omit_defaults=True):
    """The rules of retention, and the runs that they delete now.

    `digest` identifies the rules for their confirmation; `in_force` is whether they were confirmed. `kept` counts the
    runs that the rules name and that are kept, for example because they are listed dead letters.
    """

    rules: tuple[str, ...]
    digest: str
    in_force: bool = False
    confirmed_by: str = ""
    confirmed_at: datetime | None = None
    runs: tuple[RetentionCount, ...] = ()
    kept: int = 0
