"""The columns of the inbox: remaining time, kind, question, workflow, people, age and run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from victor_engine.api import RequestInfo, RequestStatus, held_text, is_held, question_text, sides
from victor_tui.inbox.urgency import inbox_order, urgency
from victor_tui.text import countdown, relative
from victor_tui.theme import Tone, kind_mark
from victor_tui.widgets.columns import Cell, Column

OUTCOME_TONES: dict[str, Tone] = {
    "approved": "ok",
    "answered": "ok",
    "accepted": "ok",
    "overridden": "ok",
    "rejected": "warn",
    "pushed_back": "warn",
    "timed_out": "bad",
    "withdrawn": "dim",
}


def left_cell(request: RequestInfo, now: datetime) -> Cell:
    """Return the remaining time with a sign of its urgency, or the outcome of a decided request."""
    if is_held(request, now):
        return f"↶ {countdown(request.settles_at or now, now):>8}", "busy"
    if request.status != RequestStatus.OPEN:
        outcome = request.outcome or request.status
        return outcome.replace("_", " "), OUTCOME_TONES.get(outcome, "dim")
    if request.held_since is not None:
        return "‖ question", "busy"
    if request.deadline is None:
        return "  no limit", "dim"
    tone = urgency(request, now)
    sign = {"bad": "!!", "warn": "! "}.get(tone, "  ")
    return f"{sign}{countdown(request.deadline, now):>8}", tone


def kind_cell(request: RequestInfo, now: datetime) -> Cell:
    mark = kind_mark(request.kind)
    return mark.glyph, mark.tone


def votes_text(request: RequestInfo) -> str:
    """Return the votes of each side, `1/2`, with a mark of rejections, `1/2 ✗1/2`; empty if one person decides."""
    if request.required_approvals < 2:
        return ""
    found = [
        f"{'✗' if side.outcome == 'rejected' else ''}{len(side.voters)}/{side.needed}"
        for side in sides(request)
    ]
    return " ".join(found) or f"0/{request.required_approvals}"


def question_cell(request: RequestInfo, now: datetime) -> Cell:
    """Return the question; before it, the answer that is not in force yet."""
    if is_held(request, now):
        return f"{held_text(request, now)} · {question_text(request)}", "busy"
    return question_text(request), "head"


def viewers_text(request: RequestInfo) -> str:
    """Return the other users who have a request open: `ana is looking`; empty without any."""
    if not request.viewers:
        return ""
    names = ", ".join(request.viewers[:3]) + (" and others" if len(request.viewers) > 3 else "")
    return f"◎ {names} {'is' if len(request.viewers) == 1 else 'are'} looking"


def who_cell(request: RequestInfo, now: datetime) -> Cell:
    """Return the user who answered; or the votes, the claim and the assignees."""
    if request.answered_by is not None:
        return request.answered_by.user, "plain"
    votes = votes_text(request)
    if request.claimed_by:
        return f"{votes} @ {request.claimed_by}".strip(), "busy"
    if request.viewers:
        return f"{votes} ◎ {', '.join(request.viewers)}".strip(), "busy"
    asked = ", ".join(request.assignees) or "anyone"
    return f"{votes} {asked}".strip(), "plain" if request.asked_as in ("name", "group") else "dim"


def age_cell(request: RequestInfo, now: datetime) -> Cell:
    return relative(request.created_at, now), "dim"


def inbox_columns(group: Callable[[RequestInfo, datetime], Cell]) -> list[Column[RequestInfo]]:
    """Return the columns. `group` returns the cell of the workflow, which is the heading of a group."""
    return [
        Column("left", "Time left", 12, left_cell, inbox_order, 0, live=True),
        Column("kind", "Kind", 6, kind_cell, lambda q: q.kind, 2),
        Column("title", "Question", 32, question_cell, question_text, 0, 3, live=True),
        Column("workflow", "Workflow", 11, group, lambda q: (q.workflow, inbox_order(q)), 1, 1),
        Column("who", "For", 7, who_cell, None, 1, 1),
        Column("age", "Asked", 8, age_cell, lambda q: q.created_at, 3, live=True),
        Column("run", "Run", 13, lambda q, _: (q.run_id, "dim"), lambda q: q.run_id, 4),
    ]
