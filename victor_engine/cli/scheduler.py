"""The command group `victor scheduler`, which controls the daemon and its schedules."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import click

from victor_engine.api import Port, ScheduleInfo
from victor_engine.cli.backfill import backfill
from victor_engine.cli.daemon import start, status, stop
from victor_engine.cli.files import note_schedules, with_files
from victor_engine.cli.install import install, uninstall
from victor_engine.cli.output import (
    json_state,
    local,
    note_limit,
    print_error,
    print_json,
    print_line,
    span,
    table,
    with_port,
)
from victor_engine.cli.plans import plan_option, print_plan, read_token
from victor_engine.cli.schedule_tools import (
    as_option,
    calendars,
    drain,
    explain,
    local_zone,
    next_fire,
    preview,
    read_settings,
    show_fires,
    undrain,
    wall_time,
)
from victor_engine.errors import UsageError, VictorError

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
note_option = click.option("--note", "remark", default="", help="Note for the audit trail.")


@click.group()
def scheduler() -> None:
    """Control the daemon and its schedules."""


@scheduler.command("list")
@json_option
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """List all schedules."""

    async def work(port: Port) -> None:
        found = await port.schedules()
        if as_json:
            print_json(await with_files(port, found, lambda each: str(each.spec.workflow)))
            return
        rows = []
        for s in sorted(found, key=lambda s: (s.next_fire is None, s.next_fire, s.id)):
            state = "paused" if s.paused else "problem" if s.problem else "on" if s.spec.enabled else "off"
            last = s.last_fire.run_status or s.last_fire.outcome if s.last_fire else "-"
            rows.append((s.id, s.spec.workflow, state, next_fire(s), last, s.summary))
        table(
            ("id", "workflow", "state", "next fire", "last", "when"),
            rows,
            "no schedules; to add one, run: victor scheduler add WORKFLOW --cron EXPRESSION",
        )
        await note_schedules(port, found)

    with_port(ctx, "read", work)


@scheduler.command("add")
@click.argument("workflow")
@click.option(
    "--cron",
    help='Cron expression with five fields, or an alias: "0 9 * * 1-5", "@daily"; separate several by ";".',
)
@click.option("--every", help="Interval: 45m, 4h, '2 weeks at 09:00'.")
@click.option("--at", help="One time: 2026-03-31T09:00.")
@click.option("--timezone", "--tz", default=None, help="IANA name of the time zone; default: UTC.")
@click.option("--state", metavar="JSON", help="Initial state of each run as a JSON object.")
@click.option("--yaml", "yaml_path", type=click.Path(path_type=Path), help="File that defines the workflow.")
@click.option("--version", metavar="SPEC", help="Exact version, a range such as ^1.2, an alias, or latest.")
@click.option("--catchup", help="Catch-up after downtime: false, latest or all.")
@click.option("--max-active-runs", type=int, help="Maximum number of active runs of this schedule.")
@click.option("--overlap", help="Overlap policy: skip, buffer_one, buffer_all, cancel_running or allow.")
@click.option("--start-date", help="No fires before this date or time.")
@click.option("--end-date", help="No fires after this date or time.")
@click.option(
    "--after",
    help="Fire after these workflows, separated by commas; for other settings, use --set after='{...}'.",
)
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="A key of a schedule: block; YAML value."
)
@note_option
@json_option
@click.pass_context
def add(
    ctx: click.Context,
    /,
    workflow: str,
    state: str | None,
    yaml_path: Path | None,
    after: str | None,
    settings: tuple[str, ...],
    remark: str,
    as_json: bool,
    **given: Any,
) -> None:
    """Add a schedule for WORKFLOW. An engine need not run."""
    initial = json_state(state)
    if yaml_path is not None:
        _check_file(ctx, yaml_path, workflow)
    from victor_engine.scheduling.declarations import spec_from_block

    block = {key: value for key, value in given.items() if value is not None}
    if initial is not None:
        block["initial_state"] = initial
    if after is not None:
        block["after"] = [name.strip() for name in after.split(",")]
    block.update(read_settings(settings))

    async def work(port: Port) -> None:
        spec, errors = spec_from_block(workflow, block, await port.schedule_defaults())
        if spec is None:
            raise UsageError("; ".join(map(as_option, errors)))
        added = await port.add_schedule(spec, remark)
        found = await port.schedule(added.id)
        if as_json:
            print_json(found)
            return
        print_line(
            f"{added.id}  {'added' if added.created else 'exists already'}: {workflow}, {found.summary}"
        )
        print_line(f"next fire {next_fire(found)}")

    with_port(ctx, "oneshot", work)


def _check_file(ctx: click.Context, path: Path, workflow: str) -> None:
    from victor_engine.definition.loader import load_file
    from victor_engine.definition.problem_messages import raise_for
    from victor_engine.service.connect import find

    workspace = find(ctx.obj["workspace"], ctx.obj["state_dir"]).workspace
    result = load_file(path, root=workspace)
    raise_for(result.problems)
    if workflow not in result.workflows:
        raise UsageError(f"{path} defines {', '.join(result.workflows) or 'no workflow'}, not {workflow!r}")
    if workspace.resolve() not in path.resolve().parents:
        raise UsageError(
            f"{path} is outside the workspace {workspace}; move it there, or give its workspace with --workspace"
        )


@scheduler.command("history")
@click.option("--workflow", help="Only fires of this workflow.")
@click.option("--schedule", help="Only fires of this schedule.")
@click.option("--limit", default=30, show_default=True, help="Maximum number of fires to list.")
@json_option
@click.pass_context
def history(
    ctx: click.Context, workflow: str | None, schedule: str | None, limit: int, as_json: bool
) -> None:
    """List fires with their outcomes, newest first."""

    async def work(port: Port) -> None:
        found = await port.fires(schedule, limit, workflow)
        note_limit(len(found), limit)
        if as_json:
            print_json(found)
            return
        rows = []
        for f in found:
            took = span(f.run_seconds)
            rows.append(
                (wall_time(f), f.workflow, f.outcome, f.run_status or "-", took, f.run_id or "-", f.reason)
            )
        table(
            ("nominal", "workflow", "outcome", "run", "took", "run id", "reason"),
            rows,
            "no fires yet",
        )

    with_port(ctx, "read", work)


async def each(
    port: Port, schedules: tuple[str, ...], act: Callable[[ScheduleInfo], Awaitable[str]], as_json: bool
) -> int:
    """Perform an action on each schedule and print a line for each; return the exit code of the first error."""
    code = 0
    results = []
    for given in schedules:
        found: ScheduleInfo | None = None
        try:
            found = await port.schedule(given)
            done, error = await act(found), None
        except VictorError as failure:
            done, error = "", failure.message
            code = code or failure.exit_code
        shown = found.id if found is not None else given
        results.append({"schedule": shown, "ok": error is None, "result": done or error})
        if as_json:
            continue
        if error is not None:
            print_error(f"{shown}: {error}" if len(schedules) > 1 else error)
        else:
            print_line(f"{shown}  {done}")
    if as_json:
        print_json(results)
    return code


def _named(name: str, method: str, text: str, mode: str = "oneshot") -> None:
    @scheduler.command(name, help=text)
    @click.argument("schedules", nargs=-1, required=True, metavar="SCHEDULE...")
    @note_option
    @json_option
    @click.pass_context
    def command(ctx: click.Context, schedules: tuple[str, ...], remark: str, as_json: bool) -> None:
        async def work(port: Port) -> int:
            async def act(schedule: ScheduleInfo) -> str:
                found = await getattr(port, method)(schedule.id, note=remark)
                if method == "remove_schedule":
                    return f"removed: {schedule.spec.workflow}, {schedule.summary}"
                if method == "resume_schedule":
                    return f"resumed: {found.spec.workflow}, {found.summary}, next fire {next_fire(found)}"
                return f"next fire skipped: {found.spec.workflow}, {local(found.next_fire)}"

            return await each(port, schedules, act, as_json)

        sys.exit(with_port(ctx, mode, work))


_named("remove", "remove_schedule", "Remove schedules and keep their history.")
_named("resume", "resume_schedule", "Resume paused schedules.")
_named("skip", "skip_next", "Skip the next fire of schedules.")


@scheduler.command("trigger")
@click.argument("schedules", nargs=-1, required=True, metavar="SCHEDULE...")
@click.option("--state", metavar="JSON", help="Initial state of the run, instead of that of the schedule.")
@note_option
@json_option
@click.pass_context
def trigger(
    ctx: click.Context, schedules: tuple[str, ...], state: str | None, remark: str, as_json: bool
) -> None:
    """Start a run of each schedule immediately."""
    given = json_state(state)

    async def work(port: Port) -> int:
        async def act(schedule: ScheduleInfo) -> str:
            run = await port.trigger_schedule(schedule.id, given, remark)
            return f"run {run.id} of {run.workflow} {run.version}: {run.status}"

        return await each(port, schedules, act, as_json)

    sys.exit(with_port(ctx, "attach", work))


@scheduler.command("pause")
@click.argument("schedules", nargs=-1, required=True, metavar="SCHEDULE...")
@click.option("--until", help="Resume automatically at this local time: monday 07:30, 4h, 2026-03-31T09:00.")
@note_option
@json_option
@click.pass_context
def pause(
    ctx: click.Context, schedules: tuple[str, ...], until: str | None, remark: str, as_json: bool
) -> None:
    """Pause schedules."""

    async def work(port: Port) -> int:
        end = None
        if until is not None:
            from victor_engine.scheduling.natural_time import moment

            end = moment(until, (await port.engine()).now, local_zone())

        async def act(schedule: ScheduleInfo) -> str:
            await port.pause_schedule(schedule.id, remark, end)
            return "paused" + (f" until {local(end)}" if end is not None else "")

        return await each(port, schedules, act, as_json)

    sys.exit(with_port(ctx, "oneshot", work))


@scheduler.command("edit")
@click.argument("schedule")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="A key of a schedule: block; YAML value."
)
@click.option("--cron", help="New cron expression; separate several by ';'.")
@click.option("--every", help="New interval: 45m, 4h, '2 weeks at 09:00'.")
@click.option("--at", help="New time of a schedule that fires once.")
@click.option("--timezone", "--tz", default=None, help="New time zone, an IANA name.")
@click.option("--state", metavar="JSON", help="New initial state of each run as a JSON object.")
@click.option("--dry-run", is_flag=True, help="Show the changes and save nothing.")
@click.option("--yes", is_flag=True, help="Save without confirmation.")
@plan_option
@note_option
@click.pass_context
def edit(
    ctx: click.Context,
    /,
    schedule: str,
    settings: tuple[str, ...],
    state: str | None,
    dry_run: bool,
    yes: bool,
    token: str | None,
    remark: str,
    **given: Any,
) -> None:
    """Change a schedule. Shows the changes and the next ten fires before it saves."""
    block = {key: value for key, value in given.items() if value is not None}
    initial = json_state(state)
    if initial is not None:
        block["initial_state"] = initial
    block.update(read_settings(settings))
    plan = read_token(token)
    if plan is not None and (block or dry_run):
        raise UsageError(
            "--plan contains the changes; remove the other options that change the schedule, and --dry-run"
        )
    if not block and plan is None:
        raise UsageError("give a change: --cron, --every, --at, --tz, --state or --set KEY=VALUE")

    async def work(port: Port) -> None:
        found = await port.schedule(schedule)
        if plan is not None:
            from victor_engine.domain.plans import read_plan
            from victor_engine.scheduling.plan_fingerprints import EDIT, edited_spec

            wanted = edited_spec(read_plan(plan, EDIT, (await port.engine()).now))
            print_line(
                f"{found.id}  changed: {(await port.edit_schedule(found.id, wanted, remark, plan)).summary}"
            )
            return
        from victor_engine.scheduling.declarations import changed_spec, describe_changes

        spec, errors = changed_spec(found.spec, block)
        if spec is None:
            raise UsageError("; ".join(map(as_option, errors)))
        changes = describe_changes(found.spec, spec)
        if not changes:
            print_line(f"{found.id}  no changes")
            return
        preview = await port.preview_schedule(spec, 10, None, found.id)
        if preview.problem is not None:
            raise UsageError(preview.problem)
        for change in changes:
            print_line(change)
        show_fires(preview, spec)
        if dry_run:
            print_plan(preview.plan)
            return
        if not yes and not click.confirm("Save these changes?", err=True):
            print_line("not saved")
            return
        await port.edit_schedule(found.id, spec, remark, preview.plan)
        print_line(f"{found.id}  changed: {preview.summary}")

    with_port(ctx, "read" if dry_run else "oneshot", work)


for _command in (
    start,
    stop,
    status,
    install,
    uninstall,
    explain,
    backfill,
    drain,
    undrain,
    calendars,
    preview,
):
    scheduler.add_command(_command)
