"""The effective settings of a configuration, one by one, with the place of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from msgspec import Struct

from victor_engine.config.model import Binding, CalendarSource, Config, SecretSource

DEFAULT = "default"


class Setting(Struct, frozen=True):
    """An effective setting. `origin` is its place, or `default`. Values that can contain secrets are described."""

    key: str
    value: Any
    origin: str


def effective(config: Config) -> Iterator[Setting]:
    """Yield each setting with its value and its place, by dotted names."""

    def setting(key: str, value: Any, *outer: str) -> Setting:
        origin = next((config.origins[name] for name in (key, *outer) if name in config.origins), DEFAULT)
        return Setting(key, plain(value), origin)

    yield setting("workflows", config.workflows)
    yield setting("watch", config.watch)
    yield setting("proxies", config.proxies)
    for section in ("scheduler", "hitl", "console"):
        block = getattr(config, section)
        for each in fields(block):
            if each.name != "defaults":
                yield setting(f"{section}.{each.name}", getattr(block, each.name))
    for each in fields(config.scheduler.defaults):
        yield setting(f"scheduler.defaults.{each.name}", getattr(config.scheduler.defaults, each.name))
    yield setting("retention", list(config.retention.texts), "scheduler.history_retention_days")
    yield setting("notify", [rule.name for rule in config.notify])
    for role in fields(config.permissions) if config.permissions is not None else ():
        yield setting(f"permissions.{role.name}", getattr(config.permissions, role.name))
    for section in ("socket", "trust", "metrics", "tracing", "api", "serve"):
        block = getattr(config, section)
        for each in fields(block):
            yield setting(f"{section}.{each.name}", getattr(block, each.name))
    if config.default_agent is not None:
        yield setting("default_agent", config.default_agent)
    for section in ("nodes", "handlers", "tools", "agents", "functions", "roles", "secrets", "calendars"):
        named: Mapping[str, Any] = getattr(config, section)
        for name in sorted(named):
            yield setting(f"{section}.{name}", named[name])


def plain(value: Any) -> Any:
    """Return a setting as JSON has it. Of bindings, secrets and calendars only the kind or the source is shown."""
    match value:
        case Binding():
            return value.kind
        case SecretSource():
            known = (("env", value.env), ("file", value.file), ("credential", value.credential))
            return next(f"{kind} {source}" for kind, source in known if source is not None)
        case CalendarSource():
            return value.value if isinstance(value.value, str) else "declared here"
        case Path():
            return str(value)
        case tuple() | list():
            return [plain(each) for each in value]
        case _:
            return value


__all__ = ["DEFAULT", "Setting", "effective"]
