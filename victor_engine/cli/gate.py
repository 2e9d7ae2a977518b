"""The command `victor gate`, which runs a command after a person has allowed it."""

from __future__ import annotations

import os
import signal
import sys
from typing import NoReturn

import click

from victor_engine.api import Question, RequestInfo, is_self_approved
from victor_engine.cli import agent_hooks, command_text
from victor_engine.cli.ask import duration, withdraw_question
from victor_engine.cli.output import port_of, print_error, print_note
from victor_engine.cli.waiting import decided, finish
from victor_engine.errors import UsageError, VictorError
from victor_engine.identity import user_name

NOT_ALLOWED, NOT_FOUND = 126, 127
HOOK_SECONDS = 50.0
"""The time for an answer to a hook without --timeout: agents end a hook after 60 seconds, and then run the tool."""
HOOK_MARGIN = 5.0
"""Seconds after the time for an answer to a hook in which the engine must report it."""


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option(
    "--assign", multiple=True, metavar="WHO", help="User, group:NAME or @ROLE who can answer. Repeatable."
)
@click.option("--timeout", metavar="TIME", help="Time for an answer, such as 10m or 1h. With --hook: 50s.")
@click.option(
    "--hook",
    metavar="FORMAT",
    type=click.Choice(list(agent_hooks.EVENTS)),
    help=f"Answer the permission hook of an agent on standard input: {', '.join(agent_hooks.EVENTS)}.",
)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def gate(
    ctx: click.Context,
    assign: tuple[str, ...],
    timeout: str | None,
    hook: str | None,
    command: tuple[str, ...],
) -> None:
    """Run COMMAND after a person has allowed it.

    The person sees the whole command, the directory, the user, and the SHA-256 of the scripts that it runs. The
    command runs in this process with your rights, and its exit code is the exit code. It is 126 if the command was
    not allowed or its files have changed. Put -- before COMMAND.
    """
    seconds = duration(timeout)
    people = tuple(name.strip() for each in assign for name in each.split(",") if name.strip())
    if hook is not None:
        if command:
            raise click.UsageError("--hook reads the command from standard input; leave COMMAND out")
        sys.exit(_answer_hook(ctx, hook, people, HOOK_SECONDS if seconds is None else seconds))
    if not command:
        raise click.UsageError("the command is missing; write it after --")
    program = command_text.program_of(command)
    if program is None:
        print_error(f"the command {command_text.shown_word(command[0])} does not exist or is not executable")
        sys.exit(NOT_FOUND)
    code = _allowed(ctx, program, command, people, seconds)
    if code:
        sys.exit(code)
    _become(program, command)


def _allowed(
    ctx: click.Context, program: str, argv: tuple[str, ...], people: tuple[str, ...], seconds: float | None
) -> int:
    """Ask whether a command may run. Return 0 if it may, and otherwise the exit code; the reason is printed."""
    try:
        directory = os.getcwd()
        files = command_text.digests(program, argv)
    except OSError as error:
        return _refuse(f"{error.filename}: {error.strerror}")
    user = user_name(os.geteuid())
    question = Question(
        prompt=command_text.question(argv, directory, user, program, files),
        title=f"Run {command_text.shown_command(argv)}",
        context={
            "argv": [command_text.shown_word(word) for word in argv],
            "directory": command_text.shown_word(directory),
            "user": user,
            "program": command_text.shown_word(program),
            "sha256": {command_text.shown_word(path): value for path, value in files.items()},
        },
        assignees=people,
        timeout=seconds,
    )
    found: list[RequestInfo] = []
    code = _decide(ctx, question, found, None)
    if not found:
        return code if code > 128 else _refuse("no one has allowed it")
    request = found[0]
    if request.outcome != "approved":
        return _refuse(_why_not(request))
    try:
        now = command_text.digests(program, argv)
    except OSError as error:
        return _refuse(f"{error.filename}: {error.strerror}")
    changed = sorted({path for path, _ in files.items() ^ now.items()})
    if changed:
        return _refuse(f"changed since it was allowed: {', '.join(map(command_text.shown_word, changed))}")
    _note_yes(request)
    return 0


def _become(program: str, argv: tuple[str, ...]) -> NoReturn:
    """Replace this process with the command, so that its exit code and its signals are those of the command."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)  # Python ignores them
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execv(program, argv)
    except OSError as error:
        sys.exit(_refuse(f"{program}: {error.strerror}"))


def _decide(ctx: click.Context, question: Question, found: list[RequestInfo], limit: float | None) -> int:
    """Ask, and put the decided request into `found`. Return the exit code of an error, which is printed."""
    asked: list[RequestInfo] = []

    async def work() -> int:
        async with port_of(ctx, "attach") as port:
            asked.append(await port.ask(question))
        who = ", ".join(asked[0].assignees) or "anyone"
        print_note(f"asked {who}: request {asked[0].id}; ctrl+c withdraws it")
        found.append(await decided(ctx, asked[0].id, asked=True))
        return 0

    async def withdraw() -> None:
        if asked:
            await withdraw_question(ctx, asked[0].id)

    return finish(work, withdraw, limit)


def _why_not(request: RequestInfo) -> str:
    by = request.answered_by
    if request.outcome == "rejected" and by is not None:
        return f"rejected by {by.shown}" + (f": {request.comment}" if request.comment else "")
    return f"{(request.outcome or '').replace('_', ' ')}, and not approved"


def _note_yes(request: RequestInfo) -> None:
    by = request.answered_by
    itself = " (self-approved)" if is_self_approved(request) else ""
    print_note(f"approved by {by.shown if by is not None else 'no one'}{itself}")


def _refuse(reason: str) -> int:
    print_error(f"not run: {reason}")
    return NOT_ALLOWED


def _answer_hook(ctx: click.Context, name: str, people: tuple[str, ...], seconds: float) -> int:
    """Answer a hook. Every error blocks the tool."""
    try:
        call = agent_hooks.read_call(name, sys.stdin.read(agent_hooks.MOST_CHARACTERS + 1))
        user = user_name(os.geteuid())
        prompt = agent_hooks.call_question(call, name, user)
    except (VictorError, UnicodeDecodeError, OSError) as error:
        print_error(f"blocked: {error.message if isinstance(error, UsageError) else error}")
        return agent_hooks.BLOCKED
    question = Question(
        prompt=prompt,
        title=f"{name}: {command_text.shown_word(call.tool)}",
        context={"tool": call.tool, "directory": command_text.shown_word(call.directory), "user": user},
        assignees=people,
        timeout=seconds,
    )
    found: list[RequestInfo] = []
    _decide(ctx, question, found, seconds + HOOK_MARGIN)
    if not found:
        print_error("blocked: no one has allowed it")
        return agent_hooks.BLOCKED
    allowed = found[0].outcome == "approved"
    by = found[0].answered_by
    reason = f"approved by {by.shown}" if allowed and by is not None else _why_not(found[0])
    click.echo(agent_hooks.hook_answer(name, allowed, reason))
    return 0
