"""The messages of notification rules: the events, the recipients and the texts."""

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
from victor_engine.notify.texts import ASKED, RAN, TITLES
from victor_engine.people.roles import GROUP, USER, Person
from victor_engine.people.stored_request import Row, read_row
from victor_engine.store.db import Tx, actor_from_json
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
    EventKind.REQUEST_REPLIED,
    EventKind.REQUEST_ANSWERED,
    EventKind.REQUEST_SETTLED,
    EventKind.REQUEST_WITHDRAWN,
    EventKind.SLA_BREACHED,
    EventKind.RUN_FINISHED,
    EventKind.RUN_PAUSED,
    EventKind.VERSION_NOTICE,
    EventKind.ENGINE_STORAGE_BACK,
    EventKind.ENGINE_CLOCK_JUMPED,
    EventKind.ENGINE_CLOCK_CORRECTED,
    EventKind.AUDIT_HEAD,
)
"""Kinds of events that can cause notifications."""

BURST = 5
"""Maximum separate messages of one rule about one workflow. More messages at a time are combined into one."""

TITLE_LENGTH, BODY_LENGTH = 200, 4_000
OF_ENGINE = ("storage", "clock", "audit", "heartbeat")
"""Occasions of the engine itself, without a workflow and assignees."""
WHEN_OPEN = ("new", "reminder", "escalated", "reassigned", "question", "replied")
"""Occasions that are obsolete when the request is closed."""
ALIASES = {"question": "asked_back"}
"""Second names of occasions."""
PROMPT_LENGTH = 2_000
"""Maximum length of the prompt in the usual body of a message, in characters."""


@dataclass(frozen=True, slots=True)
class NotifiableEvent:
    """One event that can cause notifications. `at` is in microseconds."""

    seq: int
    at: int
    kind: str
    run_key: int | None
    request_id: str | None
    workflow: str | None
    node_id: str | None
    data: Mapping[str, Any]
    actor: str | None = None  # JSON


@dataclass(frozen=True, slots=True)
class Message:
    """The message of one rule about one event, or about several, of which `event` is the last."""

    rule: NotifyRule
    occasion: str
    event: NotifiableEvent
    title: str
    body: str
    request_id: str | None


def unseen(
    connection: sqlite3.Connection, after: int, kinds: Iterable[str], limit: int
) -> tuple[list[NotifiableEvent], int]:
    """Return events of these kinds with a `seq` above `after`, oldest first, and the last `seq` that was read."""
    rows, seen = tail_of_kinds(connection, after, [str(kind) for kind in kinds], limit)
    found = [NotifiableEvent(*(*row[:7], jsonio.loads(row[7]) if row[7] else {}, row[8])) for row in rows]
    return found, seen


def compose(
    tx: Tx,
    events: Sequence[NotifiableEvent],
    rules: Sequence[NotifyRule],
    people: Mapping[str, Person],
    host: str,
) -> tuple[list[Message], list[tuple[NotifiableEvent, str]]]:
    """Return the messages of the rules about events, without obsolete ones.

    Also return the events for which the composition failed, with the reason.
    """
    found: list[Message] = []
    errors: list[tuple[NotifiableEvent, str]] = []
    for event in events:
        try:
            found += _messages_of(tx, event, rules, people, host)
        except sqlite3.Error:
            raise
        except Exception as error:
            errors.append((event, f"no message for {event.kind}: {type(error).__name__}: {error}"))
    return _combined(found), errors


def _messages_of(
    tx: Tx, event: NotifiableEvent, rules: Sequence[NotifyRule], people: Mapping[str, Person], host: str
) -> list[Message]:
    content = _content(tx, event, host)
    if content is None:
        return []
    occasion, names, fields = content
    return [
        _message(rule, occasion, event, fields)
        for rule in rules
        # The occasions of the engine concern all recipients, without regard to the filters of a rule.
        if (occasion in rule.on or ALIASES.get(occasion) in rule.on)
        and (occasion in OF_ENGINE or _concerns(rule, event.workflow, names, people))
    ]


