"""The output of the command line: tables and JSON. Untrusted text is made harmless for the terminal."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, TypeVar

import click
import msgspec

from victor_engine import jsonio
from victor_engine.api import Port
from victor_engine.errors import UsageError
from victor_engine.text import json_safe, one_line, plain

T = TypeVar("T")


def print_error(message: str) -> None:
    """Print an error on standard error."""
    for number, line in enumerate(plain(message).splitlines() or [""]):
        click.echo(("error: " if number == 0 else "       ") + line, err=True)


def print_line(text: str = "") -> None:
    """Print text on standard output."""
    click.echo(plain(text))


def print_note(text: str) -> None:
    """Print text on standard error, so that a pipe does not receive it."""
    click.echo(plain(text), err=True)


def note_cut(shown: int, total: int, offset: int = 0) -> None:
    """Print on standard error which part of a list is shown, if it is not the whole list."""
    if shown < total:
        after = offset + shown
        further = f"; use --offset {after} for the next" if after < total and shown else ""
        part = f"{offset + 1} to {after}" if shown else "none"
        print_note(f"{part} of {total} shown{further}")


def note_limit(shown: int, limit: int) -> None:
    """Print on standard error that a list ends at its limit and may be incomplete."""
    if shown >= limit:
        print_note(f"the first {limit} are shown; use --limit {2 * limit} for more")


def print_json(value: Any) -> None:
    """Print a struct of the port, or a list of structs, as JSON."""
    echo_json(msgspec.json.format(msgspec.json.encode(value), indent=2))


def echo_json(data: bytes) -> None:
    """Print JSON. On a terminal, escape the characters that the terminal would interpret or hide."""
    text = data.decode()
    click.echo(json_safe(text) if sys.stdout.isatty() else text)


def table(heads: Sequence[str], rows: Sequence[Sequence[Any]], empty: str = "") -> None:
    """Print a table. Each column is as wide as its content; print `empty` on standard error without rows."""
    if not rows:
        print_note(empty or "no entries")
        return
    cells = [[one_line(str(value)) for value in row] for row in rows]
    widths = [max(len(head), *(len(row[i]) for row in cells)) for i, head in enumerate(heads)]
    click.echo(
        "  ".join(head.upper().ljust(width) for head, width in zip(heads, widths, strict=True)).rstrip()
    )
    for row in cells:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def local(instant: datetime | None) -> str:
    """Return an instant as text in the local time zone."""
    return "-" if instant is None else instant.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def span(seconds: float | None) -> str:
    """Return a duration as short text."""
    if seconds is None:
        return "-"
    sign, seconds = ("-" if seconds < 0 else ""), abs(seconds)
    if seconds < 10:
        return f"{sign}{seconds:.1f}s"
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            rest = int(seconds % size // {"d": 3600, "h": 60, "m": 1}[unit])
            return f"{sign}{int(seconds // size)}{unit}{rest:02}"
    return f"{sign}{int(seconds)}s"


def _no_constant(name: str) -> Any:
    raise UsageError(f"{name} is not a JSON value; write null or a number. Nothing was started")


def json_state(text: str | None, file: Any = None) -> dict[str, Any] | None:
    """Return a state from `--state`, `--state -` (standard input) or a file.

    Raise UsageError, with the location of the error, if it is not a JSON object.
    """
    if text is not None and file is not None:
        raise UsageError("give either --state or --state-file, and not both")
    where = "--state"
    try:
        if file is not None:
            where = file.name
            text = file.read()
        elif text == "-":
            where = "standard input"
            text = sys.stdin.read()
    except UnicodeDecodeError as error:
        raise UsageError(f"{where} is not UTF-8 text (byte {error.start}); nothing was started") from None
    if text is None:
        return None
    try:
        value = json.loads(text, parse_constant=_no_constant)
        jsonio.check_depth(text)
    except json.JSONDecodeError as error:
        raise UsageError(
            f"{where} is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}; nothing was started"
        ) from None
    except RecursionError:
        raise UsageError(f"{where} is nested too deeply; nothing was started") from None
    except ValueError as error:  # nested too deeply, or a number with thousands of digits
        raise UsageError(f"{where} is not accepted: {error}; nothing was started") from None
    if not isinstance(value, dict):
        raise UsageError(
            f'{where} must be a JSON object such as {{"key": "value"}}, not {type(value).__name__}'
        )
    return value


def with_port(ctx: click.Context, mode: str, work: Callable[[Port], Awaitable[T]]) -> T:
    """Open a port in a mode of `service.connect.open_port`, do the work, and close the port."""
    return asyncio.run(_with_port(ctx, mode, work))


async def _with_port(ctx: click.Context, mode: str, work: Callable[[Port], Awaitable[T]]) -> T:
    async with port_of(ctx, mode) as port:
        return await work(port)


def port_of(ctx: click.Context, mode: str) -> AbstractAsyncContextManager[Port]:
    """Return the port of a command. A test can put its own under `open_port` in the object of the context."""
    given = ctx.obj.get("open_port")
    if given is not None:
        return given(mode)  # type: ignore[no-any-return]
    from victor_engine.service.connect import open_port

    return open_port(ctx.obj["workspace"], ctx.obj["state_dir"], mode=mode)  # type: ignore[arg-type]
