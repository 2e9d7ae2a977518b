"""The command `victor runs logs`, which prints, searches and follows the log of a run."""

from __future__ import annotations

import asyncio

import click
import msgspec

from victor_engine.api import FINAL_RUN_STATUSES, LogLine, Port
from victor_engine.cli.output import echo_json, print_note, with_port
from victor_engine.text import plain

PAGE = 2000
"""Number of lines in one request."""

FOLLOW_SECONDS = 0.5
"""Seconds between two requests when a log is followed."""


@click.command("logs")
@click.argument("run")
@click.option("--node", metavar="NODE", help="Only lines of this node; of a team, also of its members.")
@click.option("-s", "--search", metavar="TEXT", help="Only lines that contain TEXT; case is ignored.")
@click.option("-f", "--follow", is_flag=True, help="Print new lines until the run has finished.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each line.")
@click.pass_context
def logs(
    ctx: click.Context, run: str, node: str | None, search: str | None, follow: bool, as_json: bool
) -> None:
    """Print the log of a run.

    The log is the output of its commands, functions and agents.
    """

    async def work(port: Port) -> None:
        after = 0
        while True:
            # Read the status before the lines: a run that has finished then has no further lines.
            live = follow and (await port.run(run)).run.status not in FINAL_RUN_STATUSES
            while lines := await port.run_log(run, after, PAGE, node, search):
                for line in lines:
                    _print(line, as_json)
                after = lines[-1].seq
            if not live:
                return
            if (await port.engine()).mode == "readonly":
                print_note(
                    "no engine runs, so no new lines will follow; start one with: victor scheduler start"
                )
                return
            await asyncio.sleep(FOLLOW_SECONDS)

    with_port(ctx, "read", work)


def _print(line: LogLine, as_json: bool) -> None:
    if as_json:
        echo_json(msgspec.json.encode(line))
        return
    tries = f"#{line.attempt}" if line.attempt > 1 else ""
    click.echo(
        f"{line.at.astimezone():%H:%M:%S} {plain(line.node_id)}{tries} {line.stream}: {plain(line.text)}"
    )
