"""The commands of `victor runs` that act on runs. Each prints one result for each run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import click
from msgspec import Struct

from victor_engine.api import Port, RunInfo, RunPlanCommand, RunsPlan
from victor_engine.cli.output import print_error, print_json, print_line, print_note, with_port
from victor_engine.cli.plans import LISTED, plan_option, print_plan, read_token
from victor_engine.errors import UsageError, VictorError

AT_ONCE = 16
"""Maximum number of concurrent requests to the engine. Concurrent writes share commits."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
note_option = click.option("--note", default="", help="Note for the audit trail.")
cause_option = click.option(
    "--cause", metavar="CAUSE", help="All dead letters with this cause; see `victor runs dead`."
)
Action = Callable[[Port, str, str | None], Awaitable[RunInfo]]
"""Performs the command on a run. The last argument is the token for this run, if a plan is applied."""

dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Show the effect on each run and change nothing."
)


async def for_each(
    port: Port, ids: Sequence[str], action: Action, as_json: bool, tokens: Mapping[str, str] | None = None
) -> int:
    """Perform an action on each run, print the results in the given order, and return the exit code.

    The exit code is 0 if all succeeded, that of the errors if they share one, and 1 otherwise.
    """
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(run_id: str) -> RunInfo | VictorError:
        async with slots:
            try:
                return await action(port, run_id, (tokens or {}).get(run_id))
            except VictorError as error:
                return error

    results = await asyncio.gather(*(one(run_id) for run_id in ids))
    if as_json:
        print_json([_as_json(run_id, result) for run_id, result in zip(ids, results, strict=True)])
    else:
        for run_id, result in zip(ids, results, strict=True):
            if isinstance(result, VictorError):
                print_error(result.message if len(ids) == 1 else f"{run_id}: {result.message}")
            else:
                more = f", rerun of {result.parent_run}" if result.trigger == "rerun" else ""
                print_line(f"{result.id}: {result.status}{more}")
    codes = {result.exit_code for result in results if isinstance(result, VictorError)}
    if len(results) > 1 and not as_json:
        failed = sum(isinstance(result, VictorError) for result in results)
        print_line(f"{len(results) - failed} done, {failed} failed" if failed else f"{len(results)} done")
    return 0 if not codes else codes.pop() if len(codes) == 1 else 1


def _as_json(run_id: str, result: RunInfo | VictorError) -> dict[str, Any]:
    if isinstance(result, VictorError):
        return {"given": run_id, "ok": False, "error": result.to_wire()}
    return {"given": run_id, "ok": True, "run": result}


async def chosen(port: Port, ids: Sequence[str], cause: str | None) -> list[str]:
    """Return the named runs, or all dead letters of a cause. Raise UsageError unless exactly one is given."""
    if bool(ids) == (cause is not None):
        raise UsageError("give run ids or --cause CAUSE, and not both")
    if cause is None:
        return list(dict.fromkeys(ids))
    (group,) = await port.dead_letters(cause, run_limit=0)
    (group,) = await port.dead_letters(group.cause, run_limit=group.count + 1)
    return list(group.run_ids)


NewState = Callable[[Port, str], Awaitable[tuple[dict[str, Any] | None, int | None]]]
"""Returns the new state of a run, and the revision from which it was computed. Either can be None."""


class Planning(Struct, frozen=True):
    """The values of `--dry-run` and `--plan`, with the command and its planned options."""

    command: RunPlanCommand
    dry_run: bool
    token: str | None
    version: str | None = None
    from_node: str | None = None
    state: NewState | None = None


def run_them(
    ctx: click.Context,
    mode: str,
    ids: Sequence[str],
    cause: str | None,
    action: Action,
    as_json: bool,
    planning: Planning,
) -> None:
    token = planning.token
    if token is not None and (ids or cause is not None or planning.dry_run):
        raise UsageError("--plan contains the runs; remove the run ids, --cause and --dry-run")

    async def work(port: Port) -> int:
        if token is not None:
            return await _apply(port, planning.command, token, action, as_json)
        runs = await chosen(port, ids, cause)
        if not planning.dry_run:
            return await for_each(port, runs, action, as_json)
        states = {}
        for run_id in runs if planning.state is not None else ():
            new, _ = await planning.state(port, run_id)  # type: ignore[misc]
            if new is not None:
                states[run_id] = new
        plan = await port.plan_runs(planning.command, runs, planning.version, planning.from_node, states)
        print_json(plan) if as_json else _print_plan(plan)
        return 0

    code = with_port(ctx, "read" if planning.dry_run else mode, work)
    if code:
        ctx.exit(code)


