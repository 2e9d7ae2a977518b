"""Which events are announced by which rules, to whom they are, and in which words."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from victor_engine import jsonio
from victor_engine.api import StorageInfo
from victor_engine.clock import from_us, to_us
from victor_engine.config.model import NotifyRule
from victor_engine.definition.templates import render
from victor_engine.domain.statuses import RequestStatus, RunStatus
from victor_engine.errors import NotFoundError
from victor_engine.events import EventKind
from victor_engine.people.roles import GROUP, USER, Person
from victor_engine.people.stored_request import Row, read_row
from victor_engine.store.db import Tx
from victor_engine.store.queries.events import tail_of_kinds
from victor_engine.store.queries.people import starters
from victor_engine.store.queries.runs import id_of
from victor_engine.store.repositories.deadletters import is_dead_letter
from victor_engine.text import one_line, plain

KINDS = (
    EventKind.REQUEST_OPENED,
    EventKind.REQUEST_PASSED_ON,
    EventKind.REQUEST_ESCALATED,
    EventKind.REQUEST_REMINDED,
    EventKind.REQUEST_EXPIRED,
    EventKind.REQUEST_REASSIGNED,
    EventKind.REQUEST_DELEGATED,
    EventKind.REQUEST_QUESTIONED,
    EventKind.SLA_BREACHED,
    EventKind.RUN_FINISHED,
    EventKind.ENGINE_STORAGE_BACK,
)
"""Events that may be worth announcing."""

BURST = 5
"""As many messages of one rule about one workflow go out by themselves; more at once become one."""

TITLE_LENGTH, BODY_LENGTH = 200, 4_000
WHEN_OPEN = ("new", "reminder", "escalated", "reassigned", "question")
"""Occasions that are over once the request is decided."""

_TITLES = {
    "new": "{workflow}: {title}",
    "reminder": "Reminder, {left} left: {workflow}: {title}",
    "escalated": "Escalated to {assignees}: {workflow}: {title}",
    "expired": "Not answered in time ({outcome}): {workflow}: {title}",
    "reassigned": "For {assignees} now: {workflow}: {title}",
    "question": "A question to {assignees}: {workflow}: {title}",
    "sla": "Promise not kept: {workflow}",
    "failed": "Failed: {workflow}",
    "storage": "{title}",
}
_ASKED = (
    "{message}A request of kind {kind} at {node} in run {run} on {host}, for {assignees}.\n"
    "Deadline: {deadline}. {on_timeout}\n"
    "victor inbox show {request}"
)
_RAN = "{message}Run {run} on {host}.\nvictor runs show {run}"


@dataclass(frozen=True, slots=True)
class Happened:
    """One event that may be announced. `at` in microseconds."""

    seq: int
    at: int
    kind: str
    run_key: int | None
    request_id: str | None
    workflow: str | None
    node_id: str | None
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Message:
    """What one rule has to say about one event (the last one, where several are told together)."""

    rule: NotifyRule
    occasion: str
    event: Happened
    title: str
    body: str
    request_id: str | None


def unseen(
    connection: sqlite3.Connection, after: int, kinds: Iterable[str], limit: int
) -> tuple[list[Happened], int]:
    """Events above `after` of these kinds, oldest first, and how far the log has now been looked through."""
    rows, seen = tail_of_kinds(connection, after, [str(kind) for kind in kinds], limit)
    found = [Happened(*(*row[:7], jsonio.loads(row[7]) if row[7] else {})) for row in rows]
    return found, seen


def compose(
    tx: Tx, events: Sequence[Happened], rules: Sequence[NotifyRule], people: Mapping[str, Person], host: str
) -> tuple[list[Message], list[tuple[Happened, str]]]:
    """What the rules say about these events, as things stand now: what is over already is left out.

    Also the events of which nothing could be said, with the reason: they hold up no others.
    """
    found: list[Message] = []
    faults: list[tuple[Happened, str]] = []
    for event in events:
        try:
            found += _said(tx, event, rules, people, host)
        except sqlite3.Error:
            raise
        except Exception as error:
            faults.append((event, f"{event.kind} cannot be put in words: {type(error).__name__}: {error}"))
    return _gathered(found), faults


def _said(
    tx: Tx, event: Happened, rules: Sequence[NotifyRule], people: Mapping[str, Person], host: str
) -> list[Message]:
    told = _told(tx, event, host)
    if told is None:
        return []
    occasion, names, fields = told
    return [
        _message(rule, occasion, event, fields)
        for rule in rules
        # What stops everything concerns everybody, whatever else a rule is about.
        if occasion in rule.on and (occasion == "storage" or _concerns(rule, event.workflow, names, people))
    ]


def storage_lost(info: StorageInfo, rules: Sequence[NotifyRule], host: str) -> list[Message]:
    """What the rules say when nothing can be recorded: of that there is no event in the store."""
    event = Happened(0, to_us(info.since), EventKind.ENGINE_STORAGE_LOST, None, None, None, None, {})
    fields = {
        **_fields(event, host),
        "title": f"victor on {host} can record nothing",
        "message": f"{info.message}. Nothing is started or goes on until then; nothing is lost",
    }
    return [_message(rule, "storage", event, fields) for rule in rules if "storage" in rule.on]


def is_over(source: Tx | sqlite3.Connection, occasion: str, request_id: str | None) -> bool:
    """Whether nobody needs to hear of it any more, because the request is decided."""
    if request_id is None or occasion not in WHEN_OPEN:
        return False
    try:
        return read_row(source, request_id).status is not RequestStatus.OPEN
    except NotFoundError:
        return True


def _told(tx: Tx, event: Happened, host: str) -> tuple[str, tuple[str, ...], dict[str, str]] | None:
    """The occasion, who is concerned, and the fields of a template; None where there is nothing to tell."""
    fields = {**_fields(event, host), "run": _run_id(tx, event.run_key)}
    if event.kind == EventKind.ENGINE_STORAGE_BACK:
        since, reason = _instant(event.data["since"]), event.data["reason"]
        title = f"victor on {host} records again"
        return "storage", (), {**fields, "title": title, "message": f"Since {since}: {reason}"}
    if event.kind == EventKind.RUN_FINISHED:
        return _failed(tx, event, fields)
    if event.kind == EventKind.SLA_BREACHED:
        return "sla", (), {**fields, "what": "sla", "message": str(event.data.get("message", ""))}
    assert event.request_id is not None
    try:
        row = read_row(tx, event.request_id)
    except NotFoundError:  # its run was deleted meanwhile
        return None
    occasion, names = _occasion(tx, event, row)
    if is_over(tx, occasion, row.id):
        return None
    return occasion, names, {**fields, **_request_fields(row, occasion, names, event, tx.now)}


def _fields(event: Happened, host: str) -> dict[str, str]:
    return {
        "workflow": event.workflow or "",
        "node": event.node_id or "",
        "event": event.kind,
        "host": host,
        "at": _instant(event.at),
    }


def _failed(
    tx: Tx, event: Happened, fields: dict[str, str]
) -> tuple[str, tuple[str, ...], dict[str, str]] | None:
    """A run that failed for good and that nobody has dealt with yet."""
    if event.data.get("status") != RunStatus.FAILED or event.run_key is None:
        return None
    if not is_dead_letter(tx, event.run_key):
        return None
    error = event.data.get("error") or {}
    at = f"{error['node']}: " if error.get("node") else ""
    message = f"{at}{error.get('type', '')}: {error.get('message', '')}" if error else ""
    return (
        "failed",
        (),
        {**fields, "what": "failed", "message": message, "node": str(error.get("node") or "")},
    )


def _occasion(tx: Tx, event: Happened, row: Row) -> tuple[str, tuple[str, ...]]:
    """What happened to a request, and whom that concerns."""
    to = event.data.get("to")
    match event.kind:
        case EventKind.REQUEST_PASSED_ON:
            return "new", (str(to),)
        case EventKind.REQUEST_REASSIGNED | EventKind.REQUEST_DELEGATED:
            return "reassigned", tuple(to or ())
        case EventKind.REQUEST_QUESTIONED:
            return "question", tuple(dict.fromkeys(actor.user for actor in starters(tx, row.run_key)))
        case EventKind.REQUEST_ESCALATED if "escalated_to" in event.data:
            return "escalated", (str(event.data["escalated_to"]),)
        case EventKind.REQUEST_REMINDED:
            return "reminder", row.ask.assignees
        case EventKind.REQUEST_EXPIRED:
            return "expired", row.ask.assignees
    return "new", row.ask.assignees


def _request_fields(
    row: Row, occasion: str, names: tuple[str, ...], event: Happened, now: datetime
) -> dict[str, str]:
    left = (row.deadline - to_us(now)) // 1_000_000 if row.deadline is not None else None
    return {
        "what": occasion,
        "request": row.id,
        "title": row.ask.title,
        "kind": row.ask.kind,
        "prompt": row.ask.prompt,
        "assignees": ", ".join(names) or "anyone",
        "deadline": _instant(row.deadline) if row.deadline is not None else "none",
        "left": _span(left) if left is not None else "no limit",
        "on_timeout": row.ask.on_timeout_text if row.deadline is not None else "",
        "outcome": str(event.data.get("outcome") or row.outcome or ""),
        "message": str(event.data.get("text") or event.data.get("note") or ""),
    }


def _concerns(
    rule: NotifyRule, workflow: str | None, names: tuple[str, ...], people: Mapping[str, Person]
) -> bool:
    """Whether a rule is about this workflow and one of these people.

    A rule for a user also hears what their groups and roles are asked by name; what is put to anybody
    is for rules without assignees.
    """
    if rule.workflows and not any(fnmatchcase(workflow or "", pattern) for pattern in rule.workflows):
        return False
    if not rule.assignees:
        return True
    bare = {_bare(name) for name in names}
    return any(
        _bare(wanted) in bare or (bool(names) and wanted in people and people[wanted].is_one_of(names))
        for wanted in rule.assignees
    )


def _bare(name: str) -> str:
    return name.removeprefix(USER).removeprefix(GROUP)


def _message(rule: NotifyRule, occasion: str, event: Happened, fields: Mapping[str, str]) -> Message:
    usual = _ASKED if event.request_id is not None else _RAN if event.run_key is not None else "{message}"
    message = fields.get("message", "")
    filled = {**fields, "message": message + "\n" if message and not rule.body else message}
    title = render(rule.title or _TITLES[occasion], filled).text
    body = render(rule.body or usual, filled).text
    return Message(rule, occasion, event, one_line(title, TITLE_LENGTH), _cut(plain(body)), event.request_id)


def _gathered(messages: list[Message]) -> list[Message]:
    """Many messages of one rule, occasion and workflow become one, so that a storm is no flood."""
    groups: dict[tuple[str, str, str | None], list[Message]] = {}
    for message in messages:
        groups.setdefault((message.rule.name, message.occasion, message.event.workflow), []).append(message)
    found: list[Message] = []
    for group in groups.values():
        if len(group) <= BURST:
            found += group
            continue
        last = group[-1]
        title = one_line(f"{len(group)} times: {last.title}", TITLE_LENGTH)
        shown = "\n".join(f"- {message.title}" for message in group[:20])
        more = f"\n… and {len(group) - 20} more" if len(group) > 20 else ""
        found.append(Message(last.rule, last.occasion, last.event, title, _cut(shown + more), None))
    return sorted(found, key=lambda message: message.event.seq)


def _cut(text: str) -> str:
    return text if len(text) <= BODY_LENGTH else text[: BODY_LENGTH - 1] + "…"


def _run_id(tx: Tx, run_key: int | None) -> str:
    return (id_of(tx, run_key) if run_key is not None else None) or ""


def _instant(us: int) -> str:
    return f"{from_us(us):%Y-%m-%d %H:%M} UTC"


def _span(seconds: int) -> str:
    """A duration in its largest unit, rounded down."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if abs(seconds) >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
