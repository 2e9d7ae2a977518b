"""The reader of the rules of `notify:`: occasions, recipients and texts of notifications."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from victor_engine.config.binding_reader import read_binding
from victor_engine.config.model import Binding, NotifyRule
from victor_engine.config.setting_readers import Reader, kind_of
from victor_engine.config.yaml_locations import Key, Source, did_you_mean

OCCASIONS = (
    "new",
    "reminder",
    "escalated",
    "expired",
    "reassigned",
    "question",
    "asked_back",
    "replied",
    "answered",
    "withdrawn",
    "sla",
    "failed",
    "quarantine",
    "deprecated",
    "storage",
    "clock",
    "audit",
    "heartbeat",
)
"""The occasions of rules: those of requests, then of runs, then of the engine."""

FIELDS = (
    "assignees", "at", "by", "deadline", "event", "host", "kind", "left", "message", "node", "on_timeout", "outcome",
    "prompt", "request", "run", "title", "what", "workflow",
)  # fmt: skip
"""The placeholders, in braces, that `title` and `body` of a rule may contain."""

KEYS = ("name", "on", "workflows", "assignees", "urls", "command", "env", "title", "body")
_FIELD = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+|\$secret\.[A-Za-z_][A-Za-z0-9_-]*")
_EXAMPLE = "Write: notify: [{on: [new, escalated], urls: [$secret.on_call]}]"


def read_rules(source: Source, value: Any, workspace: Path) -> tuple[NotifyRule, ...]:
    """Return the rules of one layer, in their order. Raises ConfigError with the place of the first error.

    Commands start in the workspace.
    """
    if not isinstance(value, list):
        raise source.fail(("notify",), f"notify must be a list of rules, not {kind_of(value)}", _EXAMPLE)
    rules: list[NotifyRule] = []
    for index, item in enumerate(value):
        rule = _read_rule(source, ("notify", index), item, index + 1, workspace)
        if any(known.name == rule.name for known in rules):
            raise source.fail(
                ("notify", index), f"two rules of notify have the name {rule.name!r}", "Rename one of them"
            )
        rules.append(rule)
    return tuple(rules)


def _read_rule(source: Source, key_path: Key, value: Any, number: int, workspace: Path) -> NotifyRule:
    reader = Reader(source, key_path, value, f"rule {number} of notify")
    reader.only(KEYS)
    occasions, urls = reader.texts("on"), reader.texts("urls")
    if not occasions:
        raise source.fail(
            key_path, f"{reader.what} needs at least one occasion", f"Add on: [{', '.join(OCCASIONS)}]"
        )
    for occasion in occasions:
        if occasion not in OCCASIONS:
            raise reader.fail(
                "on", f"{reader.what}: unknown occasion {occasion!r}", did_you_mean(occasion, OCCASIONS)
            )
    name = reader.text("name") or f"rule {number}"
    command = _read_command(reader, name, workspace)
    if not urls and command is None:
        raise source.fail(key_path, f"{reader.what} has no urls and no command", _EXAMPLE)
    for index, url in enumerate(urls):
        if not _URL.fullmatch(url):
            inner = (
                (*key_path, "urls", index) if isinstance(reader.data["urls"], list) else (*key_path, "urls")
            )
            raise source.fail(
                inner,
                f"{reader.what}: this is not an Apprise URL",
                "Write scheme://…, or $secret.name for a secret URL",
            )
    for key in ("title", "body"):
        _check_fields(reader, key)
    return NotifyRule(
        name=name,
        on=tuple(dict.fromkeys(occasions)),
        urls=tuple(dict.fromkeys(urls)),
        workflows=reader.texts("workflows"),
        assignees=reader.texts("assignees"),
        title=reader.text("title"),
        body=reader.text("body"),
        place=source.place(key_path),
        command=command,
    )


def _read_command(reader: Reader, name: str, workspace: Path) -> Binding | None:
    """Return the command of a rule. It gets the variables of `env`, and no other ones of the engine."""
    given = {key: reader.data[key] for key in ("command", "env") if reader.data.get(key) is not None}
    if "command" not in given:
        if "env" in given:
            raise reader.fail(
                "env", f"{reader.what} has env without a command", "Remove it, or add a command"
            )
        return None
    binding = read_binding(reader.source, reader.key_path, given, "notify", name, workspace)
    return replace(binding, inherit_env=False, result="text")


def _check_fields(reader: Reader, key: str) -> None:
    for found in _FIELD.finditer(reader.text(key)):
        if found[1] is not None and found[1] not in FIELDS:
            raise reader.fail(
                key, f"{reader.what}: unknown placeholder {{{found[1]}}}", did_you_mean(found[1], FIELDS)
            )
