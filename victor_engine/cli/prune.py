"""The command `victor versions prune`, which deletes unused versions."""

from __future__ import annotations

import sys

import click

from victor_engine.api import Port, PruneReport
from victor_engine.cli.output import print_json, print_line, print_note, with_port
from victor_engine.cli.plans import LEFT_OUT, LISTED, plan_option, print_plan, read_token
from victor_engine.errors import UsageError


@click.command("prune")
@click.argument("workflow", required=False)
@click.option("--dry-run", is_flag=True, help="List the unused versions and delete nothing (the default).")
@plan_option
@click.option("--note", "remark", default="", help="Note for the history.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def prune(
    ctx: click.Context, workflow: str | None, dry_run: bool, token: str | None, remark: str, as_json: bool
) -> None:
    """Delete the versions of WORKFLOW, or of all workflows, that nothing uses.

    The command lists them and prints a plan. To delete them, run it with --plan TOKEN. A version stays if it is in
    force, if a file, an alias, a schedule or another workflow refers to it, if a stored run has used it, or if
    migrations lead through it. The exit code is 5 if a version of the plan is used since.
    """
    plan = read_token(token)
    if plan is not None and (dry_run or workflow is not None):
        raise UsageError("--plan names the versions to delete; give it without a workflow and --dry-run")

    async def work(port: Port) -> int:
        report = await (port.plan_prune(workflow) if plan is None else port.prune_versions(plan, remark))
        print_json(report) if as_json else _print(report)
        return LEFT_OUT if report.applied and any(each.changed for each in report.versions) else 0

    sys.exit(with_port(ctx, "read" if plan is None else "oneshot", work))


def _print(report: PruneReport) -> None:
    done = report.count("deleted" if report.applied else "ready")
    verb = "deleted" if report.applied else "would be deleted"
    print_line(f"{done} versions {verb}, {report.count('kept')} kept")
    for each in report.versions[:LISTED]:
        print_line(
            f"{each.workflow} {each.version}  {each.outcome}{f': {each.reason}' if each.reason else ''}"
        )
    if len(report.versions) > LISTED:
        print_note(f"… {len(report.versions) - LISTED} more; --json prints all")
    if done and not report.applied:
        print_plan(report.plan)
