"""The command group `victor versions`, which shows and controls versions and aliases."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from victor_engine.api import Port
from victor_engine.cli.files import note_files, with_files
from victor_engine.cli.migrate import history, migrate, undo
from victor_engine.cli.output import local, print_json, print_line, print_note, span, table, with_port
from victor_engine.cli.prune import prune
from victor_engine.errors import UsageError
from victor_engine.text import plain

if TYPE_CHECKING:
    from victor_engine.api import AliasInfo, VersionInfo

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
note_option = click.option("--note", "remark", default="", help="Note for the history.")


@click.group()
def versions() -> None:
    """Show and control versions and aliases; migrate runs."""


versions.add_command(migrate)
versions.add_command(undo)
versions.add_command(history)
versions.add_command(prune)


def status_words(info: VersionInfo) -> str:
    """Return the status of a version with the number of active runs or its share of new runs."""
    if info.status == "draining":
        return f"draining ({info.active_runs} active runs)"
    if info.status == "ramping" and info.share is not None:
        return f"ramping ({info.share}%)"
    left = f" ({info.active_runs} active runs)" if info.active_runs else ""
    return info.status + (left if info.status in ("deprecated", "removed") else "")


def notice(info: VersionInfo) -> str:
    """Return the notice about a deprecated or removed version, or an empty string."""
    if info.removed is not None:
        return info.removed
    if info.deprecated is None:
        return ""
    parts = [info.deprecated]
    if info.successor:
        parts.append(f"use {info.successor}")
    if info.removal_at:
        parts.append(f"to be removed {info.removal_at:%Y-%m-%d}")
    return "; ".join(parts)


@versions.command("list")
@click.argument("workflow", required=False)
@click.option("--deprecated", "only_notices", is_flag=True, help="Only deprecated and removed versions.")
@json_option
@click.pass_context
def list_(ctx: click.Context, workflow: str | None, only_notices: bool, as_json: bool) -> None:
    """List versions with their status and use."""

    async def work(port: Port) -> None:
        found = await port.workflows(workflow, "notices" if only_notices else "all")
        shown = [v for info in found for v in info.versions if not only_notices or notice(v)]
        if as_json:
            if only_notices:
                print_json(await with_files(port, shown, lambda each: str(each.workflow)))
            else:
                print_json(await with_files(port, found, lambda each: str(each.name)))
            return
        states = await note_files(port, {info.name for info in found})
        rows = [
            (
                v.workflow,
                v.version,
                status_words(v),
                states[v.workflow].state if v.current and v.workflow in states else "",
                ",".join(v.aliases),
                v.active_runs,
                v.total_runs,
                v.schedules,
                local(v.registered_at),
                notice(v),
            )
            for v in shown
        ]
        heads = (
            "workflow",
            "version",
            "status",
            "files",
            "aliases",
            "active",
            "runs",
            "schedules",
            "registered",
            "notice",
        )
        nothing = "no deprecated or removed versions" if only_notices else ""
        table(heads, rows, nothing or "no versions; an engine registers the versions of the workspace")

    with_port(ctx, "read", work)


@versions.command("show")
@click.argument("workflow")
@click.argument("version", required=False)
@json_option
@click.pass_context
def show(ctx: click.Context, workflow: str, version: str | None, as_json: bool) -> None:
    """Show the definition of a version, a range or an alias."""

    async def work(port: Port) -> None:
        found = await port.definition(workflow, version)
        print_json(found) if as_json else click.echo(plain(found.text))

    with_port(ctx, "read", work)


@versions.command("diff")
@click.argument("workflow")
@click.argument("old")
@click.argument("new")
@json_option
@click.pass_context
def diff(ctx: click.Context, workflow: str, old: str, new: str, as_json: bool) -> None:
    """Show the differences of two versions.

    Compares nodes, edges, limits and schedule.
    """

    async def work(port: Port) -> None:
        found = await port.diff_versions(workflow, old, new)
        if as_json:
            print_json(found)
            return
        for section in dict.fromkeys(line.section for line in found.lines):
            print_line(f"{section}:")
            for line in found.lines:
                if line.section == section:
                    print_line(f"  {line.text}")
        if not found.lines:
            print_note(f"{found.old} and {found.new} do not differ")

    with_port(ctx, "read", work)


# --- the life of a version ---------------------------------------------------------------------


def _date(_: click.Context, __: click.Parameter, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is not a date; write 2027-01-31 or 2027-01-31T12:00+01:00") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


@versions.command("deprecate")
@click.argument("workflow")
@click.argument("version")
@click.option("--message", required=True, help="Reason for users of the version.")
@click.option("--successor", help="The version to use instead.")
@click.option("--removal", callback=_date, help="Planned date of removal, such as 2027-01-31.")
@json_option
@click.pass_context
def deprecate(
    ctx: click.Context,
    workflow: str,
    version: str,
    message: str,
    successor: str | None,
    removal: datetime | None,
    as_json: bool,
) -> None:
    """Deprecate a version: warn when it is used for new runs."""

    async def work(port: Port) -> None:
        found = await port.deprecate(workflow, version, message, successor, removal)
        print_json(found) if as_json else print_line(
            f"{found.workflow} {found.version} is deprecated: {notice(found)} ({_use(found)})"
        )

    with_port(ctx, "oneshot", work)


def _use(info: VersionInfo) -> str:
    return f"used by {info.schedules} schedules and {info.active_runs} active runs"


@versions.command("remove")
@click.argument("workflow")
@click.argument("version")
@click.option("--message", default="", help="Reason, shown when a run cannot start.")
@json_option
@click.pass_context
def remove(ctx: click.Context, workflow: str, version: str, message: str, as_json: bool) -> None:
    """Remove a version from use by new runs.

    New runs cannot start on it, and its active runs continue.
    """

    async def work(port: Port) -> None:
        found = await port.remove_version(workflow, version, message)
        print_json(found) if as_json else print_line(
            f"{found.workflow} {found.version} is removed: {found.removed} ({_use(found)})"
        )

    with_port(ctx, "oneshot", work)


@versions.command("restore")
@click.argument("workflow")
@click.argument("version")
@json_option
@click.pass_context
def restore(ctx: click.Context, workflow: str, version: str, as_json: bool) -> None:
    """Restore a deprecated or removed version."""

    async def work(port: Port) -> None:
        found = await port.restore_version(workflow, version)
        print_json(found) if as_json else print_line(f"{found.workflow} {found.version} is {found.status}")

    with_port(ctx, "oneshot", work)


# --- aliases -----------------------------------------------------------------------------------


@versions.command("alias")
@click.argument("workflow", required=False)
@click.argument("alias", required=False)
@click.argument("version", required=False)
@click.option(
    "--split",
    nargs=2,
    type=(str, int),
    metavar="VERSION PERCENT",
    help="Roll out: send this percentage of new runs to another version.",
)
@click.option("--remove", "remove", is_flag=True, help="Remove the alias.")
@note_option
@json_option
@click.pass_context
def alias_(
    ctx: click.Context,
    workflow: str | None,
    alias: str | None,
    version: str | None,
    split: tuple[str, int] | None,
    remove: bool,
    remark: str,
    as_json: bool,
) -> None:
    """Show, set or remove aliases.

    Example: victor versions alias WORKFLOW stable 1.2.0 --split 1.3.0 10
    """
    if remove and (workflow is None or alias is None or version is not None or split is not None):
        raise UsageError("--remove needs a workflow and an alias, and nothing else")
    if split is not None and version is None:
        raise UsageError(
            "--split needs the version that keeps the rest: alias WORKFLOW NAME VERSION --split …"
        )

    async def work(port: Port) -> None:
        if workflow is not None and alias is not None and remove:
            await port.remove_alias(workflow, alias, remark)
            print_line(f"removed: alias {alias} of {workflow}")
        elif workflow is not None and alias is not None and version is not None:
            other, weight = split if split is not None else (None, 0)
            _print_alias(await port.set_alias(workflow, alias, version, other, weight, remark), as_json)
        else:
            found = [info for info in await port.aliases(workflow) if alias in (None, info.name)]
            print_json(found) if as_json else _print_sides(found)

    changes = remove or version is not None
    with_port(ctx, "oneshot" if changes else "read", work)


def _print_alias(info: AliasInfo, as_json: bool) -> None:
    if as_json:
        print_json(info)
        return
    points = " / ".join(f"{side.version} {side.weight}%" for side in info.sides)
    back = f"; rollback: {info.rolls_back_to}" if info.rolls_back_to else ""
    print_line(f"{info.workflow} {info.name} -> {points if len(info.sides) > 1 else info.version}{back}")


def _print_sides(found: list[AliasInfo]) -> None:
    """Print each side of each alias with the outcomes of its runs."""
    rows = [
        (
            info.workflow if index == 0 else "",
            info.name if index == 0 else "",
            side.version,
            f"{side.weight}%",
            side.runs,
            side.active,
            "-" if side.success_rate is None else f"{side.success_rate:.1%}",
            span(side.p50_seconds),
            local(info.since) if index == 0 else "",
            info.set_by if index == 0 else "",
        )
        for info in found
        for index, side in enumerate(info.sides)
    ]
    heads = ("workflow", "alias", "version", "share", "runs", "active", "success", "p50", "since", "by")
    table(heads, rows, "no aliases; to set one, run: victor versions alias WORKFLOW stable VERSION")


@versions.command("promote")
@click.argument("workflow")
@click.argument("alias")
@click.option("--onto", metavar="ALIAS", help="Set this alias to the version of ALIAS.")
@note_option
@json_option
@click.pass_context
def promote(
    ctx: click.Context, workflow: str, alias: str, onto: str | None, remark: str, as_json: bool
) -> None:
    """Promote the second version of an alias.

    It gets all new runs.
    """

    async def work(port: Port) -> None:
        _print_alias(await port.promote_alias(workflow, alias, onto, remark), as_json)

    with_port(ctx, "oneshot", work)


@versions.command("rollback")
@click.argument("workflow")
@click.argument("alias")
@note_option
@json_option
@click.pass_context
def rollback(ctx: click.Context, workflow: str, alias: str, remark: str, as_json: bool) -> None:
    """Roll an alias back: send all new runs to its previous version."""

    async def work(port: Port) -> None:
        _print_alias(await port.roll_back_alias(workflow, alias, remark), as_json)

    with_port(ctx, "oneshot", work)
