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
    ENGINE_CLOCK_JUMPED = "engine.clock_jumped"  # the clock went forward: a downtime
    ENGINE_CLOCK_CORRECTED = "engine.clock_corrected"  # the clock was ahead and was set back
    ENGINE_DRAINING = "engine.draining"
    ENGINE_UNDRAINED = "engine.undrained"
    WORKSPACE_LOADED = "workspace.loaded"
    WORKSPACE_TRUSTED = "workspace.trusted"
    DEPLOYMENT_APPLIED = "deployment.applied"

    SCHEDULE_ADDED = "schedule.added"
    SCHEDULE_CHANGED = "schedule.changed"
    SCHEDULE_REMOVED = "schedule.removed"
    SCHEDULE_PAUSED = "schedule.paused"
    SCHEDULE_RESUMED = "schedule.resumed"
    SCHEDULE_REOPENED = "schedule.reopened"  # fires of instants still to come have no outcome any more
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
    RUN_ENDING = "run.ending"  # a handler of its end begins
    RUN_HANDLER_FINISHED = "run.handler_finished"
    RUN_HANDLERS_SKIPPED = "run.handlers_skipped"  # an operator cancelled them
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
    VERSION_PRUNED = "version.pruned"
    VERSION_IN_FORCE = "version.in_force"
    VERSION_NOTICE = "version.notice"  # a run started on a deprecated version
    VERSION_MIGRATION = "version.migration"  # a migration between two versions was registered
    ALIAS_CHANGED = "alias.changed"
    ALIAS_REMOVED = "alias.removed"

    AUDIT_PRUNED = "audit.pruned"
    HISTORY_PRUNED = "history.pruned"  # runs and other history were deleted by the rules of retention
    RETENTION_CONFIRMED = "retention.confirmed"
    AUDIT_HEAD = "audit.head"  # the head of the audit chain was sent by a notification rule


NO_DECISIONS = frozenset(
    {
        EventKind.ENGINE_STARTED,
        EventKind.ENGINE_STOPPED,
        EventKind.WORKSPACE_LOADED,
        EventKind.FIRE_DECIDED,
        EventKind.BACKFILL_FINISHED,
        EventKind.RUN_STARTED,
        EventKind.RUN_WARNING,
        EventKind.RUN_ENDING,
        EventKind.RUN_HANDLER_FINISHED,
        EventKind.RUN_HANDLERS_SKIPPED,
        EventKind.NODE_STARTED,
        EventKind.NODE_COMPLETED,
        EventKind.NODE_FAILED,
        EventKind.NODE_RETRYING,
        EventKind.NODE_INTERRUPTED,
        EventKind.NODE_CANCELLED,
        EventKind.BRANCH_ENDED,
        EventKind.REQUEST_OPENED,
        EventKind.VERSION_REGISTERED,
        EventKind.VERSION_NOTICE,
        EventKind.VERSION_MIGRATION,
    }
)
"""Events that are not decisions, even if they name a person."""

ENGINE_DECISIONS = frozenset(
    {
        EventKind.AUDIT_PRUNED,
        EventKind.HISTORY_PRUNED,
        EventKind.REQUEST_ESCALATED,
        EventKind.REQUEST_EXPIRED,
        EventKind.REQUEST_PASSED_ON,
        EventKind.REQUEST_SETTLED,
        EventKind.REQUEST_WITHDRAWN,
    }
)
"""Events that are decisions even if the engine causes them: it ends a request, or changes its assignees."""


DETAILS = frozenset(
    {
        EventKind.WORKSPACE_LOADED,
        EventKind.RUN_STARTED,
        EventKind.RUN_ENDING,
        EventKind.NODE_STARTED,
        EventKind.NODE_COMPLETED,
        EventKind.NODE_INTERRUPTED,
        EventKind.NODE_CANCELLED,
        EventKind.BRANCH_ENDED,
        EventKind.CIRCUIT_PROBED,
        EventKind.REQUEST_REMINDED,
        EventKind.REQUEST_SETTLED,
        EventKind.NOTIFY_SENT,
        EventKind.VERSION_REGISTERED,
        EventKind.VERSION_MIGRATION,
        EventKind.AUDIT_HEAD,
    }
)
"""Events that a summary leaves out: another event reports their outcome. A fire with a run is left out too."""


def is_decision(kind: str, by_engine: bool) -> bool:
    """Return whether an event is a decision, which the audit chain records.

    Every event that a person caused is one, without those of `NO_DECISIONS`. `audit verify` applies this rule to
    stored events: a kind that was written by an earlier release must not become a decision.
    """
    return kind in ENGINE_DECISIONS if by_engine else kind not in NO_DECISIONS
