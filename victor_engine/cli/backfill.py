"""The commands of backfills."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from typing import Any

import click
from click.core import ParameterSource

from victor_engine.api import BackfillInfo, BackfillSpec, Port
from victor_engine.cli.output import local, print_json, print_line, print_note, span, table, with_port
from victor_engine.cli.plans import LEFT_OUT, LISTED, plan_option, print_plan, read_token
from victor_engine.cli.schedule_tools import json_option, note_option
from victor_engine.errors import UsageError, VictorError


@click.group()
def backfill() -> None:
    """Start the fires of a past period."""


@backfill.command("start")
@click.argument("schedule")
@click.option("--from", "start", help="Start, in the schedule's time zone: 2026-03-01, yesterday, -7d.")
@click.option("--to", "end", help="End, written as --from; a date includes that day; default: now.")
@click.option(
    "--range",
    "natural",
    help='Period instead of --from and --to: "last week", "2026-03-01..2026-03-07".',
)
@click.option(
    "--order",
    type=click.Choice(["oldest", "newest"]),
    default="oldest",
    show_default=True,
    help="Fires to start first.",
)
@click.option("--concurrency", default=1, show_default=True, help="Maximum number of active runs.")
@click.option(
    "--redo",
    type=click.Choice(["missing", "failed", "all"]),
    default="missing",
    show_default=True,
    help="Fires to start: those without a run, also those with a failed run, or all.",
)
@click.option("--dry-run", is_flag=True, help="Show the fires and start nothing.")
@click.option("--yes", is_flag=True, help="Start without confirmation.")
@plan_option
@note_option
@json_option
@click.pass_context
def start_(
    ctx: click.Context,
    /,
    schedule: str,
    start: str | None,
    end: str | None,
    natural: str | None,
    dry_run: bool,
    yes: bool,
    token: str | None,
    remark: str,
    as_json: bool,
    **how: Any,
) -> None:
    """Show the fires of a past period and start them. --redo selects fires that already have a run."""
    plan = read_token(token)
    if plan is not None and (
        dry_run or start or end or natural or _changed(ctx, "order", "concurrency", "redo")
    ):
        raise UsageError(
            "--plan contains the fires and the options; remove --dry-run, the range and the options"
        )

    async def work(port: Port) -> int:
        if plan is not None:
            return await _start_planned(port, (await port.schedule(schedule)).id, plan, remark, as_json)
        info = await port.schedule(schedule)
        first, last = _range(start, end, natural, (await port.engine()).now, info.spec.timezone)
        spec = BackfillSpec(info.id, first, last, **how)
        found = await port.preview_backfill(spec)
        if found.problem is not None:
            raise UsageError(found.problem)
        if dry_run and as_json:
            print_json(found)
            return 0
        if not as_json:
            print_line(
                f"{info.id}  {info.spec.workflow} {found.version}: {found.count} fires, {spec.order} first,"
            )
            print_line(
                f"  from {local(found.first)} to {local(found.last)}, at most {spec.concurrency} active"
            )
            if found.left_out or found.excluded:
                print_line(
                    f"  not included: {found.left_out} with a run, {found.excluded} excluded by a calendar"
                )
            if found.estimate_seconds is not None:
                print_line(f"  about {span(found.estimate_seconds)} ({span(found.typical_seconds)} each)")
        if dry_run:
            print_plan(found.plan)
            return 0
        if not yes and not click.confirm("Start this backfill?", err=True):
            print_note("nothing was started")
            return 1
        return _print_started(await port.start_backfill(spec, remark, found.plan), as_json)

    sys.exit(with_port(ctx, "read" if dry_run else "attach", work))


async def _start_planned(port: Port, schedule_id: str, token: str, remark: str, as_json: bool) -> int:
    from victor_engine.domain.plans import read_plan
    from victor_engine.scheduling.plan_fingerprints import BACKFILL, backfill_spec

    spec = backfill_spec(read_plan(token, BACKFILL, (await port.engine()).now))
    if spec.schedule_id != schedule_id:
        raise UsageError(f"--plan is for schedule {spec.schedule_id}, not for {schedule_id}")
    return _print_started(await port.start_backfill(spec, remark, token), as_json)


def _print_started(started: BackfillInfo, as_json: bool) -> int:
    """Print the started backfill; return the exit code, which is 5 if fires were left out."""
    if as_json:
        print_json(started)
    else:
        print_line(f"backfill {started.id} started; to see its progress, run: victor scheduler backfill list")
        for line in started.left_out[:LISTED]:
            print_line(f"  left out, changed since the dry run: {line}")
        if len(started.left_out) > LISTED:
            print_note(f"… {len(started.left_out) - LISTED} more; --json prints all")
    return LEFT_OUT if started.left_out else 0


def _changed(ctx: click.Context, *names: str) -> bool:
    """Return whether one of the named options was given on the command line."""
    return any(ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE for name in names)


def _range(
    start: str | None, end: str | None, natural: str | None, now: datetime, timezone: str
) -> tuple[datetime, datetime]:
    from victor_engine.scheduling.natural_time import moment, stretch
    from victor_engine.scheduling.timezones import get_zone

    zone = get_zone(timezone)
    if (natural is None) == (start is None):
        raise UsageError("give either --range, or --from and --to")
    if natural is not None:
        first, after = stretch(natural, now, zone)
    else:
        first = moment(str(start), now, zone, ahead=False)
        after = now if end is None else stretch(end, now, zone)[1]
    return first, after - timedelta(microseconds=1)


@backfill.command("list")
@click.option("--schedule", help="Only backfills of this schedule.")
@json_option
@click.pass_context
def list_(ctx: click.Context, schedule: str | None, as_json: bool) -> None:
    """List backfills, newest first."""

    async def work(port: Port) -> None:
        found = await port.backfills(schedule)
        if as_json:
            print_json(found)
            return
        rows = [
            (
                b.id,
                b.workflow,
                b.spec.schedule_id,
                b.status,
                _progress(b),
                b.by,
                local(b.created_at),
                b.problem or b.note,
            )
            for b in found
        ]
        table(("id", "workflow", "schedule", "status", "done", "by", "since", "note"), rows, "no backfills")

    with_port(ctx, "read", work)


def _progress(b: BackfillInfo) -> str:
    failed = f", {b.failed} failed" if b.failed else ""
    return f"{b.succeeded + b.failed}/{b.total}{failed}, {b.running} active"


def _control(name: str, method: str, text: str) -> None:
    @backfill.command(name, help=text)
    @click.argument("backfills", type=int, nargs=-1, required=True, metavar="ID...")
    @note_option
    @click.pass_context
    def command(ctx: click.Context, backfills: tuple[int, ...], remark: str) -> None:
        async def work(port: Port) -> int:
            code = 0
            for number in backfills:
                try:
                    found = await getattr(port, method)(number, remark)
                    print_line(f"backfill {number}  {found.status}: {_progress(found)}")
                except VictorError as error:
                    print_note(f"error: {error.message}")
                    code = code or error.exit_code
            return code

        sys.exit(with_port(ctx, "oneshot", work))


_control("pause", "pause_backfill", "Pause backfills: start no further fires until they are resumed.")
_control("resume", "resume_backfill", "Resume backfills.")
_control("cancel", "cancel_backfill", "Cancel backfills: start no further fires; active runs continue.")
