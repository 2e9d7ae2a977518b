"""The configuration as frozen values. See `victor_engine.config.load_config`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from victor_engine.api import DEFAULT_UNDO_SECONDS, ProblemInfo
from victor_engine.config.yaml_locations import Key, Source
from victor_engine.domain.retention import Retention

DEFAULT_WORKFLOWS = ("workflows/**/*.yaml", "*.yaml")
"""The patterns of workflow files in a workspace; `victor.yaml` itself never is one."""

COMMAND = "command"
"""The target of a notification rule that starts its command."""

BindingKind = Literal["command", "python", "http", "chat"]
ResultKind = Literal["", "json", "text", "lines"]
Redirects = Literal["fail", "follow", "accept"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpTarget:
    """An HTTP request. `body` is a template of JSON values; None sends the node's payload.

    `redirects` is the treatment of a status from 300 to 399: it fails the node, is followed, or is a result.
    """

    url: str
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    redirects: Redirects = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatTarget:
    """An OpenAI-compatible chat endpoint. Each request contains `options` (temperature, …).

    The key is read when it is needed, from the environment or a file, and is not stored here. Costs are per
    million tokens, and are used only to show the cost of an attempt. `allow_empty` accepts an empty answer.
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
    allow_empty: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """The command, function, request or model that does the work of a role, tool, handler or node.

    `place` is the place of the binding in its file. `env` may contain `$secret.name`. With `state`, the work gets
    the whole state of the run. `timeout` is in seconds, and so is `grace`, the time between SIGTERM and SIGKILL.
    `parameters` is the JSON Schema of the arguments with which a model may call the tool; empty if it is not given.
    `result` is the form of the output (empty: guessed), `result_schema` its JSON Schema, and `encoding` that of text
    (empty: UTF-8). Without `inherit_env`, the work gets a short list of the variables of the engine besides `env`;
    None is the default, which is true until 0.6.0.
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
    inherit_env: bool | None = None
    cwd: Path = Path(".")
    timeout: float | None = None
    grace: float = 5.0
    state: bool = False
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    result: ResultKind = ""
    result_schema: Mapping[str, Any] | None = None
    encoding: str = ""

    @property
    def title(self) -> str:
        """The section and name, as messages name the binding."""
        return f"{self.section}.{self.name}".rstrip(".")

    @property
    def starts_process(self) -> bool:
        """Whether its work has an environment of its own."""
        return self.kind in ("command", "python")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleDefaults:
    """The defaults of schedules. Durations are in seconds."""

    timezone: str = "UTC"
    catchup: str = "none"
    catchup_window: float | None = None
    misfire_grace: float = 60.0
    overlap: str = "skip"
    max_active_runs: int = 1
    jitter: float = 0.0

    def as_block(self) -> dict[str, Any]:
        """Return the defaults by the keys of a `schedule:` block."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerConfig:
    """The settings of the engine. `drain_timeout` (seconds) is the time that active nodes get when a daemon stops.
    `heartbeat` is the file or URL that a daemon touches every `heartbeat_interval` seconds; empty for none.

    `log_format` is the format of the log of a daemon: text or json.
    `history_retention_days` is the last rule of retention: the age of ended runs that no other rule covers.
    """

    poll_interval: float = 60.0
    drain_timeout: float = 30.0
    heartbeat: str = ""
    heartbeat_interval: float = 60.0
    log_format: str = "text"
    max_concurrent_runs: int = 100
    history_retention_days: int = 90
    defaults: ScheduleDefaults = field(default_factory=ScheduleDefaults)


