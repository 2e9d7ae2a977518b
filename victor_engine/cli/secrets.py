"""The command group `victor secrets`, which says which secrets are missing."""

from __future__ import annotations

import asyncio
import sys

import click

from victor_engine.api import SecretInfo
from victor_engine.cli.inbox_actions import json_option
from victor_engine.cli.output import print_json, print_note, table


@click.group()
def secrets() -> None:
    """Check the secrets that the workspace declares or uses."""


@secrets.command()
@json_option
@click.pass_context
def check(ctx: click.Context, as_json: bool) -> None:
    """List the secrets, and say which are missing. No value is shown.

    A running engine checks them in its own environment; without one, this command checks them in its own. The exit
    code is 3 if a secret is missing.
    """

    found = asyncio.run(_secrets(ctx))
    missing = [each for each in found if each.missing]
    if as_json:
        print_json(found)
    else:
        rows = [
            (each.name, "missing" if each.missing else "ok", each.source, ", ".join(each.used_by) or "-")
            for each in found
        ]
        table(("SECRET", "STATE", "SOURCE", "USED BY"), rows, "no secrets are declared or used")
        for each in missing:
            print_note(each.missing)
    sys.exit(3 if missing else 0)


async def _secrets(ctx: click.Context) -> list[SecretInfo]:
    from victor_engine.engine.current_workspace import read_files
    from victor_engine.engine.secret_list import secret_list
    from victor_engine.service.connect import find
    from victor_engine.service.finding import attach

    paths = find(ctx.obj["workspace"], ctx.obj["state_dir"])
    port = await attach(paths, "cli")
    if port is None:
        return await asyncio.to_thread(secret_list, await read_files(paths.workspace))
    try:
        return await port.secrets()
    finally:
        await port.close()
