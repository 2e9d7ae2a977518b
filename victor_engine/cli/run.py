"""The command `victor run`, which starts a run and follows it."""

from __future__ import annotations

import contextlib
import json
import sys
from datetime import datetime
from typing import IO

import click

from victor_engine.api import FINAL_RUN_STATUSES, EventInfo, Port, RunInfo, run_seconds
from victor_engine.cli.files import check_start, note_deployment
from victor_engine.cli.output import json_state, port_of, print_json, print_line, print_note, span
from victor_engine.cli.run_help import RunCommand
from victor_engine.cli.run_inputs import inputs_of, with_inputs
from victor_engine.cli.workspaces import require_workspace
from victor_engine.errors import UsageError, VictorError
from victor_engine.text import plain

EXIT_CODES = {"succeeded": 0, "failed": 10, "rejected": 11, "cancelled": 12}

ADMITTED_WITHIN = 1.0
"""Seconds that `victor run` waits for the engine to begin a run, to queue it behind another one, or to skip it."""


@click.command(cls=RunCommand)
@click.argument("workflow")
@click.option("--version", metavar="SPEC", help="Exact version, a range such as ^1.2, an alias, or latest.")
@click.option(
    "-i",
    "--input",
    "given",
    multiple=True,
    metavar="NAME=VALUE",
    help="An input; JSON, or text. `victor run WORKFLOW --help` lists the inputs.",
)
@click.option("--state", metavar="JSON", help="Initial state as a JSON object; - reads standard input.")
@click.option("--state-file", type=click.File("r"), help="Initial state from a JSON file.")
@click.option(
    "--nominal", metavar="TIME", help="The instant that the run is for: 2026-03-08T02:30, yesterday 03:00."
)
@click.option("--deploy", "deploy_first", is_flag=True, help="Deploy the changes of the files first.")
@click.option("--note", "remark", default="", help="Note for the audit trail.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Show the way of the run with given results, and execute, ask and store nothing.",
)
@click.option(
    "--mock",
    "mocks",
    multiple=True,
    metavar="NODE=JSON",
    help="The result of a node, or the answer, for --dry-run.",
)
@click.option("-f", "--follow", is_flag=True, help="Print events and log lines until the run has finished.")
@click.option("--json", "as_json", is_flag=True, help="Print the run as JSON.")
@click.pass_context
def run(
    ctx: click.Context,
    workflow: str,
    version: str | None,
    given: tuple[str, ...],
    state: str | None,
    state_file: IO[str] | None,
    nominal: str | None,
    deploy_first: bool,
    remark: str,
    dry_run: bool,
    mocks: tuple[str, ...],
    follow: bool,
    as_json: bool,
) -> int:
    """Start a run of WORKFLOW. If no engine runs, execute it in this process and follow it.

    WORKFLOW is the name of a workflow, or a file: FILE.yaml, or FILE.yaml:NAME if it has several. The workspace of a
    file is the nearest parent directory with a victor.yaml, or its own directory.

    While it follows the run on a terminal, a question of the run can be answered there.
    """
    workflow = _of_file(ctx, workflow)
    require_workspace(ctx)
    initial = json_state(state, state_file)
    if mocks and not dry_run:
        raise UsageError("--mock gives results to a dry run; add --dry-run")
    if dry_run:
        from victor_engine.cli.dry_run import read_mocks, show_dry_run

        if nominal is not None or deploy_first or follow:
            raise UsageError("--dry-run cannot be combined with --nominal, --deploy or --follow")
        sys.exit(show_dry_run(ctx, workflow, version, initial, given, read_mocks(mocks), as_json))
    instant = None if nominal is None else _instant(nominal)

    import asyncio

    from victor_engine.service.signals import SignalReceivedError, Signals

    started_runs: list[tuple[RunInfo, bool]] = []

    async def work(signals: Signals) -> int:
        async with port_of(ctx, "embedded") as port:
            engine = await port.engine()
            here = engine.mode == "embedded" and ctx.obj.get("open_port") is None and _own(engine.pid)
            if here:
                signals.on_repeat = getattr(port, "force_kill", None)
                stopped: asyncio.Event | None = getattr(port, "stop_requested", None)
                if stopped is not None:
                    signals.add_event(stopped)  # `victor scheduler stop`
                note_deployment(getattr(port, "deployment", None))
            await check_start(port, workflow, version, deploy=deploy_first)
            inputs = await inputs_of(port, workflow, version) if given else None
            values = with_inputs(initial, given, inputs)
            started = await port.start_run(workflow, version, values, remark, instant)
            started_runs.append((started, here))
            await _warn_if_deprecated(port, started)
            if not follow and not here:
                found = await _admitted(port, started, engine.last_event)
                _print_start(found, as_json)
                return EXIT_CODES["cancelled"] if found.status == "cancelled" else 0
            return await follow_run(port, started, as_json, engine.last_event)

    async def go() -> int:
        with Signals() as signals:
            return await signals.run_until_signal(work(signals))

    try:
        code = asyncio.run(go())
    except SignalReceivedError as caught:
        for started, here in started_runs:
            print_note(_after_signal(started, here, caught.number.name))
        code = caught.exit_code
    sys.exit(code)