@dataclass(frozen=True, slots=True, kw_only=True)
class HitlConfig:
    """The settings of requests to people.

    With `strict_timeouts`, an approval that continues without an answer is an error. `unknown_assignees` (error or
    warn) is the severity of assignees that do not exist on this machine. `default_timeout` (seconds) is for requests
    whose author gave no limit. `allow_self_approval: false` turns four eyes on for all requests.
    """

    strict_timeouts: bool = False
    unknown_assignees: str = "error"
    default_timeout: float | None = None
    allow_self_approval: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleConfig:
    """The settings of consoles.

    `notify` is the notification in addition to badge and toast: auto (bell, and a desktop notification if the
    terminal is known to show one), osc9 or osc777 (desktop notifications by that sequence), bell, or none.
    `undo` is the undo window in seconds of approvals, choices and confirmations that are answered in a console,
    if their node sets none; 0 for no window. `claim_on_open` claims a request while its dialog is open.
    `theme` is the theme of users who have not chosen one; auto follows the terminal.
    """

    notify: str = "auto"
    undo: float = DEFAULT_UNDO_SECONDS
    claim_on_open: bool = False
    theme: str = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class PermissionsConfig:
    """The users (`alice`) and groups (`@ops`) that have each role on the engine.

    `ask` grants asking questions, and no more. Root and the user of the engine are always admin.
    """

    viewer: tuple[str, ...] = ()
    operator: tuple[str, ...] = ()
    approver: tuple[str, ...] = ()
    admin: tuple[str, ...] = ()
    ask: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketConfig:
    """The socket of the engine: its path, and the group that can connect. None means the default."""

    path: Path | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustConfig:
    """Whether changed content needs a new yes (`pinned`), or is trusted as it changes (`watch`).

    None is the default: `pinned` for a service, `watch` for an engine that its own user starts.
    """

    content: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsConfig:
    """The Prometheus metrics of a daemon: the address that serves them, and the file that holds them.

    `listen` is a loopback address with a port (`127.0.0.1:9464`), or `unix:` and an absolute path; empty for none.
    """

    listen: str = ""
    textfile: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiConfig:
    """The settings of `victor api`: its address, and the calls of one token in a second."""

    listen: str = "127.0.0.1:8470"
    rate: int = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class TracingConfig:
    """The traces of a daemon: the URL of an OTLP endpoint (HTTP), and a file of JSON Lines. Empty for none."""

    endpoint: str = ""
    file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeConfig:
    """The settings of `victor-tui serve`: its address, and whether requests can be answered in a browser."""

    listen: str = "127.0.0.1:8471"
    may_answer: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyRule:
    """One rule for notifications: the occasions, the workflows and assignees, the recipients and the texts.

    `urls` are Apprise URLs, or `$secret.name`. `workflows` are patterns (`etl-*`), `assignees` are names as in a
    workflow; empty means all. `title` and `body` may contain `{field}` (`config.notify.FIELDS`); if they are empty,
    the engine writes the text. `place` is the place of the rule in its file. `command` is a command that gets the
    messages, besides `urls`.
    """

    name: str
    on: tuple[str, ...]
    urls: tuple[str, ...]
    workflows: tuple[str, ...] = ()
    assignees: tuple[str, ...] = ()
    title: str = ""
    body: str = ""
    place: str = ""
    command: Binding | None = None

    @property
    def targets(self) -> tuple[str, ...]:
        """Return where messages are sent: the URLs, and `COMMAND` for the command."""
        return (*self.urls, COMMAND) if self.command is not None else self.urls


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretSource:
    """The source of a secret: an environment variable, a file, or a systemd credential."""

    env: str | None = None
    file: Path | None = None
    credential: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarSource:
    """An exclusion calendar as it is declared: a path or a mapping, with its place."""

    value: Any
    source: Source
    key_path: Key


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The effective settings of one workspace.

    `roles` maps roles that workflows name as `@role` to Unix users (`name`) and groups (`@name`). `permissions` has
    the roles on the engine; with None only root and the user of the engine use it. `proxies` are the users whose
    servers may act on behalf of tokens.
    With `watch` "apply", a running engine deploys changed files by itself.
    `warnings` lists settings without effect; a security setting in the wrong layer is an error there. `functions` maps
    a name in expressions to `package.module:function`. `files` are the configuration files that were read, highest
    precedence first, `digest` is that of the text of `victor.yaml`, and `settings` has its settings as text
    (`config.settings`). `origins` has the place of each top-level
    setting that is not a default.
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
    permissions: PermissionsConfig | None = None
    socket: SocketConfig = field(default_factory=SocketConfig)
    trust: TrustConfig = field(default_factory=TrustConfig)
    watch: str = ""
    proxies: tuple[str, ...] = ()
    metrics: MetricsConfig = field(default_factory=MetricsConfig)
    api: ApiConfig = field(default_factory=ApiConfig)
    tracing: TracingConfig = field(default_factory=TracingConfig)
    serve: ServeConfig = field(default_factory=ServeConfig)
    hitl: HitlConfig = field(default_factory=HitlConfig)
    notify: tuple[NotifyRule, ...] = ()
    retention: Retention = field(default_factory=Retention)
    console: ConsoleConfig = field(default_factory=ConsoleConfig)
    secrets: Mapping[str, SecretSource] = field(default_factory=dict)
    calendars: Mapping[str, CalendarSource] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    digest: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[ProblemInfo, ...] = ()

    def workflow_files(self) -> list[Path]:
        """Return the workflow files of the workspace in a stable order, without hidden directories."""
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
        """Return all bindings, in the order in which they are searched, and the commands of notification rules."""
        tables = (self.nodes, self.handlers, self.tools, self.agents)
        found = [binding for table in tables for binding in table.values()]
        if self.default_agent is not None:
            found.append(self.default_agent)
        found += [rule.command for rule in self.notify if rule.command is not None]
        return tuple(found)
