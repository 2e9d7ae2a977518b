"""The command `victor ask`, which asks people a question without a workflow."""

from __future__ import annotations

import json
import sys
from typing import IO, Any

import click

from victor_engine import jsonio
from victor_engine.api import Question, RequestInfo
from victor_engine.cli.output import port_of, print_json, print_line, print_note
from victor_engine.cli.waiting import decided, finish, report
from victor_engine.durations import parse_duration
from victor_engine.errors import UsageError

MOST_FILE_BYTES = 1_048_576
"""Maximum bytes that are read from a file. The engine accepts less."""


@click.command()
@click.argument("question")
@click.option("--choices", metavar="A,B", help="The answer is one of these words, separated by commas.")
@click.option("--schema", type=click.File("r"), help="The answer fits the JSON Schema in this file.")
@click.option(
    "--context", type=click.File("r"), help="File that is shown with the question; - is standard input."
)
@click.option(
    "--assign", multiple=True, metavar="WHO", help="User, group:NAME or @ROLE who can answer. Repeatable."
)
@click.option("--timeout", metavar="TIME", help="Time for an answer, such as 10m or 1h.")
@click.option("--no-wait", is_flag=True, help="Print the id of the question and do not wait.")
@click.option("--json", "as_json", is_flag=True, help="Print the request as JSON.")
@click.pass_context
def ask(
    ctx: click.Context,
    question: str,
    choices: str | None,
    schema: IO[str] | None,
    context: IO[str] | None,
    assign: tuple[str, ...],
    timeout: str | None,
    no_wait: bool,
    as_json: bool,
) -> None:
    """Ask people QUESTION, wait for the answer, and print it.

    Without --choices and --schema the answer is yes or no. The exit code is 0 for yes or an answer, 1 only for no, 124
    if the time has passed, and 12 if another user withdrew the question. An interrupt (ctrl+c) withdraws it.
    """
    asked: list[RequestInfo] = []

    async def work() -> int:
        given = Question(
            prompt=question,
            choices=tuple(part.strip() for part in choices.split(",")) if choices is not None else (),
            input_schema=_schema(schema),
            context=_context(context),
            assignees=tuple(name.strip() for each in assign for name in each.split(",") if name.strip()),
            timeout=duration(timeout),
        )
        async with port_of(ctx, "attach") as port:
            asked.append(await port.ask(given))
        if no_wait:
            print_json(asked[0]) if as_json else print_line(asked[0].id)
            return 0
        print_note(
            f"asked {', '.join(asked[0].assignees) or 'anyone'}: request {asked[0].id}; ctrl+c withdraws it"
        )
        return report(await decided(ctx, asked[0].id, asked=True), as_json)

    async def withdraw() -> None:
        if asked and not no_wait:
            await withdraw_question(ctx, asked[0].id)

    sys.exit(finish(work, withdraw))


async def withdraw_question(ctx: click.Context, request_id: str) -> None:
    """Withdraw a question after a signal, and print that it is withdrawn."""
    async with port_of(ctx, "attach") as port:
        done = await port.withdraw(request_id, "interrupted")
    print_note(f"withdrawn: {done.title}")


def duration(text: str | None, option: str = "--timeout") -> float | None:
    """Return a duration of the command line in seconds. Raise UsageError if it is not one."""
    if text is None:
        return None
    seconds = parse_duration(text)
    if seconds is None or seconds <= 0:
        raise UsageError(f"{option} must be a duration such as 10m or 1h30m, not {text!r}")
    return seconds


def _read(file: IO[str]) -> str:
    try:
        text = file.read(MOST_FILE_BYTES + 1)
    except UnicodeDecodeError as error:
        raise UsageError(f"{file.name} is not UTF-8 text (byte {error.start})") from None
    if len(text) > MOST_FILE_BYTES:
        raise UsageError(f"{file.name} is larger than {MOST_FILE_BYTES} characters; give a part of it")
    return text


def _json(file: IO[str], text: str) -> Any:
    try:
        value = json.loads(text)
        jsonio.check_depth(text)
        return value
    except json.JSONDecodeError as error:
        raise UsageError(f"{file.name}:{error.lineno}:{error.colno}: not valid JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{file.name} is not accepted: {error}") from None


def _schema(file: IO[str] | None) -> dict[str, Any] | None:
    if file is None:
        return None
    value = _json(file, _read(file))
    if not isinstance(value, dict):
        raise UsageError(f'{file.name} must be a JSON Schema: a JSON object such as {{"type": "string"}}')
    return value


def _context(file: IO[str] | None) -> dict[str, Any]:
    """Return the context: the keys of a JSON object, or the text of the file under its name."""
    if file is None:
        return {}
    text = _read(file)
    name = "input" if file.name in ("-", "<stdin>") else file.name.rsplit("/", 1)[-1]
    if name.endswith(".json") or text.lstrip()[:1] == "{":
        try:
            value = _json(file, text)
        except UsageError:
            if name.endswith(".json"):
                raise
            return {name: text}
        return value if isinstance(value, dict) else {name: value}
    return {name: text}
