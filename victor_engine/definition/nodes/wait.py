"""The reader of wait nodes (a time, a file or an HTTP response) and workflow nodes (a child run)."""

from __future__ import annotations

import re
from typing import Any

from victor_engine.config.yaml_locations import did_you_mean
from victor_engine.definition import dialect_keys
from victor_engine.definition.model import ON_RETRY, ON_WAIT_TIMEOUT, Node, SubWorkflowNode, WaitNode
from victor_engine.definition.nodes.human import read_outcomes
from victor_engine.definition.reader import Reader
from victor_engine.durations import parse_duration

KINDS = ("for", "seconds", "until", "file", "http")
_CLOCK = re.compile(r"([01]?\d|2[0-3]):[0-5]\d(:[0-5]\d)?")
_STATUS_CLASS = re.compile(r"[1-5]xx")
MIN_POLL = 0.1
"""Seconds: the shortest time between two polls."""


def is_template(value: Any) -> bool:
    """Return whether a value is known only when the run reaches its node."""
    return isinstance(value, str) and ("$ctx." in value or "{" in value)


def is_wall_time(text: str) -> bool:
    """Return whether a text is a time of day such as 09:00, without a date."""
    return _CLOCK.fullmatch(text) is not None


def read_wait(reader: Reader, common: dict[str, Any]) -> Node:
    """Return a wait node. Errors are added to the problems of the reader."""
    kinds = [key for key in KINDS if reader.has(key)]
    if len(kinds) != 1:
        given = "has none of them" if not kinds else f"has {' and '.join(kinds)}"
        reader.problems.error(
            reader.place(kinds[1] if len(kinds) > 1 else None),
            f"{reader.what}: a wait node needs exactly one of for, until, file and http, and this one {given}",
            "Add: for: 10m",
        )
    outcomes = read_outcomes(reader)
    _known_outcomes(reader, outcomes, ("done", "timed_out", *_skipped(reader)))
    default = "continue" if "timed_out" in outcomes else "fail"
    poll = reader.seconds("poll")
    if poll is not None and poll < MIN_POLL:
        reader.problems.error(reader.place("poll"), f"{reader.what}: poll must be at least {MIN_POLL} s")
    node = WaitNode(
        **common,
        seconds=_seconds(reader),
        until=_until(reader),
        timezone=_timezone(reader),
        file=reader.text("file") or None,
        stable_for=reader.seconds("stable_for"),
        http=_http(reader),
        poll=max(poll, MIN_POLL) if poll is not None else 5.0,
        on_timeout=reader.one_of("on_timeout", ON_WAIT_TIMEOUT, default),
        outcomes=outcomes,
    )
    _check_timeout(reader, node)
    return node


def _check_timeout(reader: Reader, node: WaitNode) -> None:
    if outcomes := node.outcomes:
        needed = ["done"] + (["timed_out"] if node.on_timeout == "continue" and node.timeout_seconds else [])
        for outcome in needed:
            if outcome not in outcomes and "default" not in outcomes:
                reader.problems.error(
                    reader.place("next"),
                    f"{reader.what}: next has no node for the outcome {outcome!r}",
                    f"Add: {outcome}: <node id>, or a default",
                )
    if reader.has("on_timeout") and node.timeout_seconds is None:
        reader.problems.warning(
            reader.place("on_timeout"),
            f"{reader.what}: on_timeout has no effect without a timeout",
            "Add: timeout: 1h",
        )
    for key, kind in (("stable_for", "file"), ("timezone", "until")):
        if reader.has(key) and not reader.has(kind):
            reader.problems.error(
                reader.place(key),
                f"{reader.what}: {key} can be used only with {kind}",
                f"Add {kind}, or remove {key}",
            )


def _skipped(reader: Reader) -> tuple[str, ...]:
    return ("skipped",) if reader.has("when") else ()


