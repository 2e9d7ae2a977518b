"""The reader of the rules of `notify:`: occasions, recipients and texts of notifications."""

from __future__ import annotations

import re
from typing import Any

from victor_engine.config.model import NotifyRule
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

_KEYS = ("name", "on", "workflows", "assignees", "urls", "title", "body")
_FIELD = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+|\$secret\.[A-Za-z_][A-Za-z0-9_-]*")
_EXAMPLE = "Write: notify: [{on: [new, escalated], urls: [$secret.on_call]}]"


def read_rules(source: Source, value: Any) -> tuple[NotifyRule, ...]:
    """Return the rules of one layer, in their order. Raises ConfigError with the place of the first error."""
    if not isinstance(value, list):
        raise source.fail(("notify",), f"notify must be a list of rules, not {kind_of(value)}", _EXAMPLE)
    rules: list[NotifyRule] = []
    for index, item in enumerate(value):
        rule = _read_rule(source, ("notify", index), item, index + 1)
        if any(known.name == rule.name for known in rules):
            raise source.fail(
                ("notify", index), f"two rules of notify have the name {rule.name!r}", "Rename one of them"
            )
        rules.append(rule)
    return tuple(rules)


def _read_rule(source: Source, key_path: Key, value: Any, number: int) -> NotifyRule:
    reader = Reader(source, key_path, value, f"rule {number} of notify")
    reader.only(_KEYS)
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
    if not urls:
        raise source.fail(key_path, f"{reader.what} has no urls", _EXAMPLE)
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
        name=reader.text("name") or f"rule {number}",
        on=tuple(dict.fromkeys(occasions)),
        urls=tuple(dict.fromkeys(urls)),
        workflows=reader.texts("workflows"),
        assignees=reader.texts("assignees"),
        title=reader.text("title"),
        body=reader.text("body"),
        place=source.place(key_path),
    )


def _check_fields(reader: Reader, key: str) -> None:
    for found in _FIELD.finditer(reader.text(key)):
        if found[1] is not None and found[1] not in FIELDS:
            raise reader.fail(
                key, f"{reader.what}: unknown placeholder {{{found[1]}}}", did_you_mean(found[1], FIELDS)
            )
