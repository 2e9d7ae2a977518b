"""`victor runs`: what ran, what runs, and control over it."""

from __future__ import annotations

import json

import click

from victor_engine.api import Port, RunQuery
from victor_engine.cli.output import local, print_json, say, span, table, with_port
from victor_engine.hitl.text import plain

json_option = click.option("--json", "as_json", is_flag=True, help="JSON for scripts.")
note_option = click.option("--note", default="", help="Goes into the audit trail.")


@click.group()
def runs() -> None:
    """Runs of workflows."""


@runs.command("list")
@click.option("--workflow")
@click.option("--status", multiple=True)
@click.option("--limit", default=30)
@json_option
@click.pass_context
def list_(
    ctx: click.Context, workflow: str | None, status: tuple[str, ...], limit: int, as_json: bool
) -> None:
    """Runs, newest first."""

    async def work(port: Port) -> None:
        found = await port.runs(RunQuery(workflow=workflow, statuses=status, limit=limit))
        if as_json:
            print_json(found)
            return
        now = (await port.engine()).now
        rows = []
        for r in found:
            end = r.finished_at or now
            took = span((end - r.started_at).total_seconds()) if r.started_at else "-"
            now_at = r.waits_for or ", ".join(r.current) or (r.error.message if r.error else "")
            rows.append(
                (r.id, r.status, f"{r.workflow} {r.version}", took, local(r.created_at), r.started_by, now_at)
            )
        table(("id", "status", "workflow", "took", "created", "by", "now"), rows, "no runs")

    with_port(ctx, "read", work)


@runs.command("show")
@click.argument("run")
@json_option
@click.pass_context
def show(ctx: click.Context, run: str, as_json: bool) -> None:
    """One run: its nodes, attempts and state."""

    async def work(port: Port) -> None:
        found = await port.run(run)
        if as_json:
            print_json(found)
            return
        r = found.run
        say(
            f"run {r.id} of {r.workflow} {r.version}: {r.status}"
            + (f" ({r.error.message})" if r.error else "")
        )
        say(f"started {local(r.started_at)} by {r.started_by} ({r.trigger}), ended {local(r.finished_at)}")
        if r.waits_for:
            say(f"waits for {r.waits_for}")
        say()
        rows = [
            (a.node_id, a.iteration, a.number, a.status,
             span((a.finished_at - a.started_at).total_seconds()) if a.finished_at else "-",
             a.took_branch or "", a.error.message if a.error else a.binding)
            for a in found.attempts
        ]  # fmt: skip
        table(("node", "iteration", "try", "status", "took", "branch", "by"), rows, "nothing has run yet")
        say(f"\nstate: {json.dumps(found.state, indent=2, ensure_ascii=False)}")

    with_port(ctx, "read", work)


@runs.command("log")
@click.argument("run")
@click.option("--node")
@click.pass_context
def log(ctx: click.Context, run: str, node: str | None) -> None:
    """What a run's commands and agents wrote."""

    async def work(port: Port) -> None:
        after = 0
        while lines := await port.run_log(run, after, 2000, node):
            for line in lines:
                click.echo(
                    f"{line.at.astimezone():%H:%M:%S} {plain(line.node_id)} {line.stream}: {plain(line.text)}"
                )
            after = lines[-1].seq

    with_port(ctx, "read", work)


def _control(name: str, method: str, text: str) -> None:
    @runs.command(name, help=text)
    @click.argument("run")
    @note_option
    @json_option
    @click.pass_context
    def command(ctx: click.Context, run: str, note: str, as_json: bool) -> None:
        async def work(port: Port) -> None:
            found = await getattr(port, method)(run, note)
            print_json(found) if as_json else say(f"{found.id}: {found.status}")

        with_port(ctx, "attach" if method == "pause_run" else "oneshot", work)


_control("cancel", "cancel_run", "Cancel a run; what it started is ended.")
_control("pause", "pause_run", "Let a run come to rest after its current node.")
_control("resume", "resume_run", "Go on with a paused run.")
_control("retry", "retry_run", "Go on with a failed or cancelled run from where it stopped.")