def _known_outcomes(reader: Reader, outcomes: dict[str, str], known: tuple[str, ...]) -> None:
    for outcome in outcomes:
        if outcome not in (*known, "default"):
            reader.problems.error(
                reader.document.key_place((*reader.path, "next", outcome)),
                f"{reader.what}: the outcome {outcome!r} is not possible here; possible are {', '.join(known)}",
                did_you_mean(outcome, [*known, "default"]),
            )


def _seconds(reader: Reader) -> float | str | None:
    key = reader.first("for", "seconds")
    if key is None:
        return None
    value = reader.data[key]
    if isinstance(value, str) and is_template(value) and parse_duration(value) is None:
        return value
    return reader.seconds(key, zero=True)


def _until(reader: Reader) -> str | None:
    text = reader.source_text("until")
    if text is None:
        return None
    text = text.strip()
    if is_template(text) or is_wall_time(text):
        return text
    from datetime import datetime

    try:
        datetime.fromisoformat(text)
    except ValueError:
        reader.problems.error(
            reader.place("until"),
            f"{reader.what}: until is {text!r}, which is not a time",
            'Write "2026-03-31T09:00", "09:00" (in quotes), or $ctx.name',
        )
        return None
    return text


def _timezone(reader: Reader) -> str | None:
    name = reader.text("timezone")
    if not name:
        return None
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        reader.problems.error(
            reader.place("timezone"),
            f"{reader.what}: the time zone {name!r} does not exist",
            did_you_mean(name, available_timezones()),
        )
        return None
    return name


def _http(reader: Reader) -> dict[str, Any] | None:
    if isinstance(reader.data.get("http"), str):
        return {"url": reader.data["http"]}
    inner = reader.inner("http", f"{reader.what}: http")
    if inner is None:
        return None
    inner.unknown(dialect_keys.WAIT_HTTP, ())
    if not inner.text("url"):
        inner.problems.error(inner.place(), f"{inner.what} needs a url", "Add: url: https://…")
    found: dict[str, Any] = {"url": inner.text("url")}
    method = inner.one_of("method", ("get", "head", "post"), "get").upper()
    if method != "GET":
        found["method"] = method
    if inner.has("headers"):
        found["headers"] = {name: str(value) for name, value in inner.mapping("headers").items()}
    if inner.has("status"):
        found["status"] = inner.data["status"]
        statuses = found["status"] if isinstance(found["status"], list) else [found["status"]]
        if not statuses or not all(_is_status(status) for status in statuses):
            inner.wrong("status", "a status such as 200, a class such as 2xx, or a list of them")
            del found["status"]
    if inner.has("json"):
        found["json"] = inner.text("json")
    return found


def _is_status(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, int):
        return 100 <= value <= 599
    return isinstance(value, str) and _STATUS_CLASS.fullmatch(value.lower()) is not None


def read_workflow(reader: Reader, common: dict[str, Any]) -> Node:
    """Return a workflow node. Errors are added to the problems of the reader."""
    if not reader.text("workflow"):
        reader.problems.error(
            reader.place(), f"{reader.what}: a workflow node needs a workflow", "Add: workflow: <name>"
        )
    outcomes = read_outcomes(reader)
    _known_outcomes(reader, outcomes, ("succeeded", "rejected", *_skipped(reader)))
    if outcomes and "succeeded" not in outcomes and "default" not in outcomes:
        reader.problems.error(
            reader.place("next"),
            f"{reader.what}: next has no node for the outcome 'succeeded'",
            "Add: succeeded: <node id>, or a default",
        )
    return SubWorkflowNode(
        **common,
        workflow=reader.text("workflow"),
        version=reader.source_text("version"),
        inputs=reader.mapping("inputs"),
        input_mapping=reader.input_mapping(),
        wait=reader.flag("wait", True),
        on_retry=reader.one_of("on_retry", ON_RETRY, "continue"),
        outcomes=outcomes,
    )
