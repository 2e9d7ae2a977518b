"""`victor versions`: what is registered, what differs, what is deprecated, and dry runs of migrations."""

from __future__ import annotations

import json

import click

from victor_engine.api import Port
from victor_engine.cli.output import json_state, local, note, print_json, say, table, with_port
from victor_engine.errors import UsageError
from victor_engine.hitl.text import plain

json_option = click.option("--json", "as_json", is_flag=True, help="JSON for scripts.")


@click.group()
def versions() -> None:
    """Versions of workflows."""


@versions.command("list")
@click.argument("workflow", required=False)
@json_option
@click.pass_context
def list_(ctx: click.Context, workflow: str | None, as_json: bool) -> None:
    """Versions with their status and use."""

    async def work(port: Port) -> None:
        found = [info for info in await port.workflows() if workflow in (None, info.name)]
        if as_json:
            print_json(found)
            return
        rows = [
            (
                info.name,
                v.version,
                "deprecated" if v.deprecated else "current" if v.current else "older",
                v.active_runs,
                v.total_runs,
                v.schedules,
                local(v.registered_at),
                v.deprecated or "",
            )
            for info in found
            for v in info.versions
        ]
        heads = ("workflow", "version", "status", "active", "runs", "schedules", "registered", "notice")
        table(heads, rows, "nothing is registered yet; start an engine on the workspace once")

    with_port(ctx, "read", work)


@versions.command("show")
@click.argument("workflow")
@click.argument("version", required=False)
@json_option
@click.pass_context
def show(ctx: click.Context, workflow: str, version: str | None, as_json: bool) -> None:
    """The definition of a version."""

    async def work(port: Port) -> None:
        found = await port.definition(workflow, version)
        print_json(found) if as_json else click.echo(plain(found.text))

    with_port(ctx, "read", work)


@versions.command("diff")
@click.argument("workflow")
@click.argument("old")
@click.argument("new")
@click.pass_context
def diff(ctx: click.Context, workflow: str, old: str, new: str) -> None:
    """What differs between two versions."""
    from victor_engine.versioning.diff import diff as compare

    async def work(port: Port) -> None:
        before, after = await port.definition(workflow, old), await port.definition(workflow, new)
        lines = [change.describe() for change in compare(before.content, after.content)]
        for line in lines:
            say(line)
        if not lines:
            note(f"{before.version} and {after.version} are the same")

    with_port(ctx, "read", work)


@versions.command("deprecate")
@click.argument("workflow")
@click.argument("version")
@click.option("--message", required=True, help="Why, and what to use instead.")
@click.option("--successor")
@click.pass_context
def deprecate(ctx: click.Context, workflow: str, version: str, message: str, successor: str | None) -> None:
    """Mark a version as one that nobody should start on."""

    async def work(port: Port) -> None:
        found = await port.deprecate(workflow, version, message, successor)
        say(f"{found.workflow} {found.version} is deprecated: {found.deprecated}")

    with_port(ctx, "oneshot", work)


@versions.command("migrate")
@click.argument("workflow")
@click.argument("old")
@click.argument("new")
@click.option("--dry-run", is_flag=True, help="Show what would become of a state; nothing is changed.")
@click.option("--state", metavar="JSON", help="The state to try it on; - reads standard input.")
@click.option("--run", "run_id", help="Try it on the state of this run.")
@json_option
@click.pass_context
def migrate(
    ctx: click.Context,
    workflow: str,
    old: str,
    new: str,
    dry_run: bool,
    state: str | None,
    run_id: str | None,
    as_json: bool,
) -> None:
    """What a migration makes of a state."""
    if not dry_run:
        raise UsageError("only dry runs are possible from here: add --dry-run")
    given = json_state(state)

    async def work(port: Port) -> None:
        before = (await port.run(run_id)).state if run_id is not None else given or {}
        found = await port.preview_migration(workflow, old, new, before)
        if as_json:
            print_json(found)
            return
        say(f"{' then '.join(found.path) or 'nothing to do'}{' (breaking)' if found.breaking else ''}")
        for step in found.steps:
            say(f"  - {step}")
        say(f"before: {json.dumps(found.before, indent=2)}")
        say(f"after:  {json.dumps(found.after, indent=2)}")

    with_port(ctx, "read", work)
