"""The commands `victor runs compare` and `victor runs stats`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import click

from victor_engine.api import (
    ComparedRun,
    NodeFacts,
    Port,
    RunComparison,
    RunQuery,
    RunStats,
    StatsBucket,
    ValueChange,
    cause_text,
    rate_text,
)
from victor_engine.cli.output import local, print_json, print_line, span, table, with_port
from victor_engine.cli.run_actions import json_option
from victor_engine.scheduling.natural_time import moment

MOST = 100
"""Maximum number of printed differences; `--json` prints all."""


def add_to(group: click.Group) -> None:
    """Add the commands to `victor runs`."""
    group.add_command(compare)
    group.add_command(stats)


@click.command("compare")
@click.argument("older")
@click.argument("newer")
@json_option
@click.pass_context
def compare(ctx: click.Context, older: str, newer: str, as_json: bool) -> None:
    """Compare two runs.

    Shows outcome, times and attempts by node, and the differences in input and state.
    """

    async def work(port: Port) -> None:
        found = await port.compare_runs(older, newer)
        if as_json:
            print_json(found)
        else:
            _print_comparison(found)

    with_port(ctx, "read", work)


def _print_comparison(found: RunComparison) -> None:
    left, right = _facts(found.left), _facts(found.right)
    table(("", "older", "newer"), [(name, left[name], right[name]) for name in left])
    print_line()
    rows = [(node.node_id, _node(node.left), _node(node.right), _longer(node.left, node.right))
            for node in found.nodes]  # fmt: skip
    table(("node", "older", "newer", "longer"), rows)
    _print_changes("input", found.input)
    _print_changes("state", found.state)
    if found.definition:
        print_line("\ndefinition:")
        for line in found.definition:
            print_line(f"  {line}")


def _facts(side: ComparedRun) -> dict[str, str]:
    run = side.run
    error = f"{run.error.node_id or '-'} {run.error.type}: {run.error.message}" if run.error else "-"
    return {
        "run": run.id,
        "workflow": f"{run.workflow} {run.version}",
        "outcome": run.status,
        "error": error,
        "started": local(run.created_at),
        "took": span(side.seconds),
        "nodes done": str(run.nodes_done),
        "retries": str(run.retries),
        "log lines": str(side.log_lines),
    }


def _node(facts: NodeFacts | None) -> str:
    if facts is None:
        return "-"
    loops = f" x{facts.iterations}" if facts.iterations > 1 else ""
    retries = facts.attempts - facts.iterations
    return f"{facts.status} {span(facts.seconds)}{loops}{f' +{retries} retries' if retries > 0 else ''}"


def _longer(left: NodeFacts | None, right: NodeFacts | None) -> str:
    return "" if left is None or right is None else span(right.seconds - left.seconds)


def _print_changes(name: str, changes: Sequence[ValueChange]) -> None:
    print_line(f"\n{name}: {'no differences' if not changes else ''}".rstrip())
    for change in changes[:MOST]:
        if change.kind == "changed":
            print_line(f"  ~ {change.path}: {_value(change.old)} -> {_value(change.new)}")
        elif change.kind == "added":
            print_line(f"  + {change.path} = {_value(change.new)}")
        else:
            print_line(f"  - {change.path} = {_value(change.old)}")
    if len(changes) > MOST:
        print_line(f"  and {len(changes) - MOST} more (--json prints all)")


def _value(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else f"{text[:199]}…"


@click.command("stats")
@click.option("--workflow", help="Only runs of this workflow.")
@click.option("--version", help="Only runs of this version.")
@click.option("--schedule", help="Only runs of this schedule.")
@click.option("--actor", help="Only runs started by this user or schedule.")
@click.option("--after", metavar="TIME", help="Created after: yesterday, monday 09:00, 2026-03-01.")
@click.option("--before", metavar="TIME", help="Created before; written as --after.")
@click.option("--limit", default=5000, help="Number of newest runs to include, at most 20,000.")
@click.option("--buckets", default=12, help="Number of time buckets.")
@json_option
@click.pass_context
def stats(
    ctx: click.Context,
    workflow: str | None,
    version: str | None,
    schedule: str | None,
    actor: str | None,
    after: str | None,
    before: str | None,
    limit: int,
    buckets: int,
    as_json: bool,
) -> None:
    """Show success rates and durations of runs.

    Shows the success rate, percentiles of durations and the most frequent causes of failures, in total, and the rate and
    durations over time.
    """

    async def work(port: Port) -> None:
        now = (await port.engine()).now
        query = RunQuery(
            workflow=workflow,
            version=version,
            schedule_id=schedule,
            actor=actor,
            created_after=_instant(after, now),
            created_before=_instant(before, now),
            limit=limit,
        )
        found = await port.run_stats(query, buckets)
        if as_json:
            print_json(found)
        else:
            _print_stats(found)

    with_port(ctx, "read", work)


def _instant(text: str | None, now: datetime) -> datetime | None:
    return None if text is None else moment(text, now, None, ahead=False)


def _print_stats(found: RunStats) -> None:
    if not found.looked_at:
        print_line("no runs")
        return
    rate = rate_text(found.success_rate)
    older = "; older runs are not included (--limit)" if found.more else ""
    print_line(f"{found.looked_at} runs since {local(found.oldest)}{older}")
    print_line(
        f"success rate {rate}: {found.succeeded} succeeded, {found.failed} failed, {found.rejected} rejected, "
        f"{found.cancelled} cancelled, {found.active} active"
    )
    print_line(
        f"durations: p50 {span(found.p50)}, p95 {span(found.p95)}, p99 {span(found.p99)}, longest {span(found.longest)}"
    )
    for cause in found.causes:
        print_line(f"failed {cause.count} times: {cause_text(cause)}")
    if found.buckets:
        print_line()
        rows = [_bucket(bucket) for bucket in found.buckets]
        table(("from", "succeeded", "failed", "other", "p50", "p95"), rows)


def _bucket(bucket: StatsBucket) -> tuple[object, ...]:
    return (
        local(bucket.start),
        bucket.succeeded,
        bucket.failed,
        bucket.other,
        span(bucket.p50),
        span(bucket.p95),
    )
