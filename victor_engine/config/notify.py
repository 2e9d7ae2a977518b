"""Reading the rules of `notify:`: what is announced, to whom, and in which words."""

from __future__ import annotations

import re
from typing import Any

from victor_engine.config.model import NotifyRule
from victor_engine.config.setting_readers import Reader, kind_of
from victor_engine.config.yaml_locations import Key, Source, did_you_mean

OCCASIONS = ("new", "reminder", "escalated", "expired", "reassigned", "question", "sla", "failed", "storage")
"""What a rule may be about: requests, then runs, and at last the engine itself."""

FIELDS = (
    "assignees", "at", "deadline", "event", "host", "kind", "left", "message", "node", "on_timeout", "outcome",
    "prompt", "request", "run", "title", "what", "workflow",
)  # fmt: skip
"""Names that `title` and `body` of a rule may hold in braces."""

_KEYS = ("name", "on", "workflows", "assignees", "urls", "title", "body")
_FIELD = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+|\$secret\.[A-Za-z_][A-Za-z0-9_-]*")
_EXAMPLE = "Such as: notify: [{on: [new, escalated], urls: [$secret.on_call]}]"


def read_rules(source: Source, value: Any) -> tuple[NotifyRule, ...]:
    """The rules of one layer, in their order. Raises `ConfigError` with the place of the first fault."""
    if not isinstance(value, list):
        raise source.fail(("notify",), f"notify must be a list of rules, not {kind_of(value)}", _EXAMPLE)
    rules: list[NotifyRule] = []
    for index, item in enumerate(value):
        rule = _read_rule(source, ("notify", index), item, index + 1)
        if any(known.name == rule.name for known in rules):
            raise source.fail(
                ("notify", index), f"two rules of notify are called {rule.name!r}", "Give each its own name"
            )
        rules.append(rule)
    return tuple(rules)


def _read_rule(source: Source, way: Key, value: Any, number: int) -> NotifyRule:
    reader = Reader(source, way, value, f"rule {number} of notify")
    reader.only(_KEYS)
    occasions, urls = reader.texts("on"), reader.texts("urls")
    if not occasions:
        raise source.fail(way, f"{reader.what} does not say on what", f"Add on: [{', '.join(OCCASIONS)}]")
    for occasion in occasions:
        if occasion not in OCCASIONS:
            raise reader.fail(
                "on", f"{reader.what}: nothing is called {occasion!r}", did_you_mean(occasion, OCCASIONS)
            )
    if not urls:
        raise source.fail(way, f"{reader.what} does not say where to: it has no urls", _EXAMPLE)
    for index, url in enumerate(urls):
        if not _URL.fullmatch(url):
            inner = (*way, "urls", index) if isinstance(reader.data["urls"], list) else (*way, "urls")
            raise source.fail(
                inner,
                f"{reader.what}: this is no address of Apprise",
                "Write scheme://…, or $secret.name for one that is kept secret",
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
        place=source.place(way),
    )


def _check_fields(reader: Reader, key: str) -> None:
    for found in _FIELD.finditer(reader.text(key)):
        if found[1] is not None and found[1] not in FIELDS:
            raise reader.fail(
                key, f"{reader.what}: there is no {{{found[1]}}} to fill in", did_you_mean(found[1], FIELDS)
            )
