"""The JSON Schema (2020-12) of `victor.yaml` and `scheduler.yaml`, for editors, from the tables of their reader."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from victor_engine.config import binding_reader, notify, retention
from victor_engine.config.layers import CONSOLE_NOTIFY, SECTIONS
from victor_engine.config.model import (
    ApiConfig,
    ConsoleConfig,
    HitlConfig,
    MetricsConfig,
    PermissionsConfig,
    ScheduleDefaults,
    SchedulerConfig,
    SecretSource,
    SocketConfig,
    TrustConfig,
)
from victor_engine.config.scheduler_section import CATCHUPS, LOG_FORMATS, OVERLAPS

Schema = dict[str, Any]

_TEXT: Schema = {"type": ["string", "number", "boolean"]}
_DURATION: Schema = {
    "type": ["number", "string"],
    "description": "Seconds, or a duration such as 30s, 10m, 1h30m",
}
_STRING: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "number"}
_FLAG: Schema = {"type": "boolean"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_TEXTS: Schema = {"type": ["string", "array"], "items": {"type": "string"}}
_PATTERNS: Schema = {"type": ["string", "array"], "items": {"type": "string"}}
_TEXT_MAP: Schema = {"type": "object", "additionalProperties": _TEXT}
_BY_ANNOTATION: dict[str, Schema] = {
    "bool": _FLAG,
    "int": _COUNT,
    "float": _DURATION,
    "str": {"type": "string"},
}
"""The schemas of the settings by the type of their field. Numbers with a fraction are durations."""


def _object(properties: Schema, **more: Any) -> Schema:
    return {"type": "object", "properties": properties, "additionalProperties": False, **more}


def _keys(known: Iterable[str], shapes: Schema | None = None) -> Schema:
    """Return the properties of a mapping with these keys. A key without a shape can have any value."""
    return {key: (shapes or {}).get(key, True) for key in known}


def _settings(cls: type[Any], **shapes: Any) -> Schema:
    """Return the schema of a section whose keys are the fields of a class."""
    found: Schema = {}
    for each in fields(cls):
        kind = str(each.type).partition(" | ")[0]
        found[each.name] = shapes.get(each.name, _BY_ANNOTATION.get(kind, True))
    return _object(found)


def _binding() -> Schema:
    """Return the schema of a binding, which has exactly one of `command`, `python`, `http` and `chat`."""
    http = _keys(
        binding_reader.HTTP,
        {
            "url": {"type": "string"},
            "method": {"enum": [*binding_reader.METHODS, *map(str.lower, binding_reader.METHODS)]},
            "headers": _TEXT_MAP,
            "timeout": _DURATION,
            "redirects": {"enum": list(binding_reader.REDIRECTS)},
        },
    )
    chat = _keys(
        binding_reader.CHAT,
        {
            **{
                key: {"type": "string"}
                for key in ("base_url", "model", "api_key_env", "api_key_file", "system")
            },
            **dict.fromkeys(("stream", "allow_empty"), _FLAG),
            **dict.fromkeys(("input_cost", "output_cost"), _NUMBER),
            "headers": _TEXT_MAP,
            "options": {"type": "object"},
        },
    )
    shapes: Schema = {
        "command": {"type": ["string", "array"], "items": _TEXT},
        "python": {"type": "string", "description": "package.module:function"},
        "http": {"anyOf": [{"type": "string"}, _object(http, required=["url"])]},
        "chat": _object(chat, required=["base_url", "model"]),
        "env": _TEXT_MAP,
        **dict.fromkeys(("inherit_env", "state"), _FLAG),
        **dict.fromkeys(("timeout", "grace"), _DURATION),
        **dict.fromkeys(("cwd", "description", "encoding"), _STRING),
        **{key: {"type": "object"} for key in ("parameters", "result_schema")},
        "result": {"enum": list(binding_reader.RESULTS)},
    }
    one = [{"required": [kind]} for kind in binding_reader.KINDS]
    return _object(_keys((*binding_reader.KINDS, *binding_reader.COMMON), shapes), oneOf=one)


def _notify() -> Schema:
    occasions = {"enum": list(notify.OCCASIONS)}
    shapes = {
        "name": {"type": "string"},
        "on": {"anyOf": [occasions, {"type": "array", "items": occasions}]},
        **dict.fromkeys(("workflows", "assignees", "urls"), _TEXTS),
        **dict.fromkeys(("title", "body"), _STRING),
        "command": {"type": ["string", "array"], "items": _TEXT},
        "env": _TEXT_MAP,
    }
    return {"type": "array", "items": _object(_keys(notify.KEYS, shapes), required=["on"])}


def _retention() -> Schema:
    rule = _keys(
        retention.RULE_KEYS,
        {"workflows": _PATTERNS, "statuses": _TEXTS, "days": _COUNT, "count": _COUNT},
    )
    return _object(
        _keys(retention.KEYS, {"rules": {"type": "array", "items": _object(rule)}, "audit_days": _COUNT})
    )


def _scheduler() -> Schema:
    defaults = _settings(ScheduleDefaults, catchup={"enum": list(CATCHUPS)}, overlap={"enum": list(OVERLAPS)})
    return _settings(SchedulerConfig, defaults=defaults, log_format={"enum": list(LOG_FORMATS)})


def config_schema(title: str = "victor.yaml") -> Schema:
    """Return the schema of `victor.yaml`. `scheduler.yaml` of a user and of the system has the same sections."""
    bindings = {"type": ["object", "null"], "additionalProperties": {"$ref": "#/$defs/binding"}}
    shapes: Schema = {
        "workflows": _PATTERNS,
        "scheduler": _scheduler(),
        **dict.fromkeys(("nodes", "handlers", "tools", "agents"), bindings),
        "default_agent": {"$ref": "#/$defs/binding"},
        "functions": {"type": "object", "additionalProperties": {"type": "string"}},
        "roles": {"type": "object", "additionalProperties": _TEXTS},
        "permissions": _object(dict.fromkeys((each.name for each in fields(PermissionsConfig)), _TEXTS)),
        "socket": _settings(SocketConfig, path={"type": "string"}, group=_STRING),
        "trust": _settings(TrustConfig, content={"enum": ["pinned", "watch"]}),
        "watch": {"enum": ["apply"]},
        "proxies": _TEXTS,
        "api": _settings(ApiConfig),
        "metrics": _settings(MetricsConfig, textfile=_STRING),
        "hitl": _settings(HitlConfig, unknown_assignees={"enum": ["error", "warn"]}),
        "notify": _notify(),
        "retention": _retention(),
        "console": _settings(ConsoleConfig, notify={"enum": list(CONSOLE_NOTIFY)}),
        "secrets": {
            "type": "object",
            "additionalProperties": _object(
                dict.fromkeys((each.name for each in fields(SecretSource)), _STRING)
            ),
        },
        "calendars": {"type": "object"},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        **_object(_keys(SECTIONS, shapes)),
        "type": ["object", "null"],
        "$defs": {"binding": _binding()},
    }


__all__ = ["config_schema"]
