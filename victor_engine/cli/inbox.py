"""`victor inbox`: questions to people, listed, shown and answered."""

from __future__ import annotations

import json
import os
from typing import Any

import click
from msgspec import UNSET

from victor_engine.api import Answer, Port, RequestInfo, RequestQuery
from victor_engine.cli.output import local, note, print_json, say, span, table, with_port
from victor_engine.errors import ConflictError, UsageError
from victor_engine.hitl.text import plain

json_option = click.option("--json", "as_json", is_flag=True, help="JSON for scripts.")


@click.group()
def inbox() -> None:
    """Questions that workflows put to people."""


@inbox.command("list")
@click.option("--all", "everything", is_flag=True, help="Also what was decided.")
@click.option("--workflow")
@json_option
@click.pass_context
def list_(ctx: click.Context, everything: bool, workflow: str | None, as_json: bool) -> None:
    """Open questions, the most urgent first."""
    statuses = ("open", "answered", "expired", "withdrawn") if everything else ("open",)
    query = RequestQuery(statuses=statuses, workflow=workflow)

    async def work(port: Port) -> None:
        found = await port.requests(query)
        if as_json:
            print_json(found)
            return
        now = (await port.engine()).now
        rows = [
            (
                r.id,
                r.kind,
                span((r.deadline - now).total_seconds())
                if r.deadline and r.status == "open"
                else r.outcome or "-",
                f"{r.workflow} / {r.node_id}",
                r.claimed_by or ", ".join(r.assignees) or "anyone",
                r.title,
            )
            for r in found
        ]
        table(("id", "kind", "left", "asked by", "for", "question"), rows, "nobody is asked anything")

    with_port(ctx, "read", work)


def _show(request: RequestInfo) -> None:
    say(f"{request.title}  ({request.kind}, {request.status})")
    say(f"request  {request.id}, revision {request.revision}")
    say(f"run      {request.run_id} of {request.workflow} {request.version}, node {request.node_id}")
    if request.deadline is not None:
        say(f"deadline {local(request.deadline)}. {request.on_timeout_text}")
    say()
    say(plain(request.prompt))
    for key, value in request.context.items():
        say(f"\n{key}: {json.dumps(value, indent=2, ensure_ascii=False)}")
    for choice in request.choices:
        more = f": {choice.description}" if choice.description else ""
        say(f"  - {choice.value}  {choice.label if choice.label != choice.value else ''}{more}")
    if request.input_schema is not None:
        say(f"\nthe answer must fit: {json.dumps(request.input_schema)}")
    if request.outcome is not None:
        who = request.answered_by.user if request.answered_by else "nobody"
        say(f"\n{request.outcome} by {who} at {local(request.answered_at)}: {json.dumps(request.answer)}")


@inbox.command("show")
@click.argument("request")
@json_option
@click.pass_context
def show(ctx: click.Context, request: str, as_json: bool) -> None:
    """One question whole, as it was put."""

    async def work(port: Port) -> None:
        found = await port.request(request)
        print_json(found) if as_json else _show(found)

    with_port(ctx, "read", work)


def answer_from_words(request: RequestInfo, words: str | None, value: str | None, comment: str) -> Answer:
    """approve, reject, a choice, a text, or JSON; UsageError if that answers nothing of this kind."""
    given: Any = UNSET
    if value is not None:
        try:
            given = json.loads(value)
        except json.JSONDecodeError as error:
            raise UsageError(f"--value is not valid JSON: {error.msg} at column {error.colno}") from None
    word = (words or "").strip()
    lower = word.lower()
    picks = bool(request.choices) and request.kind != "override"
    if not picks and request.kind in ("approval", "confirmation", "review"):
        if lower in ("approve", "approved", "yes", "y"):
            return Answer(outcome="approved", value=given, comment=comment)
        if lower in ("reject", "rejected", "no", "n"):
            return Answer(outcome="rejected", value=given, comment=comment)
        raise UsageError(f"{request.kind} {request.id} is answered with approve or reject, not {word!r}")
    if request.kind == "override" and lower in ("accept", "accepted", "approve") and given is UNSET:
        return Answer(outcome="approved", comment=comment)
    if given is UNSET:
        if not word:
            raise UsageError("say what the answer is: a value, or --value JSON")
        given = _plain_value(request, word)
    return Answer(outcome="answered", value=given, comment=comment)


def _plain_value(request: RequestInfo, word: str) -> Any:
    """A word from the command line; for a form, JSON is meant."""
    if request.multiple:
        return [part.strip() for part in word.split(",")]
    if request.input_schema is not None and not request.choices:
        try:
            return json.loads(word)
        except json.JSONDecodeError:
            return word
    return word


@inbox.command("answer")
@click.argument("request")
@click.argument("answer", required=False)
@click.option(
    "--value", metavar="JSON", help="The answer as JSON: a form's object, a list of choices, a document."
)
@click.option("--comment", default="")
@click.option("--if-revision", type=int, help="Only if the question has not changed since this revision.")
@json_option
@click.pass_context
def answer(
    ctx: click.Context,
    request: str,
    answer: str | None,
    value: str | None,
    comment: str,
    if_revision: int | None,
    as_json: bool,
) -> None:
    """Answer REQUEST: approve, reject, a choice, a text, or --value JSON."""

    async def work(port: Port) -> None:
        found = await port.request(request)
        if if_revision is not None and found.status == "open" and found.revision != if_revision:
            raise ConflictError(f"request {found.id} is at revision {found.revision}, not {if_revision}")
        words = (
            Answer(outcome="approved")
            if found.status != "open"
            else answer_from_words(found, answer, value, comment)
        )
        done = await port.answer(found.id, found.revision, words)
        if as_json:
            print_json(done)
        elif done.status == "open":
            say(f"your vote counts: {len(done.votes)} of {done.required_approvals} for {done.title}")
        else:
            say(f"{done.outcome}: {done.title} (run {done.run_id})")
            if (await port.engine()).pid == os.getpid():
                note("no engine runs: the run goes on when one is started (victor scheduler start)")

    with_port(ctx, "oneshot", work)


@inbox.command("claim")
@click.argument("request")
@click.pass_context
def claim(ctx: click.Context, request: str) -> None:
    """Tell the others that you are on it."""

    async def work(port: Port) -> None:
        say(f"claimed: {(await port.claim(request)).title}")

    with_port(ctx, "oneshot", work)


@inbox.command("release")
@click.argument("request")
@click.pass_context
def release(ctx: click.Context, request: str) -> None:
    """Give a claim back."""

    async def work(port: Port) -> None:
        say(f"released: {(await port.release(request)).title}")

    with_port(ctx, "oneshot", work)


@inbox.command("history")
@click.option("--limit", default=50)
@json_option
@click.pass_context
def history(ctx: click.Context, limit: int, as_json: bool) -> None:
    """What was decided, by whom, when."""
    query = RequestQuery(statuses=("answered", "expired", "withdrawn"), limit=limit)

    async def work(port: Port) -> None:
        found = await port.requests(query)
        if as_json:
            print_json(found)
            return
        rows = [
            (r.id, local(r.answered_at), r.answered_by.user if r.answered_by else "-", r.outcome or "-", r.title,
             r.comment) for r in found
        ]  # fmt: skip
        table(("id", "when", "who", "outcome", "question", "comment"), rows, "nothing was decided yet")

    with_port(ctx, "read", work)
