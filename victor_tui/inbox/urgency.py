"""The urgency of a request, and the order of requests by urgency."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from victor_engine.api import RequestInfo, RequestStatus
from victor_tui.theme import Tone

URGENT_SECONDS = 300.0
"""Remaining time below which a request is urgent."""
SOON_SECONDS = 1800.0
"""Remaining time below which a request is due soon."""
_NEVER = datetime.max.replace(tzinfo=UTC)


def urgency(request: RequestInfo, now: datetime) -> Tone:
    """Return `bad` for urgent, `warn` for soon, `wait` for later, and `dim` for decided requests."""
    if request.status != RequestStatus.OPEN:
        return "dim"
    return deadline_tone(request.deadline, now)


def deadline_tone(deadline: datetime | None, now: datetime) -> Tone:
    """Return the tone of an open request with a deadline: `bad`, `warn` or `wait`."""
    if deadline is None:
        return "wait"
    left = (deadline - now).total_seconds()
    return "bad" if left < URGENT_SECONDS else "warn" if left < SOON_SECONDS else "wait"


def urgency_order(request: RequestInfo) -> tuple[bool, datetime, int, datetime]:
    """Return the sort key: open first, then deadline, then priority, then age."""
    return (
        request.status != RequestStatus.OPEN,
        request.deadline or _NEVER,
        -request.priority,
        request.created_at,
    )


def inbox_order(request: RequestInfo) -> tuple[bool, bool, datetime, int, datetime]:
    """Return the sort key: answers that can still be undone first, then by urgency."""
    return request.settles_at is None, *urgency_order(request)


def most_urgent(requests: Iterable[RequestInfo]) -> RequestInfo | None:
    """Return the most urgent open request, or None."""
    return min((r for r in requests if r.status == RequestStatus.OPEN), key=urgency_order, default=None)
