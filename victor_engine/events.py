"""The kinds of events: append-only, ordered facts. Each state change writes one in its transaction.

An event has its subjects (run, schedule, request, workflow, node), its actor, and a small JSON object with
details. Events are the source of the audit trail, the timeline and the live feed.
"""

from __future__ import annotations

from enum import StrEnum


class EventKind(StrEnum):
    """All event kinds, `subject.what_happened`."""

    ENGINE_STARTED = "engine.started"
    ENGINE_STOPPED = "engine.stopped"
    ENGINE_PROBLEM = "engine.problem"
    ENGINE_STORAGE_LOST = "engine.storage_lost"  # live only: it cannot be stored during an outage
    ENGINE_STORAGE_BACK = "engine.storage_back"
    ENGINE_DRAINING = "engine.draining"
    ENGINE_UNDRAINED = "engine.undrained"
    WORKSPACE_LOADED = "workspace.loaded"
    WORKSPACE_TRUSTED = "workspace.trusted"

    SCHEDULE_ADDED = "schedule.added"
    SCHEDULE_CHANGED = "schedule.changed"
    SCHEDULE_REMOVED = "schedule.removed"
    SCHEDULE_PAUSED = "schedule.paused"
    SCHEDULE_RESUMED = "schedule.resumed"
    FIRE_DECIDED = "fire.decided"
    SLA_BREACHED = "sla.breached"
    BACKFILL_STARTED = "backfill.started"
    BACKFILL_PAUSED = "backfill.paused"
    BACKFILL_RESUMED = "backfill.resumed"
    BACKFILL_CANCELLED = "backfill.cancelled"
    BACKFILL_FINISHED = "backfill.finished"

    RUN_CREATED = "run.created"
    RUN_STARTED = "run.started"
    RUN_RESUMED = "run.resumed"
    RUN_PAUSING = "run.pausing"
    RUN_PAUSED = "run.paused"
    RUN_CANCELLING = "run.cancelling"
    RUN_FINISHED = "run.finished"
    RUN_REDRIVEN = "run.redriven"
    RUN_DISCARDED = "run.discarded"
    RUN_WARNING = "run.warning"
    RUN_MIGRATED = "run.migrated"
    RUN_UNMIGRATED = "run.unmigrated"

    NODE_STARTED = "node.started"
    NODE_COMPLETED = "node.completed"
    NODE_FAILED = "node.failed"
    NODE_RETRYING = "node.retrying"
    NODE_INTERRUPTED = "node.interrupted"
    NODE_OVERRIDDEN = "node.overridden"
    NODE_CANCELLED = "node.cancelled"
    BRANCH_ENDED = "branch.ended"

    CIRCUIT_OPENED = "circuit.opened"
    CIRCUIT_PROBED = "circuit.probed"
    CIRCUIT_CLOSED = "circuit.closed"

    REQUEST_OPENED = "request.opened"
    REQUEST_CLAIMED = "request.claimed"
    REQUEST_RELEASED = "request.released"
    REQUEST_VOTED = "request.voted"
    REQUEST_ANSWERED = "request.answered"
    REQUEST_ESCALATED = "request.escalated"
    REQUEST_PASSED_ON = "request.passed_on"
    REQUEST_REASSIGNED = "request.reassigned"
    REQUEST_DELEGATED = "request.delegated"
    REQUEST_REMINDED = "request.reminded"
    REQUEST_UNDONE = "request.undone"
    REQUEST_SETTLED = "request.settled"
    REQUEST_QUESTIONED = "request.questioned"
    REQUEST_REPLIED = "request.replied"
    REQUEST_EXPIRED = "request.expired"
    REQUEST_WITHDRAWN = "request.withdrawn"

    NOTIFY_SENT = "notify.sent"
    NOTIFY_FAILED = "notify.failed"

    VERSION_REGISTERED = "version.registered"
    VERSION_DEPRECATED = "version.deprecated"
    VERSION_REMOVED = "version.removed"
    VERSION_RESTORED = "version.restored"
    VERSION_NOTICE = "version.notice"  # a run started on a deprecated version
    VERSION_MIGRATION = "version.migration"  # a migration between two versions was registered
    ALIAS_CHANGED = "alias.changed"
    ALIAS_REMOVED = "alias.removed"