async def _apply(port: Port, command: RunPlanCommand, token: str, action: Action, as_json: bool) -> int:
    """Apply a plan to each of its runs; return the exit code."""
    from victor_engine.domain.plans import read_plan
    from victor_engine.runs.run_plans import kind

    plan = read_plan(token, kind(command), (await port.engine()).now)
    tokens = {item.id: plan.only(item).token() for item in plan.items if item.effect}
    return await for_each(port, [*tokens], action, as_json, tokens)


def _print_plan(plan: RunsPlan) -> None:
    for item in plan.items[:LISTED]:
        where = f"  {item.workflow} {item.version}, {item.status}" if item.workflow else ""
        print_line(f"{item.run_id}{where}: {item.effect or f'no effect, {item.reason}'}")
    if len(plan.items) > LISTED:
        print_note(f"… {len(plan.items) - LISTED} more; --json prints all")
    if plan.plan:
        print_plan(plan.plan)


def add_to(group: click.Group) -> None:
    """Add the commands to `victor runs`."""
    plain: tuple[tuple[RunPlanCommand, str, str], ...] = (
        (
            "cancel",
            "cancel_run",
            "Cancel runs and stop their commands. A second cancel force-kills the commands.",
        ),
        ("pause", "pause_run", "Pause runs after their current node."),
        ("resume", "resume_run", "Resume paused runs."),
    )
    for name, method, text in plain:
        group.add_command(_plain(name, method, text))
    for command in (discard, override):
        group.add_command(command)


def _plain(name: RunPlanCommand, method: str, text: str) -> click.Command:
    @click.command(name, help=text)
    @click.argument("runs", nargs=-1)
    @dry_run_option
    @plan_option
    @note_option
    @json_option
    @click.pass_context
    def command(
        ctx: click.Context, runs: tuple[str, ...], dry_run: bool, token: str | None, note: str, as_json: bool
    ) -> None:
        async def action(port: Port, run_id: str, plan: str | None) -> RunInfo:
            found: RunInfo = await getattr(port, method)(run_id, note, plan)
            return found

        planning = Planning(name, dry_run, read_token(token))
        if not runs and planning.token is None:
            raise UsageError("give run ids or --plan TOKEN")
        run_them(ctx, "attach" if name == "pause" else "oneshot", runs, None, action, as_json, planning)

    return command


@click.command("discard")
@click.argument("runs", nargs=-1)
@cause_option
@dry_run_option
@plan_option
@note_option
@json_option
@click.pass_context
def discard(
    ctx: click.Context,
    runs: tuple[str, ...],
    cause: str | None,
    dry_run: bool,
    token: str | None,
    note: str,
    as_json: bool,
) -> None:
    """Discard dead letters. The runs stay failed."""

    async def action(port: Port, run_id: str, plan: str | None) -> RunInfo:
        return await port.discard_run(run_id, note, plan)

    planning = Planning("discard", dry_run, read_token(token))
    run_them(ctx, "oneshot", runs, cause, action, as_json, planning)


@click.command("override")
@click.argument("run")
@click.argument("node")
@click.option("--timeout", type=float, metavar="SECONDS", help="Time limit of one attempt.")
@click.option("--max-attempts", type=int, help="Number of attempts, including the first.")
@click.option("--retry-now", is_flag=True, help="Start the next attempt immediately.")
@note_option
@json_option
@click.pass_context
def override(
    ctx: click.Context,
    run: str,
    node: str,
    timeout: float | None,
    max_attempts: int | None,
    retry_now: bool,
    note: str,
    as_json: bool,
) -> None:
    """Override the limits of NODE for RUN.

    Sets the time limit or the number of attempts, from the next attempt on.
    """

    async def action(port: Port, run_id: str, plan: str | None) -> RunInfo:
        return await port.override_node(run_id, node, timeout, max_attempts, retry_now, note)

    code = with_port(ctx, "oneshot", lambda port: for_each(port, (run,), action, as_json))
    if code:
        ctx.exit(code)
