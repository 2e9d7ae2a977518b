"""The commands of `victor runs` that do runs again: retry, redrive and rerun."""

from __future__ import annotations

from typing import Any

import click

from victor_engine.api import Port, RunInfo
from victor_engine.cli.output import json_state
from victor_engine.cli.plans import plan_option, read_token
from victor_engine.cli.run_actions import (
    Planning,
    cause_option,
    dry_run_option,
    json_option,
    note_option,
    run_them,
)
from victor_engine.cli.state_changes import read_settings, with_changes
from victor_engine.errors import UsageError

state_options = (
    click.option("--state", metavar="JSON", help="New state as a JSON object; - reads standard input."),
    click.option("--state-file", type=click.File("r", encoding="utf-8"), help="New state from a JSON file."),
)


def _option_of(token: str | None, name: str, given: str | None) -> str | None:
    """Return the given value of an option, or else that of the plan."""
    if given is not None or token is None:
        return given
    from victor_engine.domain.plans import open_plan

    value = open_plan(token).options.get(name)
    return None if value is None else str(value)


restart_children_option = click.option(
    "--restart-children",
    is_flag=True,
    help="Start another child run instead of continuing the one that stopped.",
)


@click.command("retry")
@click.argument("runs", nargs=-1)
@restart_children_option
@dry_run_option
@plan_option
@note_option
@json_option
@click.pass_context
def retry(
    ctx: click.Context,
    runs: tuple[str, ...],
    restart_children: bool,
    dry_run: bool,
    token: str | None,
    note: str,
    as_json: bool,
) -> None:
    """Retry failed or cancelled runs where they stopped.

    If a child run stopped there, it continues: its finished nodes are not repeated.
    """
    planning = Planning("retry", dry_run, read_token(token))
    if not runs and planning.token is None:
        raise UsageError("give run ids or --plan TOKEN")

    async def action(port: Port, run_id: str, plan: str | None) -> RunInfo:
        return await port.retry_run(run_id, note, plan, restart_children)

    run_them(ctx, "oneshot", runs, None, action, as_json, planning)


@click.command("redrive")
@click.argument("runs", nargs=-1)
@cause_option
@click.option(
    "--from", "from_node", metavar="NODE", help="Node to continue from; default: where the run stopped."
)
@state_options[0]
@state_options[1]
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set one value of the state, such as target.region=eu.",
)
@click.option("--unset", multiple=True, metavar="KEY", help="Remove one value of the state.")
@click.option("--rewind", is_flag=True, help="Use the state from before the last visit to the node.")
@click.option("--version", help="Continue on another version of the workflow.")
@click.option("--if-revision", type=int, help="Only if the run is still at this revision.")
@restart_children_option
@dry_run_option
@plan_option
@note_option
@json_option
@click.pass_context
def redrive(
    ctx: click.Context,
    runs: tuple[str, ...],
    cause: str | None,
    from_node: str | None,
    state: str | None,
    state_file: Any,
    settings: tuple[str, ...],
    unset: tuple[str, ...],
    rewind: bool,
    version: str | None,
    if_revision: int | None,
    restart_children: bool,
    dry_run: bool,
    token: str | None,
    note: str,
    as_json: bool,
) -> None:
    """Continue finished or paused runs from a node.

    Failed, cancelled, rejected, paused and succeeded runs can be redriven. They keep their attempts. A succeeded run
    needs --from: this node and those after it are done again, with new idempotency keys.
    """
    whole = json_state(state, state_file)
    changes = read_settings(settings)
    if whole is not None and (changes or unset):
        raise UsageError("give either --state, or --set and --unset, and not both")
    if rewind and (whole is not None or changes or unset):
        raise UsageError(
            "--rewind restores an earlier state; it cannot be combined with a change of the state"
        )
    token = read_token(token)
    if (dry_run or token is not None) and rewind:
        raise UsageError("--rewind cannot be combined with --dry-run or --plan; use it without them")
    from_node, version = _option_of(token, "from_node", from_node), _option_of(token, "version", version)

    async def new_state(port: Port, run_id: str) -> tuple[dict[str, Any] | None, int | None]:
        """Return the new state of a run, and the revision that the run must still have."""
        new, revision = whole, if_revision
        if changes or unset:
            found = await port.run(run_id)
            new = with_changes(found.state, changes, unset, found.run.id)
            # The new state is computed from the state that was read, so that revision must still hold.
            revision = found.run.revision if if_revision is None else if_revision
        return new, revision

    async def action(port: Port, run_id: str, plan: str | None) -> RunInfo:
        new, revision = await new_state(port, run_id)
        return await port.redrive_run(
            run_id, from_node, new, version, revision, note, rewind, plan, restart_children
        )

    planning = Planning("redrive", dry_run, token, version, from_node, new_state)
    run_them(ctx, "oneshot", runs, cause, action, as_json, planning)


@click.command("rerun")
@click.argument("runs", nargs=-1)
@cause_option
@click.option("--version", help="Run another version of the workflow.")
@state_options[0]
@state_options[1]
@dry_run_option
@plan_option
@note_option
@json_option
@click.pass_context
def rerun(
    ctx: click.Context,
    runs: tuple[str, ...],
    cause: str | None,
    version: str | None,
    state: str | None,
    state_file: Any,
    dry_run: bool,
    token: str | None,
    note: str,
    as_json: bool,
) -> None:
    """Start new runs with the input of earlier runs.

    With --state or --state-file, the new runs start with another state.
    """
    given = json_state(state, state_file)
    token = read_token(token)
    version = _option_of(token, "version", version)

    async def action(port: Port, run_id: str, plan: str | None) -> RunInfo:
        return await port.rerun(run_id, version, given, note, plan)

    async def new_state(port: Port, run_id: str) -> tuple[dict[str, Any] | None, int | None]:
        return given, None

    planning = Planning("rerun", dry_run, token, version, state=new_state)
    run_them(ctx, "oneshot", runs, cause, action, as_json, planning)


def add_to(group: click.Group) -> None:
    """Add the commands to `victor runs`."""
    for command in (retry, redrive, rerun):
        group.add_command(command)
