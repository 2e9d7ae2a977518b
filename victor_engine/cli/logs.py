"""`victor runs logs`: what a run's commands, functions and agents wrote, searched and followed."""

from __future__ import annotations

import asyncio

import click
import msgspec

from victor_engine.api import FINAL_RUN_STATUSES, LogLine, Port
from victor_engine.cli.output import echo_json, note, with_port
from victor_engine.text import plain

PAGE = 2000
"""Lines that are read at once."""

FOLLOW_SECONDS = 0.5
"""How often a log that is followed is looked at."""


@click.command("logs")
@click.argument("run")
@click.option("--node", metavar="NODE", help="Only of this node (of a team: with its members).")
@click.option("-s", "--search", metavar="TEXT", help="Only lines that hold this, whatever its case.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until the run has ended.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object for each line.")
@click.pass_context
def logs(
    ctx: click.Context, run: str, node: str | None, search: str | None, follow: bool, as_json: bool
) -> None:
    """What a run's commands and agents wrote."""

    async def work(port: Port) -> None:
        after = 0
        while True:
            # Asked before the lines are read: what is written until a run ends is there when it has.
            live = follow and (await port.run(run)).run.status not in FINAL_RUN_STATUSES
            while lines := await port.run_log(run, after, PAGE, node, search):
                for line in lines:
                    _print(line, as_json)
                after = lines[-1].seq
            if not live:
                return
            if (await port.engine()).mode == "readonly":
                note("no engine runs, so nothing more comes; start one with: victor scheduler start")
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
