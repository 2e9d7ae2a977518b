"""The command group `victor runs`, which shows and controls runs."""

from __future__ import annotations

import json

import click

from victor_engine.api import (
    ACTIVE_RUN_STATUSES,
    FINAL_RUN_STATUSES,
    AttemptInfo,
    DeadLetterGroup,
    Port,
    RunInstant,
    RunQuery,
    UsageInfo,
    handler_failures,
    handler_text,
    run_seconds,
)
from victor_engine.cli import run_actions, run_again, run_statistics
from victor_engine.cli.logs import logs
from victor_engine.cli.output import local, note_limit, print_json, print_line, span, table, with_port
from victor_engine.cli.run_actions import json_option
from victor_engine.domain.statuses import RunStatus
from victor_engine.errors import UsageError


@click.group()
def runs() -> None:
    """Show and control runs; list dead letters."""


@runs.command("list")
@click.option("--workflow", help="Only runs of this workflow.")
@click.option(
    "--status", multiple=True, help="Only runs with this status, or active or done; can be repeated."
)
@click.option("--cause", metavar="CAUSE", help="Only dead letters with this cause; see `victor runs dead`.")
@click.option("--limit", default=30, show_default=True, help="Maximum number of runs to list.")
@json_option
@click.pass_context
def list_(
    ctx: click.Context,
    workflow: str | None,
    status: tuple[str, ...],
    cause: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List runs, newest first."""

    async def work(port: Port) -> None:
        given = None if cause is None else (await port.dead_letters(cause, 0))[0].cause
        found = await port.runs(
            RunQuery(workflow=workflow, statuses=_statuses(status), cause=given, limit=limit)
        )
        note_limit(len(found), limit)
        if as_json:
            print_json(found)
            return
        now = (await port.engine()).now
        rows = []
        for r in found:
            took = span(run_seconds(r, now))
            version = f"{r.version} !" if r.deprecated else r.version
            now_at = (
                r.quarantine
                or r.waits_for
                or ", ".join(r.current)
                or (r.error.message if r.error else "")
                or "; ".join(handler_failures(r))
            )
            now_at = ": ".join(filter(None, (handler_text(r), now_at)))
            rows.append(
                (
                    r.id,
                    r.status,
                    f"{r.workflow} {version}",
                    took,
                    local(r.created_at),
                    r.started_by,
                    now_at,
                )
            )
        table(("id", "status", "workflow", "took", "created", "by", "now"), rows, "no runs")

    with_port(ctx, "read", work)


def _statuses(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the statuses that `--status` names. Raise UsageError for an unknown name."""
    groups = {"active": tuple(sorted(ACTIVE_RUN_STATUSES)), "done": tuple(sorted(FINAL_RUN_STATUSES))}
    known = [*RunStatus, *groups]
    for name in names:
        if name not in known:
            raise UsageError(f"--status {name!r} is not a status of a run; use one of {', '.join(known)}")
    return tuple(dict.fromkeys(status for name in names for status in groups.get(name, (name,))))


@runs.command("show")
@click.argument("run")
@json_option
@click.pass_context
def show(ctx: click.Context, run: str, as_json: bool) -> None:
    """Show one run with its attempts and state."""

    async def work(port: Port) -> None:
        found = await port.run(run)
        if as_json:
            print_json(found)
            return
        r = found.run
        print_line(
            f"run {r.id} of {r.workflow} {r.version}: {r.status}"
            + (f" ({r.error.message})" if r.error else "")
        )
        print_line(
            f"started {local(r.started_at)} by {r.started_by} ({r.trigger}), finished {local(r.finished_at)}"
        )
        if found.instant is not None:
            print_line(_instant_line(found.instant))
        if r.parent_run:
            print_line(f"{r.trigger} of {r.parent_run}")
        if r.quarantine:
            print_line(r.quarantine)
        if r.handler:
            print_line(f"executes {handler_text(r)}")
        for line in handler_failures(r):
            print_line(line)
        if r.waits_for:
            print_line(f"waiting for {r.waits_for}")
        if r.deprecated:
            print_line(f"the version is deprecated: {r.deprecated}")
        if r.dead_letter:
            print_line(f"dead letter; redrive or discard it: victor runs redrive {r.id}")
        for o in found.overrides:
            limit = f"time limit {o.timeout:g} s" if o.timeout is not None else ""
            attempts = f"attempts {o.max_attempts}" if o.max_attempts is not None else ""
            print_line(f"override for node {o.node_id}: {', '.join(filter(None, (limit, attempts)))}")
        print_line()
        rows = [
            (a.node_id, a.iteration, a.number, a.status,
             span((a.finished_at - a.started_at).total_seconds()) if a.finished_at else "-",
             a.took_branch or "", a.error.message if a.error else _by(a))
            for a in found.attempts
        ]  # fmt: skip
        table(("node", "iteration", "attempt", "status", "took", "branch", "by"), rows, "no attempts yet")
        used = [(a, a.usage) for a in found.attempts if a.usage is not None]
        if used:
            print_line()
            table(
                ("agent", "attempt", "model", "tokens in", "tokens out", "tools", "cost"),
                [
                    (
                        a.node_id,
                        a.number,
                        u.model,
                        u.input_tokens,
                        u.output_tokens,
                        u.tool_calls,
                        _cost(u.cost),
                    )
                    for a, u in used
                ],
            )
            print_line(_total([u for _, u in used]))
        if found.outputs is not None:
            print_line(f"\noutputs: {json.dumps(found.outputs, indent=2, ensure_ascii=False)}")
        print_line(f"\nstate: {json.dumps(found.state, indent=2, ensure_ascii=False)}")

    with_port(ctx, "read", work)


def _by(attempt: AttemptInfo) -> str:
    return attempt.binding if attempt.child_run is None else f"{attempt.binding}, run {attempt.child_run}"


def _cost(cost: float | None) -> str:
    return "-" if cost is None else f"{cost:.6f}"


def _total(used: list[UsageInfo]) -> str:
    priced = [u.cost for u in used if u.cost is not None]
    more = "" if len(priced) == len(used) else f" (of {len(priced)} attempts; the others have no price)"
    tokens = f"{sum(u.input_tokens for u in used)} tokens in, {sum(u.output_tokens for u in used)} out"
    return f"total: {tokens}, cost {_cost(sum(priced))}{more}" if priced else f"total: {tokens}"


@runs.command("dead")
@click.argument("cause", required=False)
@click.option("--limit", default=20, help="Maximum number of runs to list for each cause.")
@json_option
@click.pass_context
def dead(ctx: click.Context, cause: str | None, limit: int, as_json: bool) -> None:
    """List dead letters by cause.

    Dead letters are failed runs that need a decision: retry, redrive or discard.
    """

    async def work(port: Port) -> None:
        found = await port.dead_letters(cause, limit)
        if as_json:
            print_json(found)
        elif cause is None:
            rows = [
                (g.cause, g.count, g.workflow, g.node_id or "-", g.error_type, local(g.last_seen), g.pattern)
                for g in found
            ]
            heads = ("cause", "runs", "workflow", "node", "error", "last", "message")
            table(heads, rows, "no dead letters")
        else:
            _show_cause(found[0])

    with_port(ctx, "read", work)


def _show_cause(group: DeadLetterGroup) -> None:
    print_line(f"cause {group.cause}: {group.error_type} at {group.node_id or '-'} of {group.workflow}")
    print_line(f"{group.count} runs, first {local(group.first_seen)}, last {local(group.last_seen)}")
    print_line(f"newest: {group.example.message}\n")
    for run_id in group.run_ids:
        print_line(run_id)
    if group.count > len(group.run_ids):
        print_line(f"and {group.count - len(group.run_ids)} more (--limit)")


runs.add_command(logs)
runs.add_command(logs, "log")
run_actions.add_to(runs)
run_again.add_to(runs)
run_statistics.add_to(runs)


def _instant_line(instant: RunInstant) -> str:
    """Return the instant that a run is for, in the time zone of its schedule, with its data interval."""
    second = ", second pass" if instant.fold else ""
    since = f", interval from {instant.interval_start:%Y-%m-%d %H:%M:%SZ}" if instant.interval_start else ""
    period = f", period {instant.period}" if instant.period else ""
    return f"for {instant.local_time} ({instant.timezone}{second}){since}{period}"