def storage_lost(info: StorageInfo, rules: Sequence[NotifyRule], host: str) -> list[Message]:
    """Return the messages of the rules about a storage outage, for which no event can be stored."""
    event = NotifiableEvent(0, to_us(info.since), EventKind.ENGINE_STORAGE_LOST, None, None, None, None, {})
    fields = {
        **_fields(event, host),
        "title": f"victor on {host}: storage outage",
        "message": f"{info.message}. Runs do not start or continue until the store is writable. No data is lost",
    }
    return [_message(rule, "storage", event, fields) for rule in rules if "storage" in rule.on]


def heartbeat(at: datetime, rules: Sequence[NotifyRule], host: str) -> list[Message]:
    """Return the messages of the rules that say that the engine works. They are not stored."""
    event = NotifiableEvent(0, to_us(at), "engine.heartbeat", None, None, None, None, {})
    fields = {
        **_fields(event, host),
        "title": f"victor on {host}: heartbeat",
        "message": "The engine works, and its store accepts writes",
    }
    return [_message(rule, "heartbeat", event, fields) for rule in rules if "heartbeat" in rule.on]


def is_obsolete(source: Tx | sqlite3.Connection, occasion: str, request_id: str | None) -> bool:
    """Return whether a message is obsolete because its request is closed."""
    if request_id is None or occasion not in WHEN_OPEN:
        return False
    try:
        return read_row(source, request_id).status is not RequestStatus.OPEN
    except NotFoundError:
        return True


def _content(tx: Tx, event: NotifiableEvent, host: str) -> tuple[str, tuple[str, ...], dict[str, str]] | None:
    """Return the occasion, the recipients, and the fields of a template; None without a message."""
    fields = {**_fields(event, host), "run": _run_id(tx, event.run_key)}
    if event.kind == EventKind.ENGINE_STORAGE_BACK:
        since, reason = _instant(event.data["since"]), event.data["reason"]
        title = f"victor on {host}: storage outage ended"
        return "storage", (), {**fields, "title": title, "message": f"Since {since}: {reason}"}
    if event.kind == EventKind.AUDIT_HEAD:
        head = f"{event.data['seq']}:{event.data['digest']}"
        title = f"victor on {host}: head of the audit chain, record {event.data['seq']}"
        message = f"{head}\nKeep it, and check the chain with:\nvictor audit verify --head {head}"
        return "audit", (), {**fields, "what": "audit", "title": title, "message": message}
    if event.kind in (EventKind.ENGINE_CLOCK_JUMPED, EventKind.ENGINE_CLOCK_CORRECTED):
        return "clock", (), {**fields, **_clock(event, host)}
    if event.kind == EventKind.RUN_FINISHED:
        return _failed(tx, event, fields)
    if event.kind == EventKind.RUN_PAUSED and not event.data.get("quarantine"):
        return None
    if occasion := _OF_RUNS.get(event.kind):
        text = event.data.get("message") or event.data.get("note") or ""
        return occasion, (), {**fields, "what": occasion, "message": str(text)}
    assert event.request_id is not None
    try:
        row = read_row(tx, event.request_id)
    except NotFoundError:  # its run was deleted
        return None
    if event.kind == EventKind.REQUEST_ANSWERED and "settles_at" in event.data:
        return None  # it can still be undone
    occasion, names = _occasion(tx, event, row)
    if is_obsolete(tx, occasion, row.id):
        return None
    return occasion, names, {**fields, **_request_fields(row, occasion, names, event, tx.now)}


_OF_RUNS: dict[str, str] = {
    EventKind.SLA_BREACHED: "sla",
    EventKind.RUN_PAUSED: "quarantine",
    EventKind.VERSION_NOTICE: "deprecated",
}
"""The occasions whose message is that of the event."""


