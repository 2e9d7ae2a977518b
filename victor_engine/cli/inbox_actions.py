"""The commands of `victor inbox` that act on one request."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import click
from msgspec import UNSET

from victor_engine import jsonio
from victor_engine.api import Answer, Port, RequestInfo, RequestStatus, counted_text, unreachable_text
from victor_engine.cli.output import local, print_json, print_line, print_note, with_port
from victor_engine.errors import ConflictError, UsageError
from victor_engine.identity import user_name

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
revision_option = click.option(
    "--if-revision", type=int, help="Only if the request is still at this revision."
)
note_option = click.option("--note", default="", help="Note for the audit trail.")


def answer_from_arguments(request: RequestInfo, words: str | None, value: str | None, comment: str) -> Answer:
    """Return the answer that the arguments of `victor inbox answer` give.

    `words` is `approve`, `reject`, a choice or a text; `value` is JSON. Raise UsageError if they do not answer
    a request of this kind.
    """
    given: Any = UNSET
    if value is not None:
        try:
            given = json.loads(value)
            jsonio.check_depth(value)
        except json.JSONDecodeError as error:
            raise UsageError(f"--value is not valid JSON: {error.msg} at column {error.colno}") from None
        except (ValueError, RecursionError) as error:
            raise UsageError(f"--value is not accepted: {error}") from None
    word = (words or "").strip()
    lower = word.lower()
    picks = bool(request.choices) and request.kind != "override"
    if not picks and request.kind in ("approval", "confirmation", "review"):
        if lower in ("approve", "approved", "yes", "y"):
            return Answer(outcome="approved", value=given, comment=comment)
        if lower in ("reject", "rejected", "no", "n"):
            return Answer(outcome="rejected", value=given, comment=comment)
        raise UsageError(f"{request.kind} {request.id} must be answered with approve or reject, not {word!r}")
    if request.kind == "override" and lower in ("accept", "accepted", "approve") and given is UNSET:
        return Answer(outcome="approved", comment=comment)
    # Imported only for an answer that needs it: the package takes half of the time of a command that lists requests.
    from victor_engine.definition.secret_fields import secret_fields

    secret = secret_fields(request.input_schema) if not picks else ()
    if given is UNSET:
        if not word and not secret:
            raise UsageError("the answer is missing: give a value, or --value JSON")
        if word:
            given = _plain_value(request, word)
    if secret:
        given = _with_typed_secrets(secret, given, request)
    return Answer(outcome="answered", value=given, comment=comment)


def _with_typed_secrets(fields: tuple[str, ...], given: Any, request: RequestInfo) -> Any:
    """Return the answer with the secret fields that it lacks, read without echo.

    Without a terminal, each is a line of standard input. An empty line leaves the field out.
    """
    from victor_engine.definition.secret_fields import WHOLE, split

    assert request.input_schema is not None
    _, found = split(request.input_schema, None if given is UNSET else given)
    if found:
        print_note(
            "a secret on the command line can be read by other users and stays in the history of the shell; leave it "
            "out to be asked for it"
        )
    for field in fields:
        if field in found or "*" in field:
            continue
        typed = _read_secret(field)
        if not typed:
            continue
        if field == WHOLE and request.input_schema.get("type") != "object":
            return _typed_value(request.input_schema, [], typed)
        path = field.split(".")
        given = _placed(
            {} if given is UNSET else given, path, _typed_value(request.input_schema, path, typed)
        )
    if given is UNSET:
        raise UsageError("the answer is missing: give a value, or --value JSON")
    return given


def _typed_value(schema: Mapping[str, Any], path: list[str], typed: str) -> Any:
    """Return what was typed into a field: JSON if the field is not text, and the text otherwise."""
    inner: Any = schema
    for part in path:
        inner = inner.get("properties", {}).get(part, {}) if isinstance(inner, Mapping) else {}
    if not isinstance(inner, Mapping) or inner.get("type", "string") == "string":
        return typed
    try:
        return json.loads(typed)
    except (ValueError, RecursionError):
        return typed


def _read_secret(field: str) -> str:
    if sys.stdin.isatty():
        return str(click.prompt(field, hide_input=True, default="", show_default=False, err=True))
    return sys.stdin.readline().rstrip("\r\n")


def _placed(value: Any, path: list[str], secret: Any) -> Any:
    """Return a copy of an object with a field set; objects on the way are created."""
    if not path or not isinstance(value, dict):
        return secret if not path else value
    return {**value, path[0]: _placed(value.get(path[0], {}), path[1:], secret)}


def _plain_value(request: RequestInfo, word: str) -> Any:
    """Return a value from the command line. For a form it is parsed as JSON, if possible."""
    if request.multiple:
        return [part.strip() for part in word.split(",")]
    if request.input_schema is not None and not request.choices:
        try:
            return json.loads(word)
        except (ValueError, RecursionError):
            return word
    return word


@click.command("answer")
@click.argument("request")
@click.argument("answer", required=False)
@click.option(
    "--value", metavar="JSON", help="Answer as JSON: the object of a form, a list of choices, a document."
)
@click.option("--comment", default="", help="Comment for the audit trail.")
@revision_option
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
    """Answer a request.

    ANSWER is approve, reject, a choice or a text; --value gives other answers as JSON. Secret fields that they do
    not have are asked for without echo; without a terminal, each is a line of standard input.
    """

    async def work(port: Port) -> None:
        found = await port.request(request)
        if found.status == RequestStatus.OPEN:
            _expected(found, if_revision)
        given = (
            Answer(outcome="approved")
            if found.status != RequestStatus.OPEN
            else answer_from_arguments(found, answer, value, comment)
        )
        done = await port.answer(found.id, found.revision, given)
        if as_json:
            print_json(done)
        elif done.settles_at is not None:
            print_line(
                f"{done.outcome}: {done.title} (run {done.run_id}); takes effect at {local(done.settles_at)}"
            )
            print_note(f"to undo it before then, run: victor inbox undo {done.id}")
        elif done.status == RequestStatus.OPEN:
            print_line(f"{counted_text(done, user_name(os.getuid()))}: {done.title}")
        else:
            print_line(f"{done.outcome}: {done.title} (run {done.run_id})")
            if (await port.engine()).pid == os.getpid():
                print_note("no engine runs; to continue the run, start one with: victor scheduler start")

    with_port(ctx, "oneshot", work)


def _expected(request: RequestInfo, revision: int | None) -> int:
    """Return the revision to act on. Raise ConflictError if it is not the given one."""
    if revision is not None and request.revision != revision:
        raise ConflictError(
            f"request {request.id} is at revision {request.revision}, not {revision}; "
            f"look at it again with: victor inbox show {request.id}"
        )
    return request.revision


def _act(
    ctx: click.Context,
    as_json: bool,
    action: Callable[[Port], Awaitable[RequestInfo]],
    describe: Callable[[RequestInfo], str],
) -> None:
    """Perform an action on one request, and print its result."""

    async def work(port: Port) -> None:
        done = await action(port)
        print_json(done) if as_json else print_line(describe(done))

    with_port(ctx, "oneshot", work)


def _assigned(request: RequestInfo) -> str:
    if note := unreachable_text(request):
        print_note(note)
    return f"assigned to {', '.join(request.assignees) or 'anyone'}: {request.title}"


@click.command("claim")
@click.argument("request")
@json_option
@click.pass_context
def claim(ctx: click.Context, request: str, as_json: bool) -> None:
    """Mark REQUEST as claimed by you. Other people can still answer it."""
    _act(ctx, as_json, lambda port: port.claim(request), lambda done: f"claimed: {done.title}")


@click.command("release")
@click.argument("request")
@json_option
@click.pass_context
def release(ctx: click.Context, request: str, as_json: bool) -> None:
    """Release your claim on REQUEST."""
    _act(ctx, as_json, lambda port: port.release(request), lambda done: f"released: {done.title}")


@click.command("reassign")
@click.argument("request")
@click.argument("people", nargs=-1, required=True)
@note_option
@revision_option
@json_option
@click.pass_context
def reassign(
    ctx: click.Context,
    request: str,
    people: tuple[str, ...],
    note: str,
    if_revision: int | None,
    as_json: bool,
) -> None:
    """Replace the assignees of REQUEST with PEOPLE.

    PEOPLE are users, group:NAME or @ROLE.
    """

    async def action(port: Port) -> RequestInfo:
        found = await port.request(request)
        return await port.reassign(found.id, _expected(found, if_revision), list(people), note)

    _act(ctx, as_json, action, _assigned)


@click.command("delegate")
@click.argument("request")
@click.argument("to")
@note_option
@revision_option
@json_option
@click.pass_context
def delegate(
    ctx: click.Context, request: str, to: str, note: str, if_revision: int | None, as_json: bool
) -> None:
    """Let TO answer REQUEST in your place."""

    async def action(port: Port) -> RequestInfo:
        found = await port.request(request)
        return await port.delegate(found.id, _expected(found, if_revision), to, note)

    _act(ctx, as_json, action, _assigned)


@click.command("push-back")
@click.argument("request")
@click.argument("node")
@click.option("--comment", required=True, help="Reason. The nodes that run again can read it.")
@revision_option
@json_option
@click.pass_context
def push_back(
    ctx: click.Context, request: str, node: str, comment: str, if_revision: int | None, as_json: bool
) -> None:
    """Answer REQUEST by sending its run back to NODE.

    The run must have visited NODE.
    """

    async def action(port: Port) -> RequestInfo:
        found = await port.request(request)
        return await port.push_back(found.id, _expected(found, if_revision), node, comment)

    _act(ctx, as_json, action, lambda done: f"run {done.run_id} goes back to {done.pushed_back_to}")


@click.command("undo")
@click.argument("request")
@json_option
@click.pass_context
def undo(ctx: click.Context, request: str, as_json: bool) -> None:
    """Undo your answer to REQUEST while its undo window is open."""
    _act(ctx, as_json, lambda port: port.undo_answer(request), lambda done: f"open again: {done.title}")


@click.command("ask-back")
@click.argument("request")
@click.argument("question")
@json_option
@click.pass_context
def ask_back(ctx: click.Context, request: str, question: str, as_json: bool) -> None:
    """Ask the requester of REQUEST a question.

    The deadline of the request is suspended until the reply.
    """
    _act(
        ctx, as_json, lambda port: port.ask_requester(request, question),
        lambda done: f"asked {done.requested_by} about: {done.title}",
    )  # fmt: skip


@click.command("ask", hidden=True)
@click.argument("request")
@click.argument("question")
@json_option
@click.pass_context
def ask(ctx: click.Context, request: str, question: str, as_json: bool) -> None:
    """Ask the requester of REQUEST a question: the former name of `ask-back`."""
    print_note(
        "warning: `victor inbox ask` is now `victor inbox ask-back`; version 0.5.0 removes the old name"
    )
    ctx.invoke(ask_back, request=request, question=question, as_json=as_json)


@click.command("reply")
@click.argument("request")
@click.argument("text")
@json_option
@click.pass_context
def reply(ctx: click.Context, request: str, text: str, as_json: bool) -> None:
    """Reply with TEXT to a question about your REQUEST. Its deadline resumes."""
    _act(ctx, as_json, lambda port: port.reply(request, text), lambda done: f"replied: {done.title}")


@click.command("withdraw")
@click.argument("request")
@note_option
@json_option
@click.pass_context
def withdraw(ctx: click.Context, request: str, note: str, as_json: bool) -> None:
    """Withdraw REQUEST, a question that you asked with `victor ask`."""

    async def work(port: Port) -> None:
        done = await port.withdraw(request, note)
        print_json(done) if as_json else print_line(f"withdrawn: {done.title}")

    with_port(ctx, "attach", work)


COMMANDS = (answer, claim, release, reassign, delegate, push_back, undo, ask_back, ask, reply, withdraw)
