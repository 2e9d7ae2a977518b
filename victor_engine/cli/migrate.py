"""The commands `victor versions migrate`, `undo` and `history`, which migrate runs and schedules."""

from __future__ import annotations

import json
import sys

import click

from victor_engine.api import (
    MigrationPreview,
    MigrationReport,
    MigrationSpec,
    MigrationStepResult,
    Port,
    RunMove,
)
from victor_engine.cli.output import (
    json_state,
    local,
    note_limit,
    print_json,
    print_line,
    print_note,
    table,
    with_port,
)
from victor_engine.cli.plans import plan_option, print_plan, read_token
from victor_engine.errors import UsageError

LISTED = 50
"""Maximum number of runs of a report that are printed."""

REFUSED = 5
"""The exit code if a run or schedule was not migrated."""


@click.command("migrate")
@click.argument("workflow")
@click.argument("old")
@click.argument("new")
@click.option("--dry-run", is_flag=True, help="Show the result and change nothing.")
@click.option("--apply", "apply_", is_flag=True, help="Migrate the runs that can be migrated.")
@plan_option
@click.option("--state", metavar="JSON", help="Show the result for this state; - reads standard input.")
@click.option("--run", "run_ids", multiple=True, help="Migrate only this run; can be repeated.")
@click.option("--schedules", is_flag=True, help="Also migrate the schedules that use OLD.")
@click.option("--note", "remark", default="", help="Note for the history.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def migrate(
    ctx: click.Context,
    workflow: str,
    old: str,
    new: str,
    dry_run: bool,
    apply_: bool,
    token: str | None,
    state: str | None,
    run_ids: tuple[str, ...],
    schedules: bool,
    remark: str,
    as_json: bool,
) -> None:
    """Migrate runs from version OLD to version NEW.

    Waiting, paused and failed runs can be migrated. The exit code is 5 if a run or schedule was not migrated.
    """
    plan = read_token(token)
    apply_ = apply_ or plan is not None
    if dry_run == apply_:
        raise UsageError("give --dry-run to see the result, or --apply to migrate")
    if state is not None and (apply_ or run_ids):
        raise UsageError("--state needs --dry-run, and cannot be combined with --run")
    given = json_state(state)

    async def work(port: Port) -> int:
        if given is not None:
            preview = await port.preview_migration(workflow, old, new, given)
            print_json(preview) if as_json else _print_preview(preview)
            return 0
        spec = MigrationSpec(
            workflow,
            new,
            run_ids=run_ids,
            from_version=None if run_ids and not schedules else old,
            schedules=schedules,
        )
        if run_ids and schedules:
            raise UsageError("give either --run or --schedules, and not both")
        report = await (port.migrate_runs(spec, remark, plan) if apply_ else port.plan_migration(spec))
        print_json(report) if as_json else _print_report(report)
        if not apply_ and not as_json:
            print_plan(report.plan)
        if report.batch:
            print_note(f"to undo it, run: victor versions undo --batch {report.batch}")
        behind = report.count("refused") + sum(move.outcome == "refused" for move in report.schedules)
        return REFUSED if apply_ and behind else 0

    sys.exit(with_port(ctx, "oneshot" if apply_ else "read", work))


def _print_preview(found: MigrationPreview) -> None:
    print_line(f"{_chain(found.path) or 'no migration is needed'}{' (breaking)' if found.breaking else ''}")
    _print_steps(found.steps)
    _print_alternatives(found.alternatives)
    print_line(f"before: {json.dumps(found.before, indent=2)}")
    print_line(f"after:  {json.dumps(found.after, indent=2)}")


def _chain(path: tuple[str, ...]) -> str:
    return " then ".join(path)


def _print_steps(steps: tuple[MigrationStepResult, ...]) -> None:
    for step in steps:
        print_line(f"  - {step.step}{f': {step.position}' if step.position else ''}")
        for line in step.changes:
            print_line(f"      {line}")


def _print_alternatives(alternatives: tuple[tuple[str, ...], ...]) -> None:
    for path in alternatives:
        print_line(f"    alternative path: {_chain(path)}")


