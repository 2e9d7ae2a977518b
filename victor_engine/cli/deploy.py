"""The commands `victor plan` and `victor deploy`: the files of the workspace, and what is in force."""

from __future__ import annotations

import sys

import click

from victor_engine.api import DeploymentInfo, DeploymentPlan, Port
from victor_engine.cli.output import print_error, print_json, print_line, print_note, with_port
from victor_engine.cli.plans import plan_option, print_plan, read_token
from victor_engine.cli.workspaces import require_workspace
from victor_engine.text import plural

SIGNS = {"new": "+", "changed": "~", "reverted": "<", "vanished": "-", "registered": "+"}
"""The mark of a line by the kind of its change; `*` for the others."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
undo_option = click.option("--undo", is_flag=True, help="Take the last deployment back.")


@click.command()
@undo_option
@json_option
@click.pass_context
def plan(ctx: click.Context, undo: bool, as_json: bool) -> None:
    """Compare the files with the versions in force, and write nothing.

    The exit code is 3 if a file has an error, and 6 if one is not trusted, so that nothing can be deployed.
    """
    found = _plan(ctx, undo)
    if as_json:
        print_json(found)
    else:
        print_changes(found)
        if found.plan and not found.untrusted:
            print_plan(found.plan)
            print_note(f"to deploy exactly this, run: victor deploy{' --undo' if undo else ''} --plan TOKEN")
    sys.exit(3 if found.errors else 6 if found.untrusted else 0)


@click.command()
@undo_option
@click.option("--yes", is_flag=True, help="Deploy without confirmation.")
@plan_option
@json_option
@click.pass_context
def deploy(ctx: click.Context, undo: bool, yes: bool, token: str | None, as_json: bool) -> None:
    """Put the versions and schedules of the files in force, all of them or none.

    Shows the changes and asks on a terminal, where yes also gives trust to the content of the files. Active runs
    keep their versions. The exit code is 3 if a file has an error.
    """
    chosen = read_token(token)
    if chosen is None:
        found = _plan(ctx, undo)
        if found.errors or not found.changes:
            if as_json:
                print_json(found)
            else:
                print_changes(found)
            if found.errors:
                print_error(f"nothing was deployed: {plural(len(found.errors), 'error')}")
            sys.exit(3 if found.errors else 6 if found.untrusted else 0)
        if not as_json:
            print_changes(found)
        if found.untrusted and not sys.stdin.isatty():
            print_error("nothing was deployed: the files are not trusted. Review them, and run: victor trust")
            sys.exit(6)
        if found.untrusted:
            if not _trusted_now(ctx, found):
                print_line("nothing was deployed")
                return
        elif not yes:
            if not sys.stdin.isatty():
                print_error(
                    "nothing was deployed; give --yes, or --plan TOKEN with the token of `victor plan`"
                )
                sys.exit(2)
            if not click.confirm("Deploy these changes?", err=True):
                print_line("nothing was deployed")
                return
        chosen = found.plan
        if found.untrusted and not _plan(ctx, undo).changes:
            print_line("trusted; the engine took the files into use")
            return

    async def work(port: Port) -> DeploymentInfo:
        return await port.deploy(chosen, undo)

    done = with_port(ctx, "deploy", work)
    if as_json:
        print_json(done)
        return
    verb = f"deployment {done.number}" + (f" takes deployment {done.undoes} back" if done.undoes else "")
    print_line(f"{verb}: {plural(len(done.lines), 'change')} in force")


def _trusted_now(ctx: click.Context, found: DeploymentPlan) -> bool:
    """Ask for trust in the content of a plan and for its deployment; return the answer, and give the trust."""
    import asyncio

    from victor_engine.cli.trust import yes_to
    from victor_engine.service.connect import find

    if not click.confirm("Trust this content, and deploy these changes?", err=True):
        return False
    asyncio.run(yes_to(find(ctx.obj["workspace"], ctx.obj["state_dir"]), found.content))
    return True


def _plan(ctx: click.Context, undo: bool) -> DeploymentPlan:
    """Return the plan, also of a workspace that no engine has opened."""
    require_workspace(ctx)
    if ctx.obj.get("open_port") is None:
        import asyncio

        from victor_engine.service.connect import find
        from victor_engine.service.finding import attach
        from victor_engine.service.read_only import plan_without_store

        paths = find(ctx.obj["workspace"], ctx.obj["state_dir"])

        async def without_store() -> DeploymentPlan:
            port = await attach(paths, "cli")  # an engine of another user has another state directory
            if port is None:
                return await plan_without_store(paths.workspace, undo=undo)
            try:
                return await port.plan_deployment(undo)
            finally:
                await port.close()

        if not paths.state_dir.exists():
            return asyncio.run(without_store())

    async def work(port: Port) -> DeploymentPlan:
        return await port.plan_deployment(undo)

    return with_port(ctx, "read", work)


def print_changes(found: DeploymentPlan) -> None:
    """Print the changes of a plan on standard output, and its problems on standard error."""
    from victor_engine.definition.problem_messages import describe

    for change in found.changes:
        print_line(f"{SIGNS.get(change.kind, '*')} {change.text}")
    if not found.changes and not found.errors:
        print_line("no changes: the files and the versions in force are the same")
    told = {change.workflow for change in found.changes}
    for each in found.workflows:
        if each.state == "missing" and each.workflow not in told:
            print_note(f"{each.workflow}: files missing: {each.text}; version {each.version} stays in force")
    for problem in (*found.problems, *found.untrusted):
        print_note(describe(problem))
    if found.undone and found.last is not None:
        print_note(f"undone by {found.last.by} {found.last.at.astimezone():%H:%M}; files differ")