def _of_file(ctx: click.Context, given: str) -> str:
    """Return the name of the workflow in a file, and set the workspace to that of the file; else return the text."""
    from pathlib import Path

    from victor_engine.definition.loader import load_file
    from victor_engine.definition.problem_messages import raise_for

    text, _, name = given.rpartition(":") if not given.endswith((".yaml", ".yml")) else (given, "", "")
    path = Path(text).expanduser().absolute()
    if path.suffix not in (".yaml", ".yml"):
        return given
    if not path.is_file():
        raise UsageError(f"{text}: the file does not exist")
    if ctx.obj["workspace"] is None:
        parents = [folder for folder in path.parents if (folder / "victor.yaml").is_file()]
        ctx.obj["workspace"] = str(parents[0] if parents else path.parent)
    result = load_file(path, root=Path(ctx.obj["workspace"]))
    raise_for(result.problems)
    names = list(result.workflows)
    if name and name not in names:
        raise UsageError(f"{text} has no workflow {name!r}; it has {', '.join(names) or 'none'}")
    if not name and len(names) != 1:
        raise UsageError(
            f"{text} has {len(names)} workflows; name one: {text}:{names[0] if names else 'NAME'}"
        )
    return name or names[0]


def _instant(text: str) -> datetime:
    """Return the instant of the option --nominal. A time without an offset is in the local time zone."""
    from victor_engine.cli.schedule_tools import local_zone
    from victor_engine.clock import SystemClock
    from victor_engine.scheduling.natural_time import TimeTextError, moment

    try:
        return moment(text, SystemClock().now(), local_zone(), ahead=False)
    except TimeTextError as error:
        raise UsageError(f"--nominal: {error}") from None


def _after_signal(started: RunInfo, here: bool, name: str) -> str:
    if not here:
        return f"{name}: stopped following; run {started.id} continues in its engine"
    return (
        f"{name}: run {started.id} was interrupted and its commands were stopped. The next engine of this "
        f"workspace continues it; to prevent that, run: victor runs cancel {started.id}"
    )


async def _admitted(port: Port, started: RunInfo, after: int) -> RunInfo:
    """Return a started run when it has begun, waits for another run or is cancelled; at the latest after a second.

    `after` is the number of an event before the start.
    """
    import asyncio

    found = started
    with contextlib.suppress(TimeoutError, VictorError):  # the start is acknowledged in any case
        async with asyncio.timeout(ADMITTED_WITHIN):
            async for event in port.subscribe(after):
                if event.run_id == started.id:
                    found = (await port.run(started.id)).run
                    if found.waits_for or found.status not in ("queued", "cancelling"):
                        break
    return found


def _print_start(found: RunInfo, as_json: bool) -> None:
    """Print a started run, and why it waits or has ended."""
    if as_json:
        print_json(found)
        return
    waits = f"waits for {found.waits_for}" if found.status == "queued" and found.waits_for else ""
    why = found.error.message if found.error else waits
    text = f"{found.id}  {found.workflow} {found.version}  {found.status}"
    print_line(f"{text}: {why}" if why else text)


async def _warn_if_deprecated(port: Port, started: RunInfo) -> None:
    """Print a warning if the version of a started run is deprecated."""
    from victor_engine.api import EventQuery

    for event in await port.events(EventQuery(kinds=("version.notice",), run_id=started.id, limit=1)):
        successor = f"; use {event.data['successor']}" if "successor" in event.data else ""
        message = event.data.get("message", "")
        print_note(f"warning: {started.workflow} {started.version} is deprecated: {message}{successor}")


def _own(pid: int) -> bool:
    import os

    return pid == os.getpid()


async def follow_run(port: Port, started: RunInfo, as_json: bool = False, after: int = 0) -> int:
    """Print events (after number `after`) and log lines of a run until it has finished; return its exit code.

    On a terminal, offer to answer the requests of the run.
    """
    from victor_engine.cli.typed_answers import TypedAnswers

    if not as_json:
        print_line(f"run {started.id} of {started.workflow} {started.version}")
    seen = 0
    with TypedAnswers(port, enabled=not as_json) as typed:
        async for event in port.subscribe(after):
            if event.run_id != started.id:
                continue
            if not as_json:
                for line in await port.run_log(started.id, seen):
                    seen = line.seq
                    click.echo(f"           {plain(line.node_id)} | {plain(line.text)}")
                _print_event(event)
            if not await typed.on_event(event):
                _print_request(event)
            if event.kind == "run.finished":
                break
    detail = await port.run(started.id)
    found = detail.run
    if as_json:
        print_json(found)
    elif found.status in FINAL_RUN_STATUSES:
        why = f": {found.error.message}" if found.error else ""
        took = run_seconds(found, found.finished_at or found.created_at)
        print_line(f"{found.status} after {span(took)}{why}")
        if detail.outputs is not None:
            print_line(f"outputs: {json.dumps(detail.outputs, ensure_ascii=False)}")
    return EXIT_CODES.get(found.status, 1)


def _print_event(event: EventInfo) -> None:
    parts = [f"{event.at.astimezone():%H:%M:%S}", "", event.kind]
    if event.node_id:
        parts.append(event.node_id)
    for key in ("handler", "branch", "type", "message", "outcome", "status"):
        if isinstance(event.data.get(key), str):
            parts.append(f"{key}={event.data[key]}")
    print_line(" ".join(parts))


def _print_request(event: EventInfo) -> None:
    """Print on standard error how to answer an opened request. Standard output may be a pipe."""
    if event.kind == "request.opened" and event.request_id:
        print_note(
            f"           request: {event.data.get('title', '')}\n"
            f"           to answer it, run: victor inbox answer {event.request_id} approve|reject|VALUE"
        )