def _clock(event: NotifiableEvent, host: str) -> dict[str, str]:
    """Return the fields about a change of the clock."""
    data = event.data
    if event.kind == EventKind.ENGINE_CLOCK_JUMPED:
        title, message = "the clock went forward", str(data.get("message", ""))
    else:
        title = "the clock was set back"
        message = (
            f"The clock was ahead until {_moment(data['until'])}, at most to {_moment(data['furthest'])}. Fires that "
            f"became open again: {data.get('reopened', 0)}. A fire that started a run is not run again"
        )
    return {"what": "clock", "title": f"victor on {host}: {title}", "message": message}


def _moment(text: str) -> str:
    return _instant(to_us(datetime.fromisoformat(text)))


def _fields(event: NotifiableEvent, host: str) -> dict[str, str]:
    return {
        "workflow": event.workflow or "",
        "node": event.node_id or "",
        "event": event.kind,
        "host": host,
        "at": _instant(event.at),
    }


def _failed(
    tx: Tx, event: NotifiableEvent, fields: dict[str, str]
) -> tuple[str, tuple[str, ...], dict[str, str]] | None:
    """Return the content for a dead letter; None if the run is not one."""
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


def _occasion(tx: Tx, event: NotifiableEvent, row: Row) -> tuple[str, tuple[str, ...]]:
    """Return the occasion of an event of a request, and its recipients."""
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
        case EventKind.REQUEST_REPLIED:
            return "replied", row.ask.assignees
        case EventKind.REQUEST_ANSWERED | EventKind.REQUEST_SETTLED:
            return "answered", row.ask.assignees
        case EventKind.REQUEST_WITHDRAWN:
            return "withdrawn", row.ask.assignees
    return "new", row.ask.assignees


def _request_fields(
    row: Row, occasion: str, names: tuple[str, ...], event: NotifiableEvent, now: datetime
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
        "message": str(event.data.get("text") or event.data.get("note") or _said(row, occasion, event)),
        "by": actor_from_json(row.answered_by if occasion == "answered" else event.actor).shown,
    }


def _said(row: Row, occasion: str, event: NotifiableEvent) -> str:
    """Return the comment of an answer, or the reason of a withdrawal."""
    if occasion == "answered":
        return row.comment
    return str(event.data.get("reason") or "") if occasion == "withdrawn" else ""


def _concerns(
    rule: NotifyRule, workflow: str | None, names: tuple[str, ...], people: Mapping[str, Person]
) -> bool:
    """Return whether a rule applies to a workflow and to one of the assignees `names`.

    A rule for a user also applies to requests to the groups and roles of the user. Requests to anyone match
    only rules without assignees.
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


def _message(rule: NotifyRule, occasion: str, event: NotifiableEvent, fields: Mapping[str, str]) -> Message:
    usual = ASKED if event.request_id is not None else RAN if event.run_key is not None else "{message}"
    message = fields.get("message", "")
    filled = {**fields, "message": message + "\n" if message and not rule.body else message}
    if not rule.body and len(fields.get("prompt", "")) > PROMPT_LENGTH:
        filled["prompt"] = fields["prompt"][: PROMPT_LENGTH - 1] + "…"
    title = render(rule.title or TITLES[occasion], filled).text
    body = render(rule.body or usual, filled).text
    body = body if rule.body else body.rstrip("\n")
    return Message(rule, occasion, event, one_line(title, TITLE_LENGTH), _cut(plain(body)), event.request_id)


def _combined(messages: list[Message]) -> list[Message]:
    """Combine many messages of one rule, occasion and workflow into one."""
    groups: dict[tuple[str, str, str | None], list[Message]] = {}
    for message in messages:
        groups.setdefault((message.rule.name, message.occasion, message.event.workflow), []).append(message)
    found: list[Message] = []
    for group in groups.values():
        if len(group) <= BURST:
            found += group
            continue
        last = group[-1]
        title = one_line(f"{len(group)} notifications, last: {last.title}", TITLE_LENGTH)
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
    """Return a duration in its largest unit, rounded down."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if abs(seconds) >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
