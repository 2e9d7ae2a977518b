"""The header of the screen of one run, and the summaries of its panes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Any

from textual.content import Content

from victor_engine.api import (
    AttemptInfo,
    RequestInfo,
    RequestStatus,
    RunInfo,
    handler_failures,
    handler_text,
    run_seconds,
)
from victor_tui.runs.columns import active_nodes, is_late, is_stuck
from victor_tui.runs.log_view import LogLines
from victor_tui.text import clean, duration, full, moment, one_line, word
from victor_tui.theme import kind_mark, node_mark, run_mark, stuck_mark
from victor_tui.widgets.graph import toned


def head(
    run: RunInfo, now: datetime, zone: tzinfo | None, outputs: Mapping[str, Any] | None = None
) -> Content:
    """Return at most three lines: the run, its status, and its activity, wait, error or outputs."""
    stuck, late = is_stuck(run, now), is_late(run, now)
    mark = stuck_mark() if stuck else run_mark(run.status)
    usual = f" (usually {duration(run.typical_seconds)})" if run.typical_seconds else ""
    parts: list[tuple[str, str]] = [
        (f" {clean(run.workflow)} ", "bold"),
        (clean(run.version), "$foreground-muted"),
        (f"  {mark.text}", toned(mark.tone)),
        (f"  {duration(run_seconds(run, now))}", "$text-warning" if late else "$foreground"),
        (f"{usual}", "$foreground-muted"),
        (f"\n {run.id}  {clean(run.trigger)} by {clean(run.started_by)}", "$foreground-muted"),
        (f"  {full(run.created_at, zone)}", "$foreground-muted"),
    ]
    if run.nominal is not None and run.trigger != "schedule":
        parts.append((f"  for {moment(run.nominal, now, zone)}", "$foreground-muted"))
    if run.parent_run is not None:
        relation = "rerun of" if run.trigger == "rerun" else "part of"
        parts.append((f"  {relation} {run.parent_run}", "$text-accent"))
    if run.dead_letter:
        parts.append(("  dead letter", "$text-error"))
    if run.deprecated:
        parts.append((f"\n ! {clean(run.version)} is deprecated: {clean(run.deprecated)}", "$text-warning"))
    failures = "; ".join(clean(line) for line in handler_failures(run))
    if run.handler:
        parts.append((f"\n ⋯ executes {clean(handler_text(run))}", "$text-primary"))
    if run.error is not None:
        where = f" in {clean(run.error.node_id)}" if run.error.node_id else ""
        lead = "  " if run.handler else "\n "
        parts.append((f"{lead}✗ {clean(run.error.type)}{where}: {clean(run.error.message)}", "$text-error"))
        if failures:
            parts.append((f"  ! {failures}", "$text-warning"))
    elif failures:
        parts.append((f"\n ! {failures}", "$text-warning"))
    elif run.quarantine:
        parts.append((f"\n ✗ {clean(run.quarantine)}", "$text-error"))
    elif run.waits_for and not run.handler:
        parts.append((f"\n ◆ waits for {clean(run.waits_for)}", "$text-accent"))
    elif run.current and not run.handler:
        since = f", since {moment(run.since, now, zone)}" if run.since is not None else ""
        style = "$text-error" if stuck else "$text-primary"
        parts.append((f"\n {mark.glyph} at {clean(active_nodes(run, now))}{since}", style))
    elif outputs:
        listed = ", ".join(f"{name}: {word(value)}" for name, value in outputs.items())
        parts.append((f"\n → {one_line(listed, 300)}", "$text-accent"))
    return Content.assemble(*parts)


def attempt_facts(attempt: AttemptInfo | None) -> Content:
    """Return one line about an attempt: its binding or error, its branch and its child run."""
    if attempt is None:
        return Content.styled(" waiting for a free slot", "$foreground-muted")
    mark = node_mark(attempt.status)
    parts: list[tuple[str, str]] = [(f" {mark.text} ", toned(mark.tone))]
    if attempt.error is not None:
        parts.append((f"{clean(attempt.error.type)}: {clean(attempt.error.message)}", "$text-error"))
    else:
        parts.append((clean(attempt.binding), "$foreground-muted"))
    if attempt.took_branch:
        parts.append((f" → {clean(attempt.took_branch)}", "$text-accent"))
    if attempt.child_run:
        parts.append((f" ⤷ {attempt.child_run}", "$text-accent"))
    return Content.assemble(*parts)


def log_facts(log: LogLines) -> Content:
    """Return one line about a log: follow mode, node and current match."""
    parts: list[tuple[str, str]] = [
        (" following new lines" if log.follow else " f follows new lines", "$foreground-muted"),
        (f"  only {clean(log.node)}" if log.node else "  o one node only", "$foreground-muted"),
    ]
    if log.search:
        number = "–" if log.match is None else f"{log.match + 1:,}"
        words = f"  /{clean(log.search)}  {number} of {len(log.matches):,}, n N"
        parts = [(words, "$text-accent"), *parts]
    return Content.assemble(*parts)


def questions(requests: Sequence[RequestInfo], zone: tzinfo | None) -> list[Content]:
    """Return the requests of a run with their answers."""
    lines: list[Content] = []
    for request in requests:
        mark = kind_mark(request.kind)
        lines.append(
            Content.assemble(
                (f" {mark.glyph} ", toned("wait" if request.status == RequestStatus.OPEN else "dim")),
                (clean(request.title), "bold"),
                (f"  {request.status}", "$foreground-muted"),
            )
        )
        if request.outcome is not None:
            who = request.answered_by.user if request.answered_by else "no one"
            when = full(request.answered_at, zone) if request.answered_at else ""
            words = f"   {clean(request.outcome)} by {clean(who)}, {when}"
            lines.append(Content.styled(words, "$foreground-muted"))
        if request.comment:
            lines.append(Content.styled(f"   “{clean(request.comment)}”", "italic"))
    return lines or [Content.styled(" no questions", "$foreground-muted")]
