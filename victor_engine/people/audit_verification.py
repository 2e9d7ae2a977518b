"""The verification of the audit chain: its digests, and the rows of the store that its records are about.

A record is right if its digest follows from the record before it, and if the event, the vote and the request that
it is about are as the record has them. This module writes nothing.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec

from victor_engine.api.audit import AuditFinding, AuditHead, AuditReport, FindingKind
from victor_engine.clock import from_us
from victor_engine.domain.statuses import RequestStatus
from victor_engine.errors import UsageError
from victor_engine.events import EventKind
from victor_engine.people.questions import Ask
from victor_engine.store.audit_chain import BEGUN, actor_fields, instant, next_digest
from victor_engine.store.db import actor_from_json
from victor_engine.store.queries import audit as stored
from victor_engine.store.queries.audit import ChainRow, DecidedRequest, DecisionEvent
from victor_engine.store.repositories.audit import Chain, chain, earlier_digest

LISTED = 100
"""Maximum findings of a report."""

_HEAD = re.compile(r"(?:(\d+):)?([0-9a-f]{64})")
_VOTES = (EventKind.REQUEST_VOTED, EventKind.REQUEST_ANSWERED)
_ENDED = {
    EventKind.REQUEST_ANSWERED: RequestStatus.ANSWERED,
    EventKind.REQUEST_EXPIRED: RequestStatus.EXPIRED,
    EventKind.REQUEST_WITHDRAWN: RequestStatus.WITHDRAWN,
    EventKind.REQUEST_UNDONE: RequestStatus.OPEN,
}


class _Findings:
    """The findings of one verification: the number of all, and the first ones."""

    def __init__(self) -> None:
        self.count = 0
        self.listed: list[AuditFinding] = []

    def add(
        self, kind: FindingKind, message: str, *, seq: int | None = None, event_seq: int | None = None
    ) -> None:
        self.count += 1
        if len(self.listed) < LISTED:
            self.listed.append(AuditFinding(kind, message, seq, event_seq))


def head_of(connection: sqlite3.Connection) -> AuditHead:
    """Return the head of the chain and its checkpoint."""
    found = chain(connection)
    last = next(stored.chain_rows(connection, found.seq - 1, 1), None)
    return AuditHead(
        found.seq,
        found.digest,
        from_us(last.at) if last is not None else None,
        found.pruned_seq,
        found.pruned_digest if found.pruned_seq else "",
    )


def parse_head(head: str) -> tuple[int | None, str]:
    """Return the sequence number, if it is given, and the digest of `DIGEST` or `SEQ:DIGEST`. Raise UsageError."""
    found = _HEAD.fullmatch(head.strip().lower())
    if found is None:
        raise UsageError(
            f"{head!r} is not a head of the audit chain: give the 64 hexadecimal digits of a digest, or NUMBER:DIGEST, "
            "as `victor audit head` prints it"
        )
    return int(found[1]) if found[1] else None, found[2]


def verify(connection: sqlite3.Connection, head: str | None = None) -> AuditReport:
    """Verify the chain, the rows that its records are about, and whether it contains the saved `head`.

    Raise UsageError if `head` is not a head.
    """
    wanted = parse_head(head) if head is not None else None
    state = chain(connection)
    findings = _Findings()
    digests: dict[str, int] = {state.pruned_digest: state.pruned_seq} if state.pruned_seq else {}
    records, present = 0, False
    begun = _begin(connection, state)

    def counted() -> Iterator[ChainRow]:
        nonlocal records, present
        for row in _linked(stored.chain_rows(connection), state, findings):
            records += 1
            if wanted is not None and row.digest == wanted[1]:
                digests[row.digest] = row.seq
            present = present or (wanted is not None and row.seq == wanted[0])
            yield row

    _compare_events(connection, counted(), begun, _pruned(connection), findings)
    _compare_requests(connection, findings)
    if wanted is not None and wanted[1] not in digests:
        _report_head(*wanted, state, present, findings)
    return AuditReport(
        findings.count == 0, records, head_of(connection), findings.count, tuple(findings.listed)
    )


def _begin(connection: sqlite3.Connection, state: Chain) -> int:
    """Return the last event that is older than the chain, or than its checkpoint."""
    if state.pruned_seq:
        return state.pruned_event
    first = next(stored.chain_rows(connection, 0, 1), None)
    return first.event_seq if first is not None and _fields(first).get("event") == BEGUN else 0


def _fields(row: ChainRow) -> dict[str, Any]:
    """Return the record of a row; empty if it is not a JSON object."""
    return _object(row.record)


def _json(text: str | None) -> Any:
    """Return the value of stored JSON, None for NULL. Text that is not JSON is returned as a set, which equals no value."""
    try:
        return None if text is None else json.loads(text)
    except (ValueError, RecursionError):
        return {text}


def _object(text: str | None) -> dict[str, Any]:
    found = _json(text)
    return found if isinstance(found, dict) else {}


def _by(actor: str | None) -> dict[str, Any]:
    """Return the fields of a stored actor; empty if it is not one."""
    try:
        return actor_fields(actor_from_json(actor))
    except msgspec.DecodeError:
        return {}


def _linked(rows: Iterable[ChainRow], state: Chain, findings: _Findings) -> Iterator[ChainRow]:
    """Yield the rows of the chain, and check that each follows from the one before it."""
    seq, digest = state.pruned_seq, state.pruned_digest
    checkpoint: dict[str, Any] = {}
    for row in rows:
        if row.seq > state.seq:
            findings.add(
                "inserted", f"record {row.seq} is after the head of the chain, {state.seq}", seq=row.seq
            )
        elif row.seq <= seq:
            findings.add(
                "inserted", f"record {row.seq} is before the checkpoint, {state.pruned_seq}", seq=row.seq
            )
        elif row.seq > seq + 1:
            findings.add("deleted", f"{_range(seq + 1, row.seq - 1)} missing from the chain", seq=seq + 1)
        elif next_digest(digest, row.record) != row.digest:
            findings.add(
                "changed",
                f"record {row.seq} does not follow from record {row.seq - 1}: one of them was changed, or a record was "
                "inserted between them",
                seq=row.seq,
            )
        fields = _fields(row)
        if (fields.get("seq"), fields.get("event_seq")) != (row.seq, row.event_seq):
            findings.add("changed", f"record {row.seq} has the content of another record", seq=row.seq)
        if fields.get("event") == EventKind.AUDIT_PRUNED:
            checkpoint = fields["data"] if isinstance(fields.get("data"), dict) else {}
        seq, digest = max(row.seq, seq), row.digest
        yield row
    if seq < state.seq:
        findings.add(
            "deleted", f"{_range(seq + 1, state.seq)} missing from the end of the chain", seq=seq + 1
        )
    elif seq == state.seq and digest != state.digest:
        findings.add("changed", f"the head of the chain is not the digest of record {seq}", seq=seq)
    _check_checkpoint(checkpoint, state, findings)


def _check_checkpoint(recorded: dict[str, Any], state: Chain, findings: _Findings) -> None:
    """Check that the checkpoint is the one that the last command to prune has recorded in the chain."""
    seq = recorded.get("seq", 0)
    if state.pruned_seq == seq and (not seq or state.pruned_digest == recorded.get("digest")):
        return
    until = f"it was pruned up to record {seq}" if seq else "nothing was pruned"
    findings.add(
        "deleted", f"the checkpoint is record {state.pruned_seq}, but the chain records that {until}"
    )


def _range(first: int, last: int) -> str:
    return f"record {first} is" if first == last else f"records {first} to {last} are"


class _Pruned(NamedTuple):
    """The runs whose decisions were pruned with them, as the chain records it.

    `earlier` is whether rows from before the chain were pruned, so that their digest cannot be compared any more.
    """

    runs: frozenset[str]
    earlier: bool


def _pruned(connection: sqlite3.Connection) -> _Pruned:
    facts = [_object(record).get("data") for record in stored.pruned_facts(connection)]
    found = [fact for fact in facts if isinstance(fact, dict)]
    runs = frozenset(run for fact in found for run in fact.get("decided", ()))
    return _Pruned(runs, any(fact.get("earlier") for fact in found))


def _compare_events(
    connection: sqlite3.Connection, rows: Iterator[ChainRow], begun: int, pruned: _Pruned, findings: _Findings
) -> None:
    """Compare each record with its event. Both are in the same order."""
    events = stored.decision_events(connection, begun)
    event = next(events, None)

    def unrecorded(found: DecisionEvent) -> None:
        findings.add(
            "inserted",
            f"event {found.seq} ({found.kind}) has no record: the event was inserted, or its record was deleted",
            event_seq=found.seq,
        )

    for row in rows:
        fields = _fields(row)
        if fields.get("event") == BEGUN and row.seq == 1:
            if not pruned.earlier and not _same_before(connection, fields.get("data")):
                findings.add(
                    "changed", "the events, votes or requests from before the chain were changed", seq=row.seq
                )
            continue
        while event is not None and event.seq < row.event_seq:
            unrecorded(event)
            event = next(events, None)
        if event is None or event.seq != row.event_seq:
            if fields.get("run") in pruned.runs:
                continue
            findings.add(
                "deleted",
                f"record {row.seq} ({fields.get('event')}): its event {row.event_seq} is missing or is not a decision "
                "any more; the event was deleted or changed, or the record was inserted",
                seq=row.seq,
                event_seq=row.event_seq,
            )
            continue
        different = _differences(connection, fields, event)
        if different or row.at != event.at:
            findings.add(
                "changed",
                f"record {row.seq} and its event {event.seq} ({event.kind}) differ in {', '.join(different) or 'at'}",
                seq=row.seq,
                event_seq=event.seq,
            )
        event = next(events, None)
    while event is not None:
        unrecorded(event)
        event = next(events, None)


def _same_before(connection: sqlite3.Connection, data: Any) -> bool:
    """Return whether the rows from before the chain have the digest that its first record holds."""
    try:
        return bool(earlier_digest(connection, data["last"]) == data["before"])
    except (KeyError, TypeError, ValueError):
        return False


def _differences(connection: sqlite3.Connection, fields: dict[str, Any], event: DecisionEvent) -> list[str]:
    """Return the names of the fields in which a record differs from its event and request."""
    expected: dict[str, Any] = {
        "at": instant(from_us(event.at)),
        "event": event.kind,
        "by": _by(event.actor),
        "schedule": event.schedule_id,
        "request": event.request_id,
        "node": event.node_id,
        "data": _json(event.data) if event.data else {},
    }
    if event.run_key is None:
        expected |= {"run": None, "workflow": event.workflow}
    elif event.run_id is not None:
        expected["run"] = event.run_id
    if event.request_id is not None and fields.get("shown") is not None:
        expected["shown"] = stored.shown_digest(connection, event.request_id)
    return [name for name, value in expected.items() if fields.get(name) != value]


def _compare_requests(connection: sqlite3.Connection, findings: _Findings) -> None:
    """Compare the votes and the requests with the events about them, which the chain protects."""
    outcomes = {
        request: [(seq, kind, actor, _object(data)) for _, seq, kind, actor, data in group]
        for request, group in groupby(stored.request_outcomes(connection), itemgetter(0))
    }
    votes = {key: list(group) for key, group in groupby(stored.request_votes(connection), itemgetter(0))}
    for request in stored.decided_requests(connection):
        events = outcomes.get(request.id, [])
        _compare_votes(request.id, events, votes.get(request.id, []), findings)
        _compare_request(request, events, findings)


def _compare_votes(request_id: str, events: list[Any], votes: list[Any], findings: _Findings) -> None:
    recorded = [(seq, actor, data) for seq, kind, actor, data in events if kind in _VOTES]
    if len(recorded) != len(votes):
        kind: FindingKind = "inserted" if len(votes) > len(recorded) else "deleted"
        findings.add(
            kind,
            f"request {request_id} has {len(votes)} votes, but {len(recorded)} events of votes and answers",
        )
        return
    for (seq, by, data), (_, actor, outcome, value, comment) in zip(recorded, votes, strict=True):
        found: dict[str, Any] = {"outcome": outcome, "value": _json(value), "comment": comment}
        expected = {
            **found,
            **({"comment": "", **data} if "value" in data else {"outcome": data.get("outcome")}),
        }
        different = [name for name in found if found[name] != expected[name]]
        if _by(actor) != _by(by):
            different.append("actor")
        if different:
            findings.add(
                "changed",
                f"a vote on request {request_id} differs from its event {seq} in {', '.join(different)}",
                event_seq=seq,
            )


def _compare_request(request: DecidedRequest, events: list[Any], findings: _Findings) -> None:
    different = []
    last = next((event for event in reversed(events) if event[1] in _ENDED), None)
    status = _ENDED[last[1]] if last is not None else RequestStatus.OPEN
    if request.status != status:
        different.append(f"status ({request.status}, not {status})")
    elif last is not None and status is RequestStatus.ANSWERED:
        _, _, actor, data = last
        if request.outcome != data.get("outcome"):
            different.append("outcome")
        if "value" in data and _json(request.answer) != data["value"]:
            different.append("answer")
        if request.comment != data.get("comment", request.comment if "value" not in data else ""):
            different.append("comment")
        if _by(request.answered_by) != _by(actor):
            different.append("answered_by")
    try:
        shown = msgspec.json.decode(request.spec, type=Ask).shown_digest()
    except msgspec.DecodeError:
        shown = ""
    if shown != request.digest:
        different.append("question")
    if different:
        findings.add("changed", f"request {request.id} differs from its events in {', '.join(different)}")


def _report_head(seq: int | None, digest: str, state: Chain, present: bool, findings: _Findings) -> None:
    """Report a saved head that is not in the chain. A missing record in the middle is reported already."""
    if seq is not None and seq > state.seq:
        findings.add(
            "cut",
            f"record {seq} is not in the chain, which ends at record {state.seq}: its tail was cut off",
            seq=seq,
        )
    elif seq is not None and seq < state.pruned_seq:
        findings.add("pruned", f"record {seq} was pruned, so its digest cannot be compared", seq=seq)
    elif seq is not None and present:
        findings.add("recomputed", f"record {seq} has another digest: the chain was computed anew", seq=seq)
    elif seq is None:
        findings.add(
            "cut",
            f"no record has the digest {digest[:12]}…: the tail was cut off, or the chain was computed anew",
        )
