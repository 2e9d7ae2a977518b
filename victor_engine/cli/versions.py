"""`victor versions`: what is registered, who uses it, what differs, and how it ends; aliases that point at it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from victor_engine.api import Port
from victor_engine.cli.migrate import history, migrate, undo
from victor_engine.cli.output import local, note, print_json, say, span, table, with_port
from victor_engine.errors import UsageError
from victor_engine.text import plain

if TYPE_CHECKING:
    from victor_engine.api import AliasInfo, VersionInfo

json_option = click.option("--json", "as_json", is_flag=True, help="JSON for scripts.")
note_option = click.option("--note", "remark", default="", help="Goes into the history.")


@click.group()
def versions() -> None:
    """Versions of workflows."""


versions.add_command(migrate)
versions.add_command(undo)
versions.add_command(history)


def status_words(info: VersionInfo) -> str:
    """The status, with what makes it one."""
    if info.status == "draining":
        return f"draining ({info.active_runs} runs left)"
    if info.status == "ramping" and info.share is not None:
        return f"ramping ({info.share}%)"
    left = f" ({info.active_runs} runs left)" if info.active_runs else ""
    return info.status + (left if info.status in ("deprecated", "removed") else "")


def notice(info: VersionInfo) -> str:
    """What whoever uses a version should know."""
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
@click.option("--deprecated", "only_notices", is_flag=True, help="Only those with a notice.")
@json_option
@click.pass_context
def list_(ctx: click.Context, workflow: str | None, only_notices: bool, as_json: bool) -> None:
    """Versions with their status and use."""

    async def work(port: Port) -> None:
        found = await port.workflows(workflow, "notices" if only_notices else "all")
        shown = [v for info in found for v in info.versions if not only_notices or notice(v)]
        if as_json:
            print_json(shown if only_notices else found)
            return
        rows = [
            (
                v.workflow,
                v.version,
                status_words(v),
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
            "aliases",
            "active",
            "runs",
            "schedules",
            "registered",
            "notice",
        )
        nothing = "no version has a notice" if only_notices else ""
        table(heads, rows, nothing or "nothing is registered yet; start an engine on the workspace once")

    with_port(ctx, "read", work)


@versions.command("show")
@click.argument("workflow")
@click.argument("version", required=False)
@json_option
@click.pass_context
def show(ctx: click.Context, workflow: str, version: str | None, as_json: bool) -> None:
    """The definition of a version, a range or an alias."""

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
    """What differs between two versions: nodes, edges, limits, schedule."""

    async def work(port: Port) -> None:
        found = await port.diff_versions(workflow, old, new)
        if as_json:
            print_json(found)
            return
        for section in dict.fromkeys(line.section for line in found.lines):
            say(f"{section}:")
            for line in found.lines:
                if line.section == section:
                    say(f"  {line.text}")
        if not found.lines:
            note(f"{found.old} and {found.new} are the same")

    with_port(ctx, "read", work)


# --- the life of a version ---------------------------------------------------------------------


def _date(_: click.Context, __: click.Parameter, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no date; write 2027-01-31 or 2027-01-31T12:00+01:00") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


@versions.command("deprecate")
@click.argument("workflow")
@click.argument("version")
@click.option("--message", required=True, help="Why, and what to use instead.")
@click.option("--successor", help="The version to use instead.")
@click.option("--removal", callback=_date, help="When nothing new is to start on it, such as 2027-01-31.")
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
    """Mark a version as one that nobody should start on."""

    async def work(port: Port) -> None:
        found = await port.deprecate(workflow, version, message, successor, removal)
        print_json(found) if as_json else say(
            f"{found.workflow} {found.version} is deprecated: {notice(found)} ({_use(found)})"
        )

    with_port(ctx, "oneshot", work)


def _use(info: VersionInfo) -> str:
    return f"{info.schedules} schedules start on it, {info.active_runs} runs are on it"


@versions.command("remove")
@click.argument("workflow")
@click.argument("version")
@click.option("--message", default="", help="What whoever wants to start on it is told.")
@json_option
@click.pass_context
def remove(ctx: click.Context, workflow: str, version: str, message: str, as_json: bool) -> None:
    """Let nothing new start on a version; what runs on it goes on."""

    async def work(port: Port) -> None:
        found = await port.remove_version(workflow, version, message)
        print_json(found) if as_json else say(
            f"nothing new starts on {found.workflow} {found.version}: {found.removed} ({_use(found)})"
        )

    with_port(ctx, "oneshot", work)


@versions.command("restore")
@click.argument("workflow")
@click.argument("version")
@json_option
@click.pass_context
def restore(ctx: click.Context, workflow: str, version: str, as_json: bool) -> None:
    """Take a deprecation or a removal back."""

    async def work(port: Port) -> None:
        found = await port.restore_version(workflow, version)
        print_json(found) if as_json else say(f"{found.workflow} {found.version} is {found.status}")

    with_port(ctx, "oneshot", work)


# --- aliases -----------------------------------------------------------------------------------


@versions.command("alias")
@click.argument("workflow", required=False)
@click.argument("alias", required=False)
@click.argument("version", required=False)
@click.option(
    "--split", nargs=2, type=(str, int), metavar="VERSION PERCENT", help="Give another one a share."
)
@click.option("--remove", "gone", is_flag=True, help="Take the alias away.")
@note_option
@json_option
@click.pass_context
def alias_(
    ctx: click.Context,
    workflow: str | None,
    alias: str | None,
    version: str | None,
    split: tuple[str, int] | None,
    gone: bool,
    remark: str,
    as_json: bool,
) -> None:
    """Show aliases, or point one at a version: alias WORKFLOW stable 1.2.0 --split 1.3.0 10."""
    if gone and (workflow is None or alias is None or version is not None or split is not None):
        raise UsageError("to take an alias away, name the workflow and the alias, and nothing else")
    if split is not None and version is None:
        raise UsageError(
            "a split needs the version that keeps the rest: alias WORKFLOW NAME VERSION --split …"
        )

    async def work(port: Port) -> None:
        if workflow is not None and alias is not None and gone:
            await port.remove_alias(workflow, alias, remark)
            say(f"{workflow} has no alias {alias} any more")
        elif workflow is not None and alias is not None and version is not None:
            other, weight = split if split is not None else (None, 0)
            _told(await port.set_alias(workflow, alias, version, other, weight, remark), as_json)
        else:
            found = [info for info in await port.aliases(workflow) if alias in (None, info.name)]
            print_json(found) if as_json else _sides(found)

    changes = gone or version is not None
    with_port(ctx, "oneshot" if changes else "read", work)


def _told(info: AliasInfo, as_json: bool) -> None:
    if as_json:
        print_json(info)
        return
    points = " / ".join(f"{side.version} {side.weight}%" for side in info.sides)
    back = f"; roll back leads to {info.rolls_back_to}" if info.rolls_back_to else ""
    say(f"{info.workflow} {info.name} -> {points if len(info.sides) > 1 else info.version}{back}")


def _sides(found: list[AliasInfo]) -> None:
    """Each side of each alias, with what became of the runs on it."""
    rows = [
        (
            info.workflow if place == 0 else "",
            info.name if place == 0 else "",
            side.version,
            f"{side.weight}%",
            side.runs,
            side.active,
            "-" if side.success_rate is None else f"{side.success_rate:.1%}",
            span(side.p50_seconds),
            local(info.since) if place == 0 else "",
            info.set_by if place == 0 else "",
        )
        for info in found
        for place, side in enumerate(info.sides)
    ]
    heads = ("workflow", "alias", "version", "share", "runs", "active", "success", "p50", "since", "by")
    table(
        heads, rows, "no alias points anywhere yet; `victor versions alias WORKFLOW stable VERSION` sets one"
    )


@versions.command("promote")
@click.argument("workflow")
@click.argument("alias")
@click.option("--onto", metavar="ALIAS", help="Point this alias where ALIAS points.")
@note_option
@json_option
@click.pass_context
def promote(
    ctx: click.Context, workflow: str, alias: str, onto: str | None, remark: str, as_json: bool
) -> None:
    """Give the second version of a split alias everything."""

    async def work(port: Port) -> None:
        _told(await port.promote_alias(workflow, alias, onto, remark), as_json)

    with_port(ctx, "oneshot", work)


@versions.command("rollback")
@click.argument("workflow")
@click.argument("alias")
@note_option
@json_option
@click.pass_context
def rollback(ctx: click.Context, workflow: str, alias: str, remark: str, as_json: bool) -> None:
    """Give everything back to the version that had it before."""

    async def work(port: Port) -> None:
        _told(await port.roll_back_alias(workflow, alias, remark), as_json)

    with_port(ctx, "oneshot", work)
