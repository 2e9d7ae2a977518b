"""The command group `victor api`: the port over HTTP for programs, and its tokens."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from victor_engine.api import port
from victor_engine.api.roles import Role, with_included
from victor_engine.cli.inbox_actions import json_option
from victor_engine.cli.output import local, print_json, print_line, print_note, table
from victor_engine.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from victor_engine.service.paths import Paths
    from victor_engine.web.tokens import Token, TokenFile

PARTS = sorted({method.part for method in port.declared().values()})
ANSWERING = port.declared()["answer"].part
"""The part of the port that answers requests."""
LONGEST_DAYS = 366


@click.group(invoke_without_command=True)
@click.option("--listen", metavar="ADDRESS:PORT", help="Address; default: api.listen, or 127.0.0.1:8470.")
@click.pass_context
def api(ctx: click.Context, listen: str | None) -> None:
    """Serve the engine over HTTP for programs, until Ctrl-C or SIGTERM.

    Each program has a token of its own. The server calls the engine on behalf of tokens, so the engine must list your
    user under `proxies`. /openapi.json describes all calls.
    """
    if ctx.invoked_subcommand is not None:
        if listen is not None:
            raise UsageError(f"--listen has no effect on victor api {ctx.invoked_subcommand}; omit it")
        return
    _need_packages()
    from victor_engine.addresses import address_text, is_loopback, listening_socket
    from victor_engine.config import load_config
    from victor_engine.web import serving

    paths = _paths(ctx)
    config = load_config(paths.workspace).api
    host, number = serving.address(listen or config.listen, config.listen)
    asyncio.run(serving.check_engine(paths))
    bound = listening_socket(host, number)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s")
    if not is_loopback(host):
        print_note(
            "warning: other machines can reach this address, and the connection is not encrypted: tokens can be read "
            "on the network. Put a server that ends TLS in front of it"
        )
    print_note(
        f"http://{address_text(*bound.getsockname()[:2])} serves {paths.workspace}; /openapi.json describes it"
    )
    asyncio.run(serving.serve(paths, bound, _tokens(paths), config.rate))


@api.group()
def token() -> None:
    """Add, list and revoke the tokens of programs."""


@token.command()
@click.argument("name")
@click.option("--role", type=click.Choice([str(role) for role in Role]), default="viewer", show_default=True)
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(PARTS), help="Part of the port; default: all."
)
@click.option("--may-answer", is_flag=True, help="Let it answer requests, if its role permits this.")
@click.option("--expires", default="90d", show_default=True, help="Time until it expires, up to 366d.")
@json_option
@click.pass_context
def add(
    ctx: click.Context,
    name: str,
    role: str,
    scopes: tuple[str, ...],
    may_answer: bool,
    expires: str,
    as_json: bool,
) -> None:
    """Add a token and print it. It is stored as a hash and is not shown again.

    It never has more rights than your user has on the engine.
    """
    from victor_engine.people.rights import Grant

    if may_answer and scopes and ANSWERING not in scopes:
        raise UsageError(f"--may-answer has no effect without the scope {ANSWERING}; add --scope {ANSWERING}")
    grant = Grant(Role(role), tuple(sorted(set(scopes))), may_answer)
    lifetime = _lifetime(expires)
    tokens = _tokens(_paths(ctx))
    text = tokens.add(name, grant, datetime.now(UTC), lifetime)
    [added] = [each for each in tokens.all() if each.name == name]
    if as_json:
        print_json({**_described(added), "token": text})
        return
    print_line(text)
    print_note(
        f"token:{name} {_rights(added)}, until {local(added.expires)}. The token above is not shown again"
    )
    if may_answer and Role.APPROVER not in with_included([grant.role]):
        print_note(
            f"token:{name} answers only requests that name it as an assignee; the role approver lets it answer requests "
            f"without assignees: victor api token revoke {name}, then add it with --role approver"
        )


@token.command("list")
@json_option
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """List the tokens of this workspace, without their texts."""
    found = _tokens(_paths(ctx)).all()
    if as_json:
        print_json([_described(each) for each in found])
        return
    now = datetime.now(UTC)
    rows = [
        (
            each.name,
            each.grant.role,
            f"starts {each.hook.workflow}" if each.hook else ", ".join(each.grant.scopes) or "all",
            "yes" if each.grant.may_answer else "no",
            local(each.created),
            local(each.expires) if each.valid_at(now) else "expired",
        )
        for each in found
    ]
    table(
        ("name", "role", "scopes", "may answer", "created", "expires"),
        rows,
        "no tokens; add one: victor api token add NAME",
    )


@token.command()
@click.argument("name")
@click.pass_context
def revoke(ctx: click.Context, name: str) -> None:
    """Revoke a token. A running server refuses it from the next call on."""
    _tokens(_paths(ctx)).revoke(name)
    print_line(f"token:{name} is revoked")


@api.group()
def hook() -> None:
    """Add webhooks, which start a workflow by signed requests. `victor api token` lists and revokes them."""


@hook.command("add")
@click.argument("name")
@click.argument("workflow")
@click.option("--version", help="Version, range or alias; default: latest.")
@click.option("--expires", default="366d", show_default=True, help="Time until it expires, up to 366d.")
@json_option
@click.pass_context
def add_hook(
    ctx: click.Context, name: str, workflow: str, version: str | None, expires: str, as_json: bool
) -> None:
    """Add a webhook for a workflow with declared inputs, and print its secret, which signs the requests."""
    tokens = _tokens(_paths(ctx))
    secret = tokens.add_hook(name, workflow, version, datetime.now(UTC), _lifetime(expires))
    [added] = [each for each in tokens.all() if each.name == name]
    if as_json:
        print_json({**_described(added), "secret": secret})
        return
    print_line(secret)
    print_note(
        f"POST /v1/hooks/{name} starts {workflow}, until {local(added.expires)}. The secret above is not shown again"
    )


def _paths(ctx: click.Context) -> Paths:
    from victor_engine.service.connect import find

    return find(ctx.obj["workspace"], ctx.obj["state_dir"])


def _tokens(paths: Paths) -> TokenFile:
    from victor_engine.web.tokens import TokenFile, token_file

    return TokenFile(token_file(), paths.workspace)


def _lifetime(text: str) -> timedelta:
    from victor_engine.durations import parse_duration

    seconds = parse_duration(text)
    if seconds is None or not 0 < seconds <= LONGEST_DAYS * 86_400:
        raise UsageError(f"--expires must be a duration up to {LONGEST_DAYS}d, such as 30d, not {text!r}")
    return timedelta(seconds=seconds)


def _described(each: Token) -> dict[str, object]:
    return {
        "name": each.name,
        "role": each.grant.role,
        "scopes": each.grant.scopes,
        "may_answer": each.grant.may_answer,
        "created": each.created,
        "expires": each.expires,
        "workflow": each.hook.workflow if each.hook else None,
    }


def _rights(each: Token) -> str:
    scopes = f" on {', '.join(each.grant.scopes)}" if each.grant.scopes else ""
    return f"is {each.grant.role}{scopes}" + (", may answer" if each.grant.may_answer else "")


def _need_packages() -> None:
    for name in ("starlette", "uvicorn"):
        if importlib.util.find_spec(name) is None:
            raise ConfigError(f"victor api needs the package {name}: pip install 'victor-tui[web]'")
