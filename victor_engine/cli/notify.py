"""The command group `victor notify`, which lists and tests the notification rules."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import click

from victor_engine.cli.inbox_actions import json_option
from victor_engine.cli.output import print_json, print_line, print_note, table
from victor_engine.errors import ConfigError, NotFoundError, UntrustedError

if TYPE_CHECKING:
    from victor_engine.config.model import Config, NotifyRule


@click.group()
def notify() -> None:
    """List and test the notification rules, which are under `notify:` in victor.yaml."""


def _configured(ctx: click.Context) -> Config:
    from victor_engine.config import load_config
    from victor_engine.service.connect import find

    return load_config(find(ctx.obj["workspace"], ctx.obj["state_dir"]).workspace)


@notify.command("list")
@json_option
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """List the notification rules.

    Shows the numbers of waiting and abandoned messages of each.
    """
    from victor_engine.notify.outbox import label

    config, counts = _configured(ctx), _counts(ctx)
    if as_json:
        print_json(
            [
                {
                    "name": rule.name,
                    "on": rule.on,
                    "workflows": rule.workflows,
                    "assignees": rule.assignees,
                    "urls": [label(url) for url in rule.urls],
                    "command": rule.command.command if rule.command is not None else (),
                    "waiting": counts.get(rule.name, (0, 0))[0],
                    "given_up": counts.get(rule.name, (0, 0))[1],
                    "place": rule.place,
                }
                for rule in config.notify
            ]
        )
        return
    rows = [
        (
            rule.name,
            ", ".join(rule.on),
            ", ".join(rule.workflows) or "all",
            ", ".join(rule.assignees) or "anyone",
            ", ".join(label(url) for url in rule.targets),
            *counts.get(rule.name, (0, 0)),
        )
        for rule in config.notify
    ]
    heads = ("rule", "on", "workflows", "for", "to", "waiting", "given up")
    table(heads, rows, "no notification rules; declare them under notify: in victor.yaml")


def _counts(ctx: click.Context) -> dict[str, tuple[int, int]]:
    """Return the numbers of waiting and abandoned messages by rule; empty if no store exists or it cannot be read."""
    from victor_engine.service.connect import find
    from victor_engine.service.finding import engine_paths
    from victor_engine.store.repositories.outbox import counts
    from victor_engine.store.snapshot import SnapshotReader

    own = find(ctx.obj["workspace"], ctx.obj["state_dir"])
    paths = engine_paths(own)
    if not os.access(paths.db_path, os.R_OK):
        if paths != own:
            print_note(f"the numbers of messages are in {paths.state_dir}, which belongs to another user")
        return {}
    reader = SnapshotReader(paths.db_path)
    try:
        return reader.read(counts)
    finally:
        reader.close()


@notify.command("test")
@click.option("--rule", "name", help="Test only this rule.")
@json_option
@click.pass_context
def test(ctx: click.Context, name: str | None, as_json: bool) -> None:
    """Send a test message to each address of the rules. The exit code is 1 if a message fails."""
    from victor_engine.config.judging import judge_configuration

    config = _configured(ctx)
    rules = [rule for rule in config.notify if name is None or rule.name == name]
    if not rules:
        known = ", ".join(rule.name for rule in config.notify) or "none"
        wanted = f"has no rule {name!r}" if name is not None else "has no rules"
        raise NotFoundError(f"notify: in victor.yaml {wanted}; its rules are: {known}")
    if not judge_configuration(config).trusted:
        # The addresses and secrets come from the author of the files.
        raise UntrustedError(
            f"{config.workspace} is not trusted, so no message is sent; run first: "
            f"victor --workspace {config.workspace} trust"
        )
    results = asyncio.run(_try_all(config, rules))
    if as_json:
        print_json([{"rule": rule, "to": where, "error": error} for rule, where, error in results])
    else:
        for rule, where, error in results:
            print_line(f"{rule}: {where}: {'failed: ' + error if error else 'sent'}")
    ctx.exit(1 if any(error for _, _, error in results) else 0)


async def _try_all(config: Config, rules: list[NotifyRule]) -> list[tuple[str, str, str | None]]:
    import socket

    from victor_engine.config.model import COMMAND
    from victor_engine.notify import Apprise, NotifyError
    from victor_engine.notify.command import run_command
    from victor_engine.notify.outbox import label
    from victor_engine.work.secrets import SecretStore

    sender, secrets, title = Apprise(), SecretStore(config.secrets), "victor: test message"
    results: list[tuple[str, str, str | None]] = []
    for rule in rules:
        for url in rule.targets:
            error: str | None = None
            body = f"This is a test of the notification rule {rule.name!r} from {socket.gethostname()}."
            try:
                if rule.command is not None and url == COMMAND:
                    message = {"rule": rule.name, "occasion": "test", "title": title, "body": body}
                    await run_command(rule.command, secrets, message)
                else:
                    await sender.send(secrets.resolve(url), title, body)
            except (NotifyError, ConfigError) as failure:
                error = secrets.masker.text(failure.message)
            results.append((rule.name, label(url), error))
    return results
