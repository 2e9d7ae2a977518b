"""The commands `victor scheduler explain`, `preview`, `calendars`, `drain`, `undrain` and `backfill`."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import click

from victor_engine.api import FireInfo, Port, ScheduleInfo, SchedulePreview, ScheduleSpec
from victor_engine.cli.files import note_files
from victor_engine.cli.output import local, print_json, print_line, table, with_port
from victor_engine.errors import UsageError

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


def next_fire(schedule: ScheduleInfo) -> str:
    """Return the next fire of a schedule as text, with the reason if it will not run."""
    if schedule.next_fire is None:
        return local(None)
    if schedule.skip_next:
        return f"{local(schedule.next_fire)} (skipped by an operator)"
    if schedule.next_excluded:
        return f"{local(schedule.next_fire)} (excluded by {schedule.next_excluded})"
    if schedule.next_moved is not None:
        return f"{local(schedule.next_fire)} (moved from {local(schedule.next_moved.origin)})"
    return local(schedule.next_fire)


def as_option(error: str) -> str:
    """Return an error of a `schedule:` block with the name of the option in place of its key."""
    key, colon, rest = error.partition(": ")
    if not colon or not key.startswith("schedule"):
        return error
    return f"--{key.removeprefix('schedule.').replace('_', '-')}: {rest}" if "." in key else rest


def read_settings(given: tuple[str, ...]) -> dict[str, Any]:
    """Return `KEY=VALUE` settings as a mapping. Values are YAML."""
    from victor_engine.definition.yaml_document import parse
    from victor_engine.yamlnodes import YamlError

    found: dict[str, Any] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"--set {text!r} is not KEY=VALUE; write for example --set jitter=5m")
        try:
            documents = parse(value)
        except YamlError as error:
            raise UsageError(f"--set {key}: {value[:80]!r} is not a YAML value: {error.message}") from None
        if len(documents) > 1:
            raise UsageError(f"--set {key}: {value[:80]!r} is more than one YAML value")
        found[key.strip()] = documents[0].data if documents else None
    return found


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
        await note_files(port, {found.workflow})
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
@click.option("--cron", help="Cron expression; separate several by ';'.")
@click.option("--every", help="Interval: 45m, 4h, '2 weeks at 09:00'.")
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
            spec, errors = spec_from_block("", {**given, "cron": schedule}, await port.schedule_defaults())
            known = None
        elif schedule is not None:
            info = await port.schedule(schedule)
            spec, errors = changed_spec(info.spec, given) if given else (info.spec, [])
            known = info.id
        else:
            spec, errors = spec_from_block("", given, await port.schedule_defaults())
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


def wall_time(fire: FireInfo) -> str:
    """Return the wall time of a fire with its zone, and whether it is the second pass of a time that occurs twice."""
    wall = fire.local.partition(" ")[0] if fire.timezone else fire.local
    zone = f" {fire.timezone}" if fire.timezone and not wall.endswith("Z") else ""
    return f"{wall}{zone}{' (second pass)' if fire.fold else ''}"


def show_fires(found: SchedulePreview, spec: ScheduleSpec) -> None:
    """Print fires in the schedule's time zone and in local time, with excluded fires and clock changes."""
    from victor_engine.scheduling.timezones import get_zone

    zone = get_zone(spec.timezone)
    excluded = {item.at: item.reason for item in found.excluded}
    moved = {item.at: item for item in found.moved}
    rows = []
    last = None
    change = found.clock_change
    later = [fire for fire in (change.before, change.after) if fire is not None] if change is not None else []
    for fire in (*found.fires, *later):
        if later and fire == later[0]:
            rows.append(("…", "", ""))
        there = fire.astimezone(zone)
        remark = f"excluded by {excluded[fire]}" if fire in excluded else ""
        if fire in moved:
            origin = moved[fire].origin.astimezone(zone)
            remark = f"moved from {origin:%a %Y-%m-%d %H:%M}: {moved[fire].reason}"
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
