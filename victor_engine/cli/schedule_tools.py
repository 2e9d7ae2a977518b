"""The commands `victor scheduler explain`, `preview`, `calendars`, `drain`, `undrain` and `backfill`."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import click
from click.core import ParameterSource

from victor_engine.api import BackfillInfo, BackfillSpec, Port, SchedulePreview, ScheduleSpec
from victor_engine.cli.output import local, print_json, print_line, print_note, span, table, with_port
from victor_engine.cli.plans import LEFT_OUT, LISTED, plan_option, print_plan, read_token
from victor_engine.errors import UsageError, VictorError

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
note_option = click.option("--note", "remark", default="", help="Note for the audit trail.")


def local_zone() -> ZoneInfo:
    """Return the local time zone: TZ, or that of the machine, or UTC if neither is an IANA name."""
    import os
    from pathlib import Path

    from victor_engine.scheduling.timezones import get_zone

    name = os.environ.get("TZ", "").lstrip(":")
    if not name:
        target = str(Path("/etc/localtime").resolve())
        name = target.partition("zoneinfo/")[2]
    try:
        return get_zone(name or "UTC")
    except ValueError:
        return ZoneInfo("UTC")


def as_option(error: str) -> str:
    """Return an error of a `schedule:` block with the name of the option in place of its key."""
    key, colon, rest = error.partition(": ")
    if not colon or not key.startswith("schedule"):
        return error
    return f"--{key.removeprefix('schedule.').replace('_', '-')}: {rest}" if "." in key else rest


@click.command("explain")
@click.argument("schedule")
@click.option(
    "--at",
    help="Instant, day or period in the schedule's time zone: 02:30, yesterday 02:00, 2026-03-08, last week, A..B.",
)
@json_option
@click.pass_context
def explain(ctx: click.Context, schedule: str, at: str | None, as_json: bool) -> None:
    """Explain why SCHEDULE did or did not fire.

    Explains the current state or, with --at, an instant, a day or a period.
    """

    async def work(port: Port) -> None:
        info = await port.schedule(schedule) if at is not None else None
        start: datetime | None = None
        end: datetime | None = None
        if at is not None and info is not None:
            from victor_engine.scheduling.natural_time import stretch
            from victor_engine.scheduling.timezones import get_zone

            now = (await port.engine()).now
            start, end = stretch(at, now, get_zone(info.spec.timezone))
            if end - start <= timedelta(minutes=1):
                end = None
        found = await port.explain_schedule(schedule, start, end)
        if as_json:
            print_json(found)
            return
        print_line(f"{found.schedule_id}  {found.workflow}")
        print_line(found.headline)
        for line in found.lines:
            print_line(
                f"  {local(line.at):<24} {line.text}" if line.at is not None else f"  {'':<24} {line.text}"
            )

    with_port(ctx, "read", work)


@click.command("preview")
@click.argument("schedule", required=False)
@click.option("--cron", help="Cron expression.")
@click.option("--every", help="Interval: 45m, 4h.")
@click.option("--timezone", "--tz", default=None, help="IANA name of the time zone.")
@click.option("-n", "--count", default=10, show_default=True, help="Number of fires.")
@click.option("--after", "start", help="Show fires after this time; default: now.")
@json_option
@click.pass_context
def preview(
    ctx: click.Context,
    schedule: str | None,
    cron: str | None,
    every: str | None,
    timezone: str | None,
    count: int,
    start: str | None,
    as_json: bool,
) -> None:
    """Show the next fires of a schedule.

    SCHEDULE is an id or a cron expression. Instead of it, give --cron or --every.
    """

    async def work(port: Port) -> None:
        from victor_engine.scheduling.declarations import changed_spec, spec_from_block
        from victor_engine.scheduling.natural_time import moment

        block = {"cron": cron, "every": every, "timezone": timezone}
        given = {key: value for key, value in block.items() if value is not None}
        if schedule is not None and (" " in schedule.strip() or schedule.startswith("@")):
            spec, errors = spec_from_block("preview", {**given, "cron": schedule})
            known = None
        elif schedule is not None:
            info = await port.schedule(schedule)
            spec, errors = changed_spec(info.spec, given) if given else (info.spec, [])
            known = info.id
        else:
            spec, errors = spec_from_block("preview", given)
            known = None
        if spec is None:
            raise UsageError("; ".join(map(as_option, errors)))
        after = None if start is None else moment(start, (await port.engine()).now, local_zone())
        found = await port.preview_schedule(spec, count, after, known)
        if as_json:
            print_json(found)
            return
        if found.problem is not None:
            raise UsageError(found.problem)
        print_line(found.summary)
        show_fires(found, spec)

    with_port(ctx, "read", work)


def show_fires(found: SchedulePreview, spec: ScheduleSpec) -> None:
    """Print fires in the schedule's time zone and in local time, with excluded fires and clock changes."""
    from victor_engine.scheduling.timezones import get_zone

    zone = get_zone(spec.timezone)
    excluded = {item.at: item.reason for item in found.excluded}
    rows = []
    last = None
    change = found.clock_change
    later = [fire for fire in (change.before, change.after) if fire is not None] if change is not None else []
    for fire in (*found.fires, *later):
        if later and fire == later[0]:
            rows.append(("…", "", ""))
        there = fire.astimezone(zone)
        remark = f"excluded by {excluded[fire]}" if fire in excluded else ""
        if last is not None and last.utcoffset() != there.utcoffset():
            remark = f"{remark}; clock change" if remark else "clock change"
        rows.append((f"{there:%a %Y-%m-%d %H:%M:%S %z}", local(fire), remark))
        last = there
    table((spec.timezone, "local time", ""), rows, "no further fires")


@click.command("calendars")
@json_option
@click.pass_context
def calendars(ctx: click.Context, as_json: bool) -> None:
    """List exclusion calendars.

    Shows the next entry and the schedules of each. The exit code is 3 if a calendar cannot be read.
    """

    async def work(port: Port) -> int:
        found = await port.calendars()
        if as_json:
            print_json(found)
            return 0
        rows = []
        for calendar in found:
            entry = calendar.upcoming[0] if calendar.upcoming else None
            text = f"{entry.name}, {local(entry.start)}" if entry else "no entry in the next 400 days"
            rows.append((calendar.name, calendar.problem or text, ", ".join(calendar.used_by) or "-"))
        table(
            ("calendar", "next", "used by"),
            rows,
            "no calendars; declare them under calendars: in victor.yaml",
        )
        return 3 if any(calendar.problem for calendar in found) else 0

    sys.exit(with_port(ctx, "read", work))


@click.command("drain")
@note_option
@click.pass_context
def drain(ctx: click.Context, remark: str) -> None:
    """Drain the engine: start no new runs.

    Active runs continue. Draining also holds after a restart, until `victor scheduler undrain`.
    """

    async def work(port: Port) -> None:
        info = await port.drain(remark)
        print_line(
            f"draining: {info.running} running, {info.queued} queued, {info.waiting} waiting; no new runs start"
        )

    with_port(ctx, "oneshot", work)


@click.command("undrain")
@note_option
@click.pass_context
def undrain(ctx: click.Context, remark: str) -> None:
    """Stop draining: new runs start again."""

    async def work(port: Port) -> None:
        info = await port.undrain(remark)
        print_line(
            f"no longer draining; next fire {local(info.next_fire)} ({info.next_fire_workflow or '-'})"
        )

    with_port(ctx, "oneshot", work)


# --- backfill --------------------------------------------------------------------------------------


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
