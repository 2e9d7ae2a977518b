"""The structs of the audit trail: its export, its chain, and the result of a verification."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from msgspec import Struct


class AuditQuery(Struct, frozen=True, omit_defaults=True):
    """The requests of an export: those opened from `since` to before `until`, after the page that ended at `after`."""

    request_id: str | None = None
    run_id: str | None = None
    workflow: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    after: int = 0


class AuditPage(Struct, frozen=True, omit_defaults=True):
    """A page of an export: requests with their events. `next` is the `after` of the next page; None at the end."""

    records: tuple[dict[str, Any], ...]
    next: int | None = None


class AuditRecord(Struct, frozen=True):
    """A record of the chain. `record` is the canonical JSON text of which `digest` is computed; see docs/audit.md."""

    seq: int
    digest: str
    record: str


class AuditHead(Struct, frozen=True, omit_defaults=True):
    """The last record of the chain (0: there is none), and the checkpoint: the last record that was pruned."""

    seq: int
    digest: str
    at: datetime | None = None
    pruned_seq: int = 0
    pruned_digest: str = ""


FindingKind = Literal["changed", "deleted", "inserted", "cut", "recomputed", "pruned"]


class AuditFinding(Struct, frozen=True, omit_defaults=True):
    """A difference that a verification found. `seq` is the record, `event_seq` the event, if it concerns one."""

    kind: FindingKind
    message: str
    seq: int | None = None
    event_seq: int | None = None


class AuditReport(Struct, frozen=True, omit_defaults=True):
    """The result of a verification: the number of records, the head, and at most `LISTED` of `differences` findings."""

    intact: bool
    records: int
    head: AuditHead
    differences: int = 0
    findings: tuple[AuditFinding, ...] = ()
