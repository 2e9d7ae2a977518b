"""The texts about requests that the console and the command line share."""

from __future__ import annotations

import json
import math
import re
from datetime import datetime
from typing import Any

from victor_engine.api.people import ASKED_WORKFLOW, RequestInfo, StartInfo, WayInfo

_NAMED = 2
"""The number of nodes, and of conditions, that a line about a way names."""
_ANSWERS = 4
"""The number of answers that a line about a way names."""
_VALUE_LENGTH = 60
"""Maximum length of a value in a line about an answer, in characters."""


_LOOKED_AT = 2000
"""The number of characters of a prompt in which its first line is searched."""
_LINE_MARKS = re.compile(r"^(?:[#>\s]+|[-*+]\s+|\d+[.)]\s+)+")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_EMPHASIS = re.compile(r"\*\*|__|`|(?<!\w)[*_](?=\S)|(?<=\S)[*_](?!\w)")
_NO_TEXT = re.compile(r"[\s`~=|:*_#>+-]*\Z")
_GENERIC = re.compile(r"\w+ is required to continue\.\Z")
"""The prompt of a node without one."""


def first_line(prompt: str) -> str:
    """Return the first line of a prompt (Markdown) that has text, without its marks."""
    for line in prompt[:_LOOKED_AT].splitlines():
        if not _NO_TEXT.match(line):
            return _EMPHASIS.sub("", _LINK.sub(r"\1", _LINE_MARKS.sub("", line))).strip()
    return ""


def question_text(request: RequestInfo) -> str:
    """Return the title and the first line of the prompt for a list; only one of them if it tells both."""
    title, line = request.title.strip(), first_line(request.prompt)
    if not line or _GENERIC.match(line):
        return title
    named = title.lower() != f"{request.kind}: {request.node_id}".lower()
    return f"{title} · {line}" if named and title.lower() not in line.lower() else line


def source_text(request: RequestInfo) -> str:
    """Return what asked: the workflow and its node, or the user for a question from a shell."""
    if request.workflow == ASKED_WORKFLOW:
        return f"{request.requested_by} from a shell"
    return f"{request.workflow} / {request.node_id}"


def is_self_approved(request: RequestInfo) -> bool:
    """Return whether the user who asked from a shell has approved the question."""
    by = request.answered_by
    asked = request.workflow == ASKED_WORKFLOW
    return asked and request.outcome == "approved" and by is not None and by.user == request.requested_by


def value_text(value: Any) -> str:
    """Return a value on one line: texts unchanged, other values as JSON."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = " ".join(text.split())
    return text if len(text) <= _VALUE_LENGTH else text[: _VALUE_LENGTH - 1] + "…"


def outcome_text(outcome: str | None, value: Any) -> str:
    """Return an outcome, with the value if the outcome does not tell it: `approved`, `answered prod`."""
    words = (outcome or "").replace("_", " ")
    return f"{words} {value_text(value)}" if outcome in ("answered", "overridden") else words


def unreachable_text(request: RequestInfo) -> str:
    """Return a warning with the assignees that cannot connect to the engine; empty if all can."""
    if not request.unreachable:
        return ""
    return f"{', '.join(request.unreachable)} cannot connect to this engine; check the name, permissions and socket"


def is_held(request: RequestInfo, now: datetime) -> bool:
    """Return whether the answer of a request can still be undone."""
    return request.settles_at is not None and request.settles_at > now


def held_text(request: RequestInfo, now: datetime) -> str:
    """Return who gave an answer that is not in force yet: `approved by ana, in force in 4 s`; else an empty text."""
    if request.settles_at is None or request.settles_at <= now:
        return ""
    by = request.answered_by.user if request.answered_by else "no one"
    return (
        f"{outcome_text(request.outcome, request.answer)} by {by}, {settling_text(request.settles_at, now)}"
    )


def settling_text(settles_at: datetime, now: datetime) -> str:
    """Return when an answer that can be undone takes effect: `in force in 4 s`."""
    seconds = max(0, math.ceil((settles_at - now).total_seconds()))
    return f"in force in {f'{seconds} s' if seconds < 120 else f'{seconds // 60} min'}"


def way_text(way: WayInfo) -> str:
    """Return what some answers lead to: `approve -> roll_out, health_check, 3 more`."""
    more = len(way.nodes) - _NAMED
    parts = [*way.nodes[:_NAMED], *([f"{more} more"] if more > 0 else [])]
    if way.depends:
        shown = [value_text(each) for each in way.depends[:_NAMED]]
        shown += [f"{len(way.depends) - _NAMED} more"] if len(way.depends) > _NAMED else []
        parts.append(("then " if parts else "") + f"depends on {' and '.join(shown)}")
    if way.ends:
        parts.append(way.ends)
    answers = ", ".join(way.answers[:_ANSWERS]) + (", …" if len(way.answers) > _ANSWERS else "")
    return f"{answers} -> {', '.join(parts)}"


def start_text(start: StartInfo) -> str:
    """Return who or what started a run, with the note and the parent run."""
    words = {
        "schedule": "started by schedule",
        "backfill": "started by a backfill of",
        "upstream": "started after other workflows by",
    }.get(start.trigger, "started by")
    text = f"{words} {start.by}"
    if start.parent_run:
        kind = "rerun of" if start.trigger == "rerun" else "child of"
        text += f", {kind} run {start.parent_run} of {start.parent_workflow}"
        text += f", node {start.parent_node}" if start.parent_node else ""
    return f"{text}: {start.note}" if start.note else text
