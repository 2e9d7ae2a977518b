"""The chain of the audit trail: its records, their canonical form, and their digests.

A record is a JSON object about one event that is a decision (`events.is_decision`). Its canonical form is JSON
with sorted keys, without white space, and without escapes that JSON does not require:
`json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)`. The digest of a record is the
SHA-256 of the digest of the record before it, a line break, and the canonical form, in UTF-8. The digest before
the first record is `NOTHING`.

The form is documented in `docs/audit.md`. Do not change it: digests that were saved elsewhere must stay valid.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Any

from victor_engine import jsonio
from victor_engine.api import Actor, EventInfo

NOTHING = "0" * 64
"""The digest before the first record."""

BEGUN = "audit.begun"
"""The event of the first record in a store that is older than the chain. It has no row in `events`."""


_encoder = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def canonical(record: Any) -> str:
    """Return the canonical form of a JSON value."""
    return _encoder.encode(record)


def next_digest(before: str, text: str) -> str:
    """Return the digest of a record in canonical form that follows the record with the digest `before`."""
    return hashlib.sha256(f"{before}\n{text}".encode()).hexdigest()


def instant(at: datetime) -> str:
    """Return an instant as records have it: ISO 8601 in UTC with microseconds."""
    return f"{at:%Y-%m-%dT%H:%M:%S.%f}Z"


def actor_fields(actor: Actor) -> dict[str, Any]:
    """Return an actor as records and exports have it."""
    found = {"user": actor.user, "uid": actor.uid, "via": actor.via, "tty": actor.tty, "remote": actor.remote}
    # Records without these keep the form, and so the digest, that they had before.
    if actor.proxy:
        found |= {"proxy": actor.proxy, "proxy_uid": actor.proxy_uid}
    return {**found, "login": actor.login} if actor.login else found


def record_of(seq: int, event: EventInfo, shown: str | None) -> dict[str, Any]:
    """Return the record about a decision. `shown` is the digest of the question, for a request."""
    return {
        "seq": seq,
        "event_seq": event.seq,
        "at": instant(event.at),
        "event": event.kind,
        "by": actor_fields(event.actor),
        "run": event.run_id,
        "schedule": event.schedule_id,
        "request": event.request_id,
        "workflow": event.workflow,
        "node": event.node_id,
        "shown": shown,
        # as the store keeps it, and with exact numbers
        "data": json.loads(jsonio.dumps_text(event.data)),
    }


__all__ = ["BEGUN", "NOTHING", "actor_fields", "canonical", "instant", "next_digest", "record_of"]