def _print_report(report: MigrationReport) -> None:
    done = report.count("migrated") if report.applied else report.count("ready")
    refused = [move for move in report.runs if move.outcome == "refused"]
    verb = "migrated" if report.applied else "would be migrated"
    print_line(f"{done} runs {verb} to {report.workflow} {report.to_version}, {len(refused)} refused")
    for move in report.runs[:LISTED]:
        _print_run(move)
    if len(report.runs) > LISTED:
        print_note(f"… {len(report.runs) - LISTED} more; --json prints all")
    for schedule in report.schedules:
        why = f": {schedule.reason}" if schedule.reason else ""
        print_line(
            f"schedule {schedule.schedule_id}  {schedule.from_version} -> {schedule.to_version}  "
            f"{schedule.outcome}{why}"
        )
        for line in schedule.changes:
            print_line(f"    {line}")


def _print_run(move: RunMove) -> None:
    if move.outcome == "refused":
        print_line(f"run {move.run_id}  {move.from_version}  refused: {move.reason}")
        return
    print_line(
        f"run {move.run_id}  {_chain(move.path)}{' (breaking)' if move.breaking else ''}  {move.outcome}"
    )
    _print_steps(move.steps)
    if move.stands_on != move.goes_on_at:
        print_line(f"    {', '.join(move.stands_on)} -> {', '.join(move.goes_on_at)}")
    for line in (*move.questions, *move.timers):
        print_line(f"    {line}")
    _print_alternatives(move.alternatives)


@click.command("undo")
@click.argument("run_id", metavar="RUN", required=False)
@click.option("--batch", metavar="ID", help="Undo all migrations of one `versions migrate --apply`.")
@click.option("--note", "remark", default="", help="Note for the history.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def undo(ctx: click.Context, run_id: str | None, batch: str | None, remark: str, as_json: bool) -> None:
    """Undo the last migration of RUN, or the migrations of a whole batch.

    `versions migrate --apply` and `versions history` print the id of the batch. Runs that have continued since, or
    were migrated again, stay; the exit code is then 5.
    """
    if (run_id is None) == (batch is None):
        raise UsageError("give either a run or --batch ID; `victor versions history` lists both")

    async def work(port: Port) -> int:
        if batch is not None:
            report = await port.unmigrate_runs(batch, remark)
            print_json(report) if as_json else _print_undone(report)
            stay = report.count("refused") + sum(move.outcome == "refused" for move in report.schedules)
            return REFUSED if stay else 0
        found = await port.unmigrate_run(run_id or "", remark)
        print_json(found) if as_json else print_line(
            f"{found.id} is back on {found.workflow} {found.version}"
        )
        return 0

    sys.exit(with_port(ctx, "oneshot", work))


def _print_undone(report: MigrationReport) -> None:
    done = report.count("migrated")
    print_line(
        f"{done} runs are back on {report.workflow} {report.to_version}, {len(report.runs) - done} refused"
    )
    for move in [move for move in report.runs if move.outcome == "refused"][:LISTED]:
        print_line(f"run {move.run_id}  {move.from_version}  refused: {move.reason}")
    for each in report.schedules:
        end = f"refused: {each.reason}" if each.outcome == "refused" else f"is back on {each.to_version}"
        print_line(f"schedule {each.schedule_id}  {end}")


@click.command("history")
@click.argument("workflow", required=False)
@click.option("--run", "run_id", help="Only migrations of this run.")
@click.option("--limit", default=50, show_default=True, help="Maximum number of migrations to list.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def history(ctx: click.Context, workflow: str | None, run_id: str | None, limit: int, as_json: bool) -> None:
    """List migrations of runs, newest first."""

    async def work(port: Port) -> None:
        found = await port.run_migrations(workflow, run_id, limit)
        note_limit(len(found), limit)
        if as_json:
            print_json(found)
            return
        rows = [
            (
                local(entry.at),
                entry.run_id,
                entry.workflow,
                _chain(entry.path),
                entry.batch,
                entry.by,
                f"undone by {entry.undone_by}" if entry.undone_at else "",
                entry.moved,
            )
            for entry in found
        ]
        table(("at", "run", "workflow", "path", "batch", "by", "undone", "moved"), rows, "no migrations")

    with_port(ctx, "read", work)
