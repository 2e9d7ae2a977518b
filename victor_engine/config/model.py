"""What the configuration says, as frozen values. See `victor_engine.config.load_config`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from victor_engine.api import ProblemInfo
from victor_engine.config.yaml_locations import Key, Source

DEFAULT_WORKFLOWS = ("workflows/**/*.yaml", "*.yaml")
"""Where workflow files are looked for in a workspace; `victor.yaml` itself is never one."""

BindingKind = Literal["command", "python", "http", "chat"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpTarget:
    """An HTTP request. `body` is a template of JSON values; None sends the node's payload."""

    url: str
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatTarget:
    """An OpenAI-compatible chat endpoint; `options` (temperature, …) go into each request.

    The key is read when it is needed, from the environment or a file; it is never kept here.
    Costs are per million tokens and only used to state what an attempt cost.
    """

    base_url: str
    model: str
    api_key_env: str | None = None
    api_key_file: Path | None = None
    stream: bool = True
    headers: Mapping[str, str] = field(default_factory=dict)
    system: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    input_cost: float = 0.0
    output_cost: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """Who does the work of a role, tool, handler or node.

    `place` is where it was said. `env` may hold `$secret.name`. `state` hands the whole state of
    the run on. `grace` is the time in seconds between SIGTERM and SIGKILL. `parameters` is a JSON
    Schema of the arguments with which a model may call the tool; empty where nothing is said of them.
    """

    section: str
    name: str
    kind: BindingKind
    place: str
    command: tuple[str, ...] = ()
    function: str = ""
    http: HttpTarget | None = None
    chat: ChatTarget | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path = Path(".")
    timeout: float | None = None
    grace: float = 5.0
    state: bool = False
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleDefaults:
    """What a schedule gets where its own block says nothing. Durations in seconds."""

    timezone: str = "UTC"
    catchup: str = "none"
    catchup_window: float | None = None
    misfire_grace: float = 60.0
    overlap: str = "skip"
    max_active_runs: int = 1
    jitter: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerConfig:
    """`history_retention_days` of 0 keeps everything, and so does any other number: nothing acts on it yet."""

    poll_interval: float = 60.0
    max_concurrent_runs: int = 100
    history_retention_days: int = 90
    defaults: ScheduleDefaults = field(default_factory=ScheduleDefaults)


@dataclass(frozen=True, slots=True, kw_only=True)
class HitlConfig:
    """`strict_timeouts` makes an approval that goes on without an answer an error.

    `unknown_assignees` (error or warn) is what validation makes of people whom this machine does not
    know. `default_timeout` (seconds) is for questions whose author gave no limit; `allow_self_approval: false`
    turns four eyes on for all of them.
    """

    strict_timeouts: bool = False
    unknown_assignees: str = "error"
    default_timeout: float | None = None
    allow_self_approval: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleConfig:
    """How a console announces what happens, beside badge and toast.

    `notify` is auto (bell, and a notification of the desktop where the terminal is known to show one),
    osc9 or osc777 (the terminal shows them by that sequence), bell, or none.
    """

    notify: str = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyRule:
    """What is announced outward: on which occasions, about which workflows and people, to which addresses.

    `urls` are Apprise addresses, or `$secret.name`. `workflows` are patterns (`etl-*`), `assignees` are
    names as in a workflow; none of them means all. `title` and `body` may hold `{field}`s
    (`config.notify.FIELDS`); empty ones are the engine's. `place` is where the rule stands.
    """

    name: str
    on: tuple[str, ...]
    urls: tuple[str, ...]
    workflows: tuple[str, ...] = ()
    assignees: tuple[str, ...] = ()
    title: str = ""
    body: str = ""
    place: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretSource:
    """Where a secret is read: one of an environment variable, a file, or a systemd credential."""

    env: str | None = None
    file: Path | None = None
    credential: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarSource:
    """An exclusion calendar as it is declared: a path or a mapping, and where that stands."""

    value: Any
    source: Source
    way: Key


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The settings that hold in one workspace.

    `roles` maps viewer, operator, approver, admin and roles of one's own (whom a question asks as
    `@role`) to Unix users (`name`) and groups (`@name`).
    `permissions` maps a role to what it may do; nothing acts on them yet. `warnings` says which settings have
    no effect.
    `functions` maps a name in expressions to `package.module:function`. `files` are the
    configuration files that were read, the most binding first; `origins` says for each top-level
    setting that somebody gave where it came from.
    """

    workspace: Path
    workflows: tuple[str, ...] = DEFAULT_WORKFLOWS
    scheduler: SchedulerConfig = field(default_factory=SchedulerConfig)
    nodes: Mapping[str, Binding] = field(default_factory=dict)
    handlers: Mapping[str, Binding] = field(default_factory=dict)
    tools: Mapping[str, Binding] = field(default_factory=dict)
    agents: Mapping[str, Binding] = field(default_factory=dict)
    default_agent: Binding | None = None
    functions: Mapping[str, str] = field(default_factory=dict)
    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    permissions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    hitl: HitlConfig = field(default_factory=HitlConfig)
    notify: tuple[NotifyRule, ...] = ()
    console: ConsoleConfig = field(default_factory=ConsoleConfig)
    secrets: Mapping[str, SecretSource] = field(default_factory=dict)
    calendars: Mapping[str, CalendarSource] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    origins: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[ProblemInfo, ...] = ()

    def workflow_files(self) -> list[Path]:
        """The workspace's workflow files in a stable order; hidden directories are left out."""
        found: dict[Path, None] = {}
        for pattern in self.workflows:
            try:
                matches = sorted(self.workspace.glob(pattern))
            except (ValueError, NotImplementedError):  # an absolute or empty pattern
                continue
            for path in matches:
                parts = path.relative_to(self.workspace).parts
                if path.name == "victor.yaml" or any(part.startswith(".") for part in parts):
                    continue
                if path.is_file():
                    found[path] = None
        return list(found)

    def bindings(self) -> tuple[Binding, ...]:
        """Every binding there is, in the order in which they are looked for."""
        tables = (self.nodes, self.handlers, self.tools, self.agents)
        found = [binding for table in tables for binding in table.values()]
        if self.default_agent is not None:
            found.append(self.default_agent)
        return tuple(found)
