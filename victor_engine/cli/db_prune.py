"""The command `victor db prune`, which shows and confirms the rules of retention."""

from __future__ import annotations

import click

from victor_engine.api import Port, RetentionInfo
from victor_engine.cli.output import local, print_json, print_line, print_note, table, with_port
from victor_engine.errors import UsageError


@click.command("prune")
@click.option(
    "--dry-run", is_flag=True, help="Print what the rules delete now, and change nothing (the default)."
)
@click.option("--confirm", is_flag=True, help="Put the rules in force: the engine deletes history by them.")
@click.option("--rules", "digest", help="With --confirm: the digest of the rules that --dry-run printed.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def prune(ctx: click.Context, dry_run: bool, confirm: bool, digest: str | None, as_json: bool) -> None:
    """Show the rules of retention and what they delete, or confirm them.

    An administrator confirms the rules once. Then the engine deletes history in short steps, now and each hour. After
    a change of the rules it deletes nothing until they are confirmed again. With --rules, other rules than those that
    --dry-run printed are refused. Deleted history does not come back: make a backup first, or export it.
    """
    if confirm and dry_run:
        raise UsageError("give --confirm or --dry-run, not both")
    if digest is not None and not confirm:
        raise UsageError("--rules is for --confirm; give both")

    async def work(port: Port) -> None:
        if confirm:
            found = await port.confirm_retention(digest or (await port.retention()).digest)
        else:
            found = await port.retention()
        print_json(found) if as_json else _print(found)

    with_port(ctx, "oneshot" if confirm else "read", work)


def _print(found: RetentionInfo) -> None:
    for line in found.rules:
        print_line(line)
    print_line(f"rules {found.digest}")
    total = sum(count.runs for count in found.runs)
    if found.runs:
        table(
            ("workflow", "status", "runs"), [(each.workflow, each.status, each.runs) for each in found.runs]
        )
    if found.in_force:
        print_line(f"in force, confirmed by {found.confirmed_by} at {local(found.confirmed_at)}")
        print_line(f"{total} runs are deleted in the next steps of the engine")
    else:
        print_line(f"NOT in force: {total} runs would be deleted with their logs, requests and events")
        print_note(f"to put the rules in force, run: victor db prune --confirm --rules {found.digest}")
    if found.kept:
        print_note(
            f"{found.kept} more runs are older and are kept: listed dead letters, the newest fires of schedules, active "
            "backfills, children of stored runs, or the newest run"
        )
