"""The layers of the configuration: the first layer that has a setting wins.

The order is command line, `VICTOR_*`, `victor.yaml` of the workspace, `~/.victor/scheduler.yaml` (or the file
given with `--config`), `/etc/victor/scheduler.yaml`, defaults. A setting is a single value. A binding, secret,
role or function is one setting as a whole, by its name. Security settings have layers of their own
(`config.security`).
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

from victor_engine.api import MOST_UNDO_SECONDS, ProblemInfo
from victor_engine.config.binding_reader import (
    is_function_reference,
    read_binding,
    resolve_path,
    without_effect,
)
from victor_engine.config.model import (
    DEFAULT_WORKFLOWS,
    Binding,
    CalendarSource,
    Config,
    ConsoleConfig,
    HitlConfig,
    SchedulerConfig,
    SecretSource,
)
from victor_engine.config.notify import read_rules
from victor_engine.config.retention import read_retention
from victor_engine.config.scheduler_section import (
    DEFAULTS_KEYS,
    SCHEDULER_KEYS,
    read_scheduler,
)
from victor_engine.config.security import SYSTEM_FILE, TrustedLayers, self_approval
from victor_engine.config.setting_readers import LayeredReader, Reader, kind_of
from victor_engine.config.settings import settings_of
from victor_engine.config.yaml_locations import Key, Source, did_you_mean, read_yaml
from victor_engine.domain.retention import Retention, RetentionRule
from victor_engine.errors import ConfigError

SECTIONS = tuple(
    each.name
    for each in fields(Config)
    if each.name not in ("workspace", "files", "digest", "settings", "origins", "warnings")
)
ROLES = ("viewer", "operator", "approver", "admin")
"""The names of the roles on the engine, which `permissions` grants. `roles` only names people who are asked."""
MISTYPED = 0.85
"""The similarity (0 to 1) from which a custom role is reported as a misspelling of one of these."""
CONSOLE_NOTIFY = ("auto", "osc9", "osc777", "bell", "none")
CONSOLE_THEMES = ("auto", "dark", "light", "high-contrast", "colour-blind", "ansi", "own")

_HITL = tuple(field.name for field in fields(HitlConfig))
_CONSOLE = tuple(field.name for field in fields(ConsoleConfig))
_ENV = {
    **{f"VICTOR_SCHEDULER_{name.upper()}": ("scheduler", name) for name in SCHEDULER_KEYS},
    **{
        f"VICTOR_SCHEDULER_DEFAULTS_{name.upper()}": ("scheduler", "defaults", name) for name in DEFAULTS_KEYS
    },
    **{f"VICTOR_HITL_{name.upper()}": ("hitl", name) for name in _HITL},
    **{f"VICTOR_CONSOLE_{name.upper()}": ("console", name) for name in _CONSOLE},
}

ENVIRONMENT = ("VICTOR_SCHEDULER_", "VICTOR_HITL_", "VICTOR_CONSOLE_")
"""The prefixes of environment variables with settings."""

ENGINE_ENVIRONMENT = ("VICTOR_SCHEDULER_", "VICTOR_HITL_")
"""The prefixes of environment variables with settings of an engine."""

T = TypeVar("T")


def load_config(
    workspace: Path,
    *,
    cli: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    config_file: Path | None = None,
    system_file: Path = SYSTEM_FILE,
    skip_unreadable: bool = False,
) -> Config:
    """Return the settings of `workspace`.

    With `skip_unreadable`, a file that this user has no permission to read has no settings: the console of another
    user than that of the engine need not read the workspace.

    `cli` maps dotted names to values (`{"scheduler.poll_interval": 5}`). `environ` is `os.environ` by default.
    Raises ConfigError, with file:line:column and the remedy, for a file that cannot be read, an unknown key or
    an invalid value. A missing file has no settings, but a missing `config_file` is an error.
    """
    env = os.environ if environ is None else environ
    root = Path(os.path.abspath(Path(workspace).expanduser()))
    home = Path(env["HOME"]) if env.get("HOME") else Path.home()
    user_file = Path(config_file).expanduser() if config_file else home / ".victor" / "scheduler.yaml"
    paths = [root / "victor.yaml", user_file, system_file]
    read = [(path, _read(path, skip_unreadable)) for path in dict.fromkeys(paths)]
    if config_file and not any(path == user_file and source for path, source in read):
        raise ConfigError(f"{user_file}: the configuration file does not exist", path=str(user_file))
    sources = [_from_cli(cli or {}), _from_environ(env), *(source for _, source in read if source)]
    trusted = {
        str(path) for path in paths[1:] if os.path.realpath(path) != os.path.realpath(root / "victor.yaml")
    }
    layers = TrustedLayers(sources, trusted, str(system_file), user_file)
    own = next((source for path, source in read if source and path == paths[0]), None)
    return _Builder(root, layers).build(tuple(path for path, source in read if source), own)


def _read(path: Path, skip_unreadable: bool) -> Source | None:
    try:
        return read_yaml(path)
    except ConfigError as error:
        if skip_unreadable and isinstance(error.__cause__, PermissionError):
            return None
        raise


class _Builder:
    """The builder of a configuration from its layers, highest precedence first."""

    def __init__(self, workspace: Path, layers: TrustedLayers) -> None:
        self.workspace = workspace
        self.layers = layers
        self.sources = layers.others
        self.origins: dict[str, str] = {}
        self.warnings: list[ProblemInfo] = layers.problems
        for source in self.sources:
            Reader(source, (), source.data, "the configuration").only(SECTIONS)

    def build(self, files: tuple[Path, ...], own: Source | None) -> Config:
        """Return the configuration. `own` is the layer of `victor.yaml`."""
        default = self._first("default_agent", self._default_agent)
        scheduler = self._scheduler()
        return Config(
            workspace=self.workspace,
            workflows=self._first("workflows", self._workflows) or DEFAULT_WORKFLOWS,
            scheduler=scheduler,
            nodes=self._bindings("nodes"),
            handlers=self._bindings("handlers"),
            tools=self._bindings("tools"),
            agents=self._bindings("agents"),
            default_agent=default,
            functions=self._named("functions", self._function),
            roles=self._named("roles", self._role),
            permissions=self.layers.permissions(),
            socket=self.layers.socket(),
            trust=self.layers.trust(),
            watch=self.layers.watch(),
            proxies=self.layers.proxies(),
            metrics=self.layers.metrics(),
            api=self.layers.api(),
            tracing=self.layers.tracing(),
            serve=self.layers.serve(),
            hitl=self._hitl(),
            notify=self._first("notify", lambda s, value: read_rules(s, value, self.workspace)) or (),
            retention=self._retention(scheduler.history_retention_days),
            console=self._console(),
            secrets=self._named("secrets", self._secret),
            calendars=self._named("calendars", _calendar),
            files=files,
            digest=own.digest if own is not None else "",
            settings=settings_of(own.data) if own is not None else {},
            origins={**self.origins, **self.layers.origins},
            warnings=tuple(self.warnings),
        )

    def _first(self, key: str, read: Callable[[Source, Any], T]) -> T | None:
        """Return the setting of the first layer that has it. The layers below are checked as well."""
        found: list[T] = []
        for source in self.sources:
            if source.data.get(key) is not None:
                found.append(read(source, source.data[key]))
                self.origins.setdefault(key, source.place((key,)))
        return found[0] if found else None

    def _named(self, section: str, read: Callable[[Source, Key, str, Any], T]) -> dict[str, T]:
        """Return a section of named settings. For each name, the first layer that has it wins."""
        result: dict[str, T] = {}
        for source in self.sources:
            data = source.data.get(section)
            if data is None:
                continue
            for name, value in Reader(source, (section,), data, section).data.items():
                setting = read(source, (section, name), name, value)
                key = f"{section}.{name}"
                if name not in result:
                    result[name] = setting
                    self.origins[key] = source.place((section, name))
                elif section == "calendars":
                    # Other settings are checked here. The content of a calendar is read when it is used.
                    message = f"{key} is not read, because {self.origins[key]} overrides it"
                    self.warnings.append(source.warning((section, name), message, "Remove one of them"))
        return result

    def _bindings(self, section: str) -> dict[str, Binding]:
        def read(source: Source, key_path: Key, name: str, value: Any) -> Binding:
            if section == "nodes" and "." not in name:
                raise source.fail(
                    key_path,
                    f"nodes.{name}: the key must have the form workflow.node",
                    "Write a key such as deploy.build",
                )
            return self._binding(source, key_path, value, section, name)

        return self._named(section, read)

    def _default_agent(self, source: Source, value: Any) -> Binding:
        return self._binding(source, ("default_agent",), value, "default_agent", "")

    def _binding(self, source: Source, key_path: Key, value: Any, section: str, name: str) -> Binding:
        binding = read_binding(source, key_path, value, section, name, self.workspace)
        self.warnings += without_effect(source, key_path, value, binding)
        return binding

    def _workflows(self, source: Source, value: Any) -> tuple[str, ...]:
        patterns = Reader(source, (), {"workflows": value}, "the configuration").texts("workflows")
        for pattern in patterns:
            if not pattern or pattern.startswith(("/", "~")) or ".." in Path(pattern).parts:
                raise source.fail(
                    ("workflows",),
                    f"the pattern {pattern!r} matches files outside the workspace",
                    "Write a pattern such as workflows/**/*.yaml",
                )
        return patterns

    def _checked(self, read: Callable[[Sequence[Source]], T]) -> T:
        """Return what is read from all layers. Each layer is also read alone, with values that another one overrides."""
        for source in self.sources:
            read([source])
        return read(self.sources)

    def _layered(
        self, sources: Sequence[Source], key_path: tuple[str, ...], known: Iterable[str], what: str
    ) -> LayeredReader:
        """Return one reader of the effective settings of layers, highest precedence first."""
        data: dict[str, Any] = {}
        labels: dict[str, Source] = {}
        for source in sources:
            section: Any = source.data
            for i, step in enumerate(key_path):
                section = Reader(source, key_path[:i], section, what).data.get(step)
                if section is None:
                    break
            if section is None:
                continue
            reader = Reader(source, key_path, section, what)
            reader.only(tuple(known))
            for key, value in reader.data.items():
                if value is not None and key not in data:
                    data[key] = value
                    labels[key] = source
                    self.origins.setdefault(".".join((*key_path, key)), source.place((*key_path, key)))
        return LayeredReader(data, labels, key_path, what)

    def _scheduler(self) -> SchedulerConfig:
        return self._checked(self._scheduler_of)

    def _retention(self, days: int) -> Retention:
        """Return the rules of `retention`, and after them the one of `scheduler.history_retention_days`; 0 is none."""
        given = self._first("retention", lambda s, value: read_retention(s, value, days)) or Retention()
        explicit = given.explicit or "scheduler.history_retention_days" in self.origins
        last = (RetentionRule(days=days),) if days else ()
        return Retention((*given.rules, *last), given.audit_days, explicit)

    def _scheduler_of(self, sources: Sequence[Source]) -> SchedulerConfig:
        top = self._layered(sources, ("scheduler",), (*SCHEDULER_KEYS, "defaults"), "scheduler")
        low = self._layered(sources, ("scheduler", "defaults"), DEFAULTS_KEYS, "scheduler.defaults")
        return read_scheduler(top, low)

    def _hitl(self) -> HitlConfig:
        found = self._checked(self._hitl_of)
        return replace(found, allow_self_approval=self_approval(self.sources, self.warnings))

    def _hitl_of(self, sources: Sequence[Source]) -> HitlConfig:
        reader = self._layered(sources, ("hitl",), _HITL, "hitl")
        base = HitlConfig()
        return HitlConfig(
            strict_timeouts=reader.flag("strict_timeouts", base.strict_timeouts),
            unknown_assignees=reader.one_of("unknown_assignees", ("error", "warn"), base.unknown_assignees),
            default_timeout=reader.seconds("default_timeout", None),
        )

    def _console(self) -> ConsoleConfig:
        return self._checked(self._console_of)

    def _console_of(self, sources: Sequence[Source]) -> ConsoleConfig:
        reader = self._layered(sources, ("console",), _CONSOLE, "console")
        base = ConsoleConfig()
        undo = reader.seconds("undo", base.undo, zero=True) or 0.0
        if undo > MOST_UNDO_SECONDS:
            raise reader.fail("undo", "undo in console must be at most 1h", "Write a duration such as 5s")
        return ConsoleConfig(
            notify=reader.one_of("notify", CONSOLE_NOTIFY, base.notify),
            undo=undo,
            claim_on_open=reader.flag("claim_on_open", base.claim_on_open),
            theme=reader.one_of("theme", CONSOLE_THEMES, base.theme),
        )

    def _function(self, source: Source, key_path: Key, name: str, value: Any) -> str:
        if not name.isidentifier():
            raise source.fail(
                key_path,
                f"functions.{name}: {name!r} cannot be called in an expression",
                "Use letters, digits and _, and do not begin with a digit",
            )
        if not isinstance(value, str) or not is_function_reference(value):
            raise source.fail(
                key_path,
                f"functions.{name}: {kind_of(value)} is not a function reference",
                "Write package.module:function",
            )
        return value

    def _role(self, source: Source, key_path: Key, name: str, value: Any) -> tuple[str, ...]:
        similar = difflib.get_close_matches(name, ROLES, n=1, cutoff=MISTYPED)
        if name not in ROLES and similar:
            raise source.fail(key_path, f"unknown role {name!r}", f"Did you mean {similar[0]!r}?")
        people = Reader(source, ("roles",), {name: value}, "roles").texts(name)
        if name in ROLES:
            self.warnings.append(
                source.warning(
                    key_path,
                    f"the role {name!r} gives no rights: it only names the people who are asked as @{name}",
                    f"Grant rights with permissions.{name} in {SYSTEM_FILE}",
                )
            )
        return people

    def _secret(self, source: Source, key_path: Key, name: str, value: Any) -> SecretSource:
        reader = Reader(source, key_path, value, f"secrets.{name}")
        reader.only(("env", "file", "credential"))
        if len(reader.data) != 1:
            raise source.fail(
                key_path, f"secrets.{name} needs exactly one source", "Write one of env, file, credential"
            )
        file = reader.text("file")
        return SecretSource(
            env=reader.text("env") or None,
            file=resolve_path(file, self.workspace) if file else None,
            credential=reader.text("credential") or None,
        )


def _calendar(source: Source, key_path: Key, name: str, value: Any) -> CalendarSource:
    return CalendarSource(value=value, source=source, key_path=key_path)


def _from_cli(given: Mapping[str, Any]) -> Source:
    data: dict[str, Any] = {}
    for name, value in given.items():
        if value is not None:
            _put(data, tuple(name.split(".")), value)
    return Source("command line", data)


def _from_environ(environ: Mapping[str, str]) -> Source:
    """Return the settings in `VICTOR_SCHEDULER_*` (and `…_DEFAULTS_*`), `VICTOR_HITL_*` and `VICTOR_CONSOLE_*`."""
    data: dict[str, Any] = {}
    for name, value in environ.items():
        if not name.startswith(ENVIRONMENT):
            continue
        if name not in _ENV:
            raise ConfigError(f"environment: unknown setting {name}. {did_you_mean(name, _ENV)}")
        if value:
            _put(data, _ENV[name], value)
    return Source("environment", data)


def _put(data: dict[str, Any], key_path: tuple[str, ...], value: Any) -> None:
    for step in key_path[:-1]:
        data = data.setdefault(step, {})
    data[key_path[-1]] = value
