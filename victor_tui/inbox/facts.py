"""The preview of a request: facts that depend on the time, and the rest."""

from __future__ import annotations

import json
import re
from datetime import datetime, tzinfo
from typing import Any

from rich.markdown import Markdown
from rich.padding import Padding

from victor_engine.api import (
    ASKED_WORKFLOW,
    RequestInfo,
    RequestStatus,
    held_text,
    is_held,
    is_self_approved,
    outcome_text,
    sides,
    source_text,
)
from victor_tui.inbox.columns import OUTCOME_TONES, viewers_text, votes_text
from victor_tui.inbox.question_view import chain_words
from victor_tui.inbox.urgency import urgency
from victor_tui.text import clean_lines, countdown, full, relative
from victor_tui.theme import kind_mark
from victor_tui.widgets.preview import Facts

_PROMPT_LIMIT = 6000
"""Maximum length of a prompt in the preview, in characters. The dialog shows all."""
_HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)


def value_words(value: Any) -> str:
    """Return a text unchanged, and any other value as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def prompt_markdown(prompt: str) -> str:
    """Return a prompt as Markdown with visible control characters, and with headings as bold lines."""
    text = prompt if len(prompt) <= _PROMPT_LIMIT else prompt[:_PROMPT_LIMIT] + "\n\n…"
    return _HEADING.sub(lambda match: f"**{match[1].replace('**', '')}**\n", clean_lines(text))


def head_facts(facts: Facts, request: RequestInfo, now: datetime, zone: tzinfo | None) -> Facts:
    """Return kind, workflow, deadline, the action on a timeout, and the people of a request."""
    mark = kind_mark(request.kind)
    facts.title(request.title)
    asked = request.workflow == ASKED_WORKFLOW
    origin = f"asked by {source_text(request)}" if asked else f"{request.workflow} {request.version}"
    facts.line(
        (f"{mark.text}  ", mark.tone),
        (origin, "plain"),
        (f" · run {request.run_id}" if asked else f" · {request.node_id} · run {request.run_id}", "dim"),
    )
    if request.status != RequestStatus.OPEN:
        _decision(facts, request, now, zone)
    elif request.held_since is not None:
        facts.line(("‖ waiting for the requester: the deadline is paused", "busy"), ("  m replies", "dim"))
    elif request.deadline is not None:
        facts.line(
            (f"{countdown(request.deadline, now)} left", urgency(request, now)),
            (f"  until {full(request.deadline, zone)}", "dim"),
        )
    waits = request.deadline is not None or request.held_since is not None
    if request.status == RequestStatus.OPEN and waits:  # without a deadline, nothing happens by itself
        facts.text(request.on_timeout_text, "dim")
    _people(facts, request, now)
    return facts


def _decision(facts: Facts, request: RequestInfo, now: datetime, zone: tzinfo | None) -> None:
    who = request.answered_by.shown if request.answered_by else "no one"
    when = full(request.answered_at, zone) if request.answered_at else ""
    outcome = (request.outcome or request.status).replace("_", " ")
    if is_held(request, now):
        facts.line((f"↶ {held_text(request, now)}", "busy"))
    itself = (" (self-approved)", "warn") if is_self_approved(request) else ("", "plain")
    facts.line(
        (outcome, OUTCOME_TONES.get(request.outcome or "", "dim")),
        (f" by {who}", "dim"),
        itself,
        (f"  {when}", "dim"),
    )
    facts.fact("sent back to", request.pushed_back_to)
    facts.fact("answer", None if request.answer is None else value_words(request.answer))
    facts.fact("comment", request.comment)


def _people(facts: Facts, request: RequestInfo, now: datetime) -> None:
    if votes := votes_text(request):
        facts.fact("votes", ", ".join(side.text for side in sides(request)) or votes, "wait")
    for vote in request.votes:
        comment = f": {vote.comment}" if vote.comment else ""
        undone = ", undone" if vote.undone else ""
        outcome = outcome_text(vote.outcome, vote.value)
        facts.fact("vote", f"{outcome}{undone} by {vote.actor.shown} {relative(vote.at, now)}{comment}")
    facts.fact("claimed by", request.claimed_by, "busy")
    if looking := viewers_text(request):
        facts.line((looking, "busy"))
    if request.chain:
        facts.fact("in turn", chain_words(request))
    else:
        facts.fact("assigned to", ", ".join(request.assignees))


def body_facts(facts: Facts, request: RequestInfo) -> Facts:
    """Return the prompt, the messages, the choices and the recommendation of a request."""
    facts.block(Padding(Markdown(prompt_markdown(request.prompt), hyperlinks=False), (1, 0, 0, 0)))
    for message in request.messages:
        sign = "?" if message.kind == "question" else "↳"
        facts.line((f"{sign} {message.actor.user}: ", "busy"), (message.text, "plain"))
    for choice in request.choices:
        facts.line((f"• {choice.label}", "key"), (f"  {choice.description}", "dim"))
    if request.recommendation is not None:
        facts.fact("recommended", value_words(request.recommendation))
    return facts
