"""The texts of messages whose rule gives none."""

from __future__ import annotations

TITLES = {
    "new": "{workflow}: {title}",
    "reminder": "Reminder, {left} left: {workflow}: {title}",
    "escalated": "Escalated to {assignees}: {workflow}: {title}",
    "expired": "Expired ({outcome}): {workflow}: {title}",
    "reassigned": "Assigned to {assignees}: {workflow}: {title}",
    "question": "Question by {by} to {assignees}: {workflow}: {title}",
    "replied": "Reply by {by}: {workflow}: {title}",
    "answered": "{outcome} by {by}: {workflow}: {title}",
    "withdrawn": "Withdrawn by {by}: {workflow}: {title}",
    "sla": "Expectation not met: {workflow}",
    "failed": "Failed: {workflow}",
    "quarantine": "Quarantined: {workflow}",
    "deprecated": "Started on a deprecated version: {workflow}",
    "storage": "{title}",
    "clock": "{title}",
    "audit": "{title}",
    "heartbeat": "{title}",
}
ASKED = (
    "{message}{prompt}\n\nA request of kind {kind} at {node} in run {run} on {host}, for {assignees}.\n"
    "Deadline: {deadline}. {on_timeout}\n"
    "victor inbox show {request}"
)
RAN = "{message}Run {run} on {host}.\nvictor runs show {run}"
