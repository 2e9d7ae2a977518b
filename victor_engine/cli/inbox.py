"""The command group `victor inbox`, which lists, shows and answers requests."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import click

from victor_engine.api import (
    ASKED_WORKFLOW,
    Port,
    RequestInfo,
    RequestQuery,
    RequestStatus,
    VoteInfo,
    held_text,
    is_self_approved,
    outcome_text,
    question_text,
    sides,
    source_text,
    start_text,
    unreachable_text,
    way_text,
)
from victor_engine.cli.audit import export_options, export_requests
from victor_engine.cli.inbox_actions import COMMANDS, json_option
from victor_engine.cli.output import local, note_cut, print_json, print_line, span, table, with_port
from victor_engine.cli.waiting import wait
from victor_engine.text import plain

STATUSES = tuple(RequestStatus)


@click.group()
def inbox() -> None:
    """List and answer requests to people."""


@inbox.command("list")
@click.option("--all", "everything", is_flag=True, help="Include closed requests.")
@click.option("--workflow", help="Only requests from this workflow.")
@click.option("--mine", is_flag=True, help="Only requests assigned to you by name, or claimed by you.")
@click.option("--groups", is_flag=True, help="Only requests assigned to you through a group or role.")
@click.option("--unclaimed", is_flag=True, help="Only requests without a claim.")
@click.option("--overdue", is_flag=True, help="Only requests past their deadline.")
@click.option("--limit", default=500, show_default=True, help="Maximum number of requests to list.")
@click.option("--offset", default=0, help="Number of requests to skip.")
@json_option
@click.pass_context
def list_(
    ctx: click.Context,
    everything: bool,
    workflow: str | None,
    mine: bool,
    groups: bool,
    unclaimed: bool,
    overdue: bool,
    limit: int,
    offset: int,
    as_json: bool,
) -> None:
    """List open requests, the most urgent first."""

    async def work(port: Port) -> None:
        now = (await port.engine()).now
        query = RequestQuery(
            statuses=STATUSES if everything else (RequestStatus.OPEN, "held"),
            workflow=workflow,
            limit=limit,
            offset=offset,
            asked=(*(("mine",) if mine else ()), *(("groups",) if groups else ())),
            unclaimed=unclaimed,
            due_before=now if overdue else None,
        )
        found = await port.requests(query)
        total = await port.request_count(query)
        if as_json:
            print_json(found)
            note_cut(len(found), total, offset)
            return
        rows = [
            (
                r.id,
                r.kind,
                _left(r, now),
                source_text(r),
                r.claimed_by or ", ".join(r.assignees) or "anyone",
                question_text(r),
            )
            for r in found
        ]
        empty = "no requests" if not total else ""
        table(("id", "kind", "left", "asked by", "for", "request"), rows, empty)
        note_cut(len(found), total, offset)

    with_port(ctx, "read", work)


def _left(request: RequestInfo, now: datetime) -> str:
    if request.settles_at is not None:
        return held_text(request, now) or outcome_text(request.outcome, request.answer)
    if request.status != RequestStatus.OPEN:
        return request.outcome or "-"
    if request.held_since is not None:
        return "held"
    return span((request.deadline - now).total_seconds()) if request.deadline is not None else "-"


def _show(request: RequestInfo, now: datetime) -> None:
    print_line(f"{request.title}  ({request.kind}, {request.status})")
    print_line(f"request  {request.id}, revision {request.revision}")
    if request.workflow == ASKED_WORKFLOW:
        print_line(f"asked    by {request.requested_by} from a shell (run {request.run_id})")
    else:
        print_line(
            f"run      {request.run_id} of {request.workflow} {request.version}, node {request.node_id}"
        )
    if request.started is not None and request.workflow != ASKED_WORKFLOW:
        print_line(f"started  {start_text(request.started).removeprefix('started ')}")
    if request.deadline is not None:
        print_line(f"deadline {local(request.deadline)}. {request.on_timeout_text}")
    if request.chain:
        stages = [f"[{name}]" if i == request.stage else name for i, name in enumerate(request.chain)]
        print_line(f"chain    {' -> '.join(stages)}")
    elif request.assignees:
        print_line(f"for      {', '.join(request.assignees)}")
    if note := unreachable_text(request):
        print_line(f"note     {note}")
    if request.required_approvals > 1:
        print_line(
            f"needs    {request.required_approvals} approvals (reject_policy: {request.reject_policy})"
        )
    for side in sides(request):
        print_line(f"votes    {side.text} ({', '.join(vote.actor.user for vote in side.voters)})")
    for change in request.handovers:
        note = f": {change.note}" if change.note else ""
        by = f"{change.kind.replace('_', ' ')} by {change.actor.shown} at {local(change.at)}"
        print_line(f"{by} to {', '.join(change.to)}{note}")
    if request.claimed_by:
        print_line(f"claimed  by {request.claimed_by}")
    print_line()
    print_line(plain(request.prompt))
    if request.ways:
        print_line()
    for way in request.ways:
        print_line(way_text(way))
    for key, value in request.context.items():
        print_line(f"\n{key}: {json.dumps(value, indent=2, ensure_ascii=False)}")
    for choice in request.choices:
        more = f": {choice.description}" if choice.description else ""
        print_line(f"  - {choice.value}  {choice.label if choice.label != choice.value else ''}{more}")
    if request.input_schema is not None:
        print_line(f"\nJSON schema of the answer: {json.dumps(request.input_schema)}")
    for message in request.messages:
        print_line(f"\n{message.kind} by {message.actor.shown} at {local(message.at)}: {message.text}")
    if request.held_since is not None:
        print_line("the deadline is suspended until the requester replies")
    deciding = _only_vote(request)
    for vote in request.votes:
        if vote is deciding:
            continue  # it is the answer below
        undone = ", undone" if vote.undone else ""
        comment = f": {vote.comment}" if vote.comment else ""
        print_line(
            f"\n{outcome_text(vote.outcome, vote.value)} by {vote.actor.shown} at {local(vote.at)}{undone}{comment}"
        )
    if request.can_go_back_to:
        print_line(f"\ncan be pushed back to: {', '.join(request.can_go_back_to)}")
    if request.outcome is not None:
        by = f" by {request.answered_by.shown}" if request.answered_by else ""
        if is_self_approved(request):
            by += " (self-approved)"
        comment = f": {deciding.comment}" if deciding is not None and deciding.comment else ""
        print_line(
            f"\n{request.outcome}{by} at {local(request.answered_at)}: {json.dumps(request.answer)}{comment}"
        )
    if held := held_text(request, now):
        print_line(held)


def _only_vote(request: RequestInfo) -> VoteInfo | None:
    """Return the vote that alone decided a request; None if it is open, or several people voted."""
    votes = [vote for vote in request.votes if not vote.undone]
    return votes[0] if request.outcome is not None and len(votes) == 1 else None


@inbox.command("show")
@click.argument("request")
@json_option
@click.pass_context
def show(ctx: click.Context, request: str, as_json: bool) -> None:
    """Show one request with its prompt, context, votes and messages."""

    async def work(port: Port) -> None:
        found = await port.request(request)
        print_json(found) if as_json else _show(found, (await port.engine()).now)

    with_port(ctx, "read", work)


@inbox.command("history")
@click.option("--limit", default=50, show_default=True, help="Maximum number of requests to list.")
@click.option("--offset", default=0, help="Number of requests to skip.")
@click.option("--workflow", help="Only requests from this workflow.")
@json_option
@click.pass_context
def history(ctx: click.Context, limit: int, offset: int, workflow: str | None, as_json: bool) -> None:
    """List closed requests with their outcomes."""
    query = RequestQuery(statuses=STATUSES[1:], workflow=workflow, limit=limit, offset=offset)

    async def work(port: Port) -> None:
        found = await port.requests(query)
        total = await port.request_count(query)
        if as_json:
            print_json(found)
            note_cut(len(found), total, offset)
            return
        rows = [
            (r.id, local(r.answered_at), r.answered_by.user if r.answered_by else "-", r.outcome or "-", r.title,
             r.comment) for r in found
        ]  # fmt: skip
        table(
            ("id", "when", "by", "outcome", "request", "comment"),
            rows,
            "" if total else "no closed requests",
        )
        note_cut(len(found), total, offset)

    with_port(ctx, "read", work)


@inbox.command("audit")
@export_options
@click.pass_context
def audit(ctx: click.Context, /, **selection: Any) -> None:
    """Export the audit trail of requests; an alias of `victor audit export`."""
    export_requests(ctx, **selection)


for command in (*COMMANDS, wait):
    inbox.add_command(command)
