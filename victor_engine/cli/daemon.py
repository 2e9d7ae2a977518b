"""The commands `victor scheduler start`, `stop`, `status` and `install`, which control the daemon."""

from __future__ import annotations

import math
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import msgspec

from victor_engine.api import ClockAhead, EngineInfo, Port
from victor_engine.cli.access import access_lines
from victor_engine.cli.files import deployment_lines, note_deployment, note_status
from victor_engine.cli.output import local, print_json, print_line, print_note, span, with_port
from victor_engine.cli.schedule_tools import next_fire
from victor_engine.cli.workspaces import require_workspace
from victor_engine.errors import UsageError
from victor_engine.private import make_directory, open_file
from victor_engine.text import plural

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command("start")
@click.option("-d", "--daemon", is_flag=True, help="Run in the background; return when the engine is ready.")
@click.option("--pid-file", type=click.Path(path_type=Path), help="Write the process ID to this file.")
@click.option("--interval", type=float, help="Maximum seconds between two checks of the schedules.")
@click.option("-c", "--config", type=click.Path(path_type=Path), help="Read this scheduler.yaml.")
@click.option("--quiet", is_flag=True, help="Do not print events.")
@click.pass_context
def start(
    ctx: click.Context,
    daemon: bool,
    pid_file: Path | None,
    interval: float | None,
    config: Path | None,
    quiet: bool,
) -> None:
    """Run the engine of this workspace until it is stopped."""
    import asyncio

    from victor_engine.definition.problem_messages import describe
    from victor_engine.service import daemon_log
    from victor_engine.service.connect import find
    from victor_engine.service.daemon import serve

    if config is not None and not config.expanduser().is_file():
        raise UsageError(
            f"{config}: the file does not exist; omit --config or give the path of a scheduler.yaml"
        )
    require_workspace(ctx)
    if daemon:
        _into_background(ctx, pid_file, interval, config)
        return
    config_file = config.expanduser() if config else None
    say = daemon_log.log_message

    def ready(engine: Any) -> None:
        log.format_of = lambda: engine.workspace.config.scheduler.log_format
        if pid_file is not None:
            make_directory(pid_file.parent)
            with os.fdopen(open_file(pid_file, os.O_WRONLY | os.O_TRUNC), "w") as file:
                file.write(f"{os.getpid()}\n")
        trusted = ""
        if not engine.trusted:
            from victor_engine.engine.content_trust import how_to_trust

            command = how_to_trust(engine.workspace_path, engine.workspace.judgement)
            trusted = f"; the workspace is not trusted and nothing runs; run: {command}"
            say(f"not trusted: {engine.workspace.judgement.verdict.reason}", "warning")
        say(f"engine {os.getpid()} of {engine.workspace_path}, state directory {engine.state_dir}{trusted}")
        for line in access_lines(engine.socket, engine.rights.granted()):
            say(line)
        for line in engine.files.notices:
            say(line)
        for line in deployment_lines(engine.deployment):
            say(line)
        for problem in engine.workspace.problems:
            say(describe(problem), problem.severity)

    overrides = {"scheduler.poll_interval": interval} if interval is not None else None
    try:
        with daemon_log.installed(
            find(ctx.obj["workspace"], ctx.obj["state_dir"]).workspace, config_file
        ) as log:
            code = asyncio.run(
                serve(
                    ctx.obj["workspace"],
                    ctx.obj["state_dir"],
                    config_file=config_file,
                    overrides=overrides,
                    on_ready=ready,
                    report=say,
                    on_event=None if quiet else daemon_log.log_event,
                )
            )
    finally:
        if pid_file is not None and pid_file.exists() and pid_file.read_text().strip() == str(os.getpid()):
            pid_file.unlink()
    sys.exit(code)


async def _print_start(port: Port) -> None:
    """Print who can use the engine, the deployment of its start, and the errors of the files."""
    from victor_engine.definition.problem_messages import describe

    info = await port.engine()
    for line in access_lines(info.socket, info.permissions):
        print_line(line)
    for done in await port.deployments(1):
        if done.how == "start" and done.at >= info.started_at - timedelta(minutes=1):
            note_deployment(done)
    for problem in info.problems:
        if problem.severity == "error":
            print_note(describe(problem))


START_SECONDS = 300.0
"""The longest wait for an engine that starts: it may have to upgrade a large store."""


def _holds_pid(pid_file: Path, pid: int) -> bool:
    """Return whether the engine has written its PID file. It does so after it listens on its socket."""
    try:
        return pid_file.read_text(errors="replace").strip() == str(pid)
    except OSError:
        return False


def _into_background(
    ctx: click.Context, pid_file: Path | None, interval: float | None, config: Path | None
) -> None:
    """Start the same command in its own session, and return when its engine answers."""
    import subprocess
    import time

    from victor_engine.service.connect import find
    from victor_engine.service.daemon import LOG_FILE
    from victor_engine.service.engine_lock import engine_owner

    paths = find(ctx.obj["workspace"], ctx.obj["state_dir"])
    owner = engine_owner(paths.state_dir)
    if owner is not None:
        raise UsageError(
            f"an engine (process {owner.pid}) already runs on {paths.state_dir}; "
            "to stop it, run: victor scheduler stop"
        )
    paths.make()
    log_path = paths.state_dir / LOG_FILE
    words = [sys.executable, "-m", "victor_engine.cli.main", "--workspace", str(paths.workspace)]
    words += ["--state-dir", str(paths.state_dir), "scheduler", "start"]
    if pid_file is not None:
        words += ["--pid-file", str(pid_file.absolute())]
    if interval is not None:
        words += ["--interval", str(interval)]
    if config is not None:
        words += ["--config", str(config.absolute())]
    with os.fdopen(open_file(log_path, os.O_WRONLY | os.O_APPEND), "ab") as log:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    for number in range(int(START_SECONDS * 10)):
        if number == 100:
            print_note(f"the engine is still starting; its log is {log_path}")
        found = engine_owner(paths.state_dir)
        # The engine creates the socket before the PID file, and stops if it cannot write the PID file.
        listens = found is not None and found.pid == process.pid and Path(found.socket).exists()
        if listens and (pid_file is None or _holds_pid(pid_file, process.pid)):
            print_line(f"engine {process.pid} runs in the background; log: {log_path}")
            with_port(ctx, "attach", _print_start)
            return
        if process.poll() is not None:
            tail = log_path.read_text(errors="replace").strip().splitlines()[-1:]
            raise UsageError(f"the engine did not start: {' '.join(tail) or 'see the log ' + str(log_path)}")
        time.sleep(0.1)
    raise UsageError(
        f"the engine (process {process.pid}) does not answer after {START_SECONDS:.0f} seconds; see the log {log_path}"
    )


@click.command("stop")
@click.pass_context
def stop(ctx: click.Context) -> None:
    """Stop the engine. The next engine continues its active runs."""
    import asyncio

    from victor_engine.service.engine_lock import engine_owner
    from victor_engine.service.finding import process_exists

    def stopped(info: EngineInfo) -> bool:
        if not os.access(info.state_dir, os.R_OK):  # it belongs to another user, and so does the lock
            return not process_exists(info.pid)
        owner = engine_owner(Path(info.state_dir))
        return owner is None or owner.pid != info.pid

    async def work(port: Port) -> None:
        info = await port.engine()
        await port.stop_engine()
        await port.close()
        for _ in range(1200):  # active nodes have the drain timeout, and their commands the grace
            if stopped(info):
                print_line(f"engine {info.pid} has stopped")
                return
            await asyncio.sleep(0.1)
        print_line(f"engine {info.pid} is still stopping after two minutes; see its log in {info.state_dir}")

    with_port(ctx, "attach", work)


CHECK_SECONDS = 5.0
"""Seconds in which an engine must answer `victor scheduler status --check`."""


def _clock_words(ahead: ClockAhead) -> str:
    """Return when the clock was ahead, and what became of the fires."""
    by = span((ahead.furthest - ahead.until).total_seconds())
    words = f"the clock was ahead by up to {by}, from {local(ahead.since)} to {local(ahead.until)}"
    if ahead.reopened:
        words += f"; {plural(ahead.reopened, 'missed or skipped fire')} became open again"
    return f"{words}. A fire that started a run is not run again"


@click.command("status")
@click.option(
    "--check", is_flag=True, help="Check the health of the engine; the exit code names the problem."
)
@click.option(
    "--max-request-age",
    metavar="DURATION",
    help="With --check: the greatest age of an open request, such as 4h.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0.1, 60),
    metavar="SECONDS",
    help=f"With --check: the longest wait for an answer; default: {CHECK_SECONDS:g}.",
)
@json_option
@click.pass_context
def status(
    ctx: click.Context, check: bool, max_request_age: str | None, timeout: float | None, as_json: bool
) -> None:
    """Show the engine and its current work. The exit code is 7 if no engine runs."""
    if timeout is not None and math.isnan(timeout):  # a click.FloatRange lets it pass
        raise UsageError("--timeout must be a number of seconds from 0.1 to 60, not nan")
    if check:
        from victor_engine.cli import health
        from victor_engine.cli.ask import duration

        age = duration(max_request_age, "--max-request-age")
        limit = None if age is None else timedelta(seconds=age)
        sys.exit(health.check(ctx, timeout=timeout or CHECK_SECONDS, max_age=limit, as_json=as_json))
    if max_request_age is not None or timeout is not None:
        raise UsageError("--max-request-age and --timeout need --check")
    from victor_engine.definition.problem_messages import describe
    from victor_engine.work.withheld_variables import inheriting_text

    async def work(port: Port) -> bool:
        info = await port.engine()
        if as_json:
            files = None if info.limited else await note_status(port, info.problems, trusted=info.trusted)
            print_json({**msgspec.to_builtins(info), "files": files})
            return info.mode != "readonly"
        if info.mode == "readonly":
            print_line(f"no engine runs on {info.state_dir}; start one with: victor scheduler start")
        else:
            print_line(f"engine {info.pid} ({info.mode}) of {info.workspace}, since {local(info.started_at)}")
            where = f"socket {info.socket}" if info.socket else "without a socket"
            print_line(
                f"run by {info.engine_user or 'an unknown user'}, {where}, state directory {info.state_dir}"
            )
        if info.limited:
            print_line("the numbers of runs and requests are for users with the role viewer")
        else:
            print_line(
                f"{plural(info.schedules, 'schedule')}, {info.running} running, {info.queued} queued, "
                f"{info.waiting} waiting"
            )
            print_line(
                f"{plural(info.open_requests, 'open request')}, {plural(info.failed_recently, 'run')} failed in the "
                "last 24 h"
            )
        if not info.trusted:
            print_note(
                f"{info.workspace} is not trusted, so the engine executes nothing in it: {info.untrusted}; run: "
                f"victor --workspace {info.workspace} trust"
            )
        if info.storage is not None:
            print_note(
                f"storage outage since {local(info.storage.since)}: {info.storage.message}. Runs do not start or "
                f"continue. Changes that wait: {info.storage.waiting}. Work resumes when the store is writable"
            )
        if info.clock_ahead is not None:
            print_note(_clock_words(info.clock_ahead))
        if info.draining is not None:
            why = f" ({info.draining.note})" if info.draining.note else ""
            print_line(
                f"draining since {local(info.draining.at)} by {info.draining.by}{why}: no new runs start"
            )
        if info.recent_breaches:
            print_line(f"{info.recent_breaches} expectations not met in the last 24 h")
        if info.next_fire is not None:
            left = (info.next_fire - info.now).total_seconds()
            when = f"in {span(left)}" if left >= 0 else f"due {span(-left)} ago"
            fire = local(info.next_fire)
            if info.next_fire_schedule is not None:
                found = await port.schedule(info.next_fire_schedule)
                fire = next_fire(found) if found.next_fire == info.next_fire else fire
            print_line(f"next fire {fire}, {when} ({info.next_fire_workflow})")
        for line in access_lines("", info.permissions):
            print_line(line)
        for problem in info.problems:
            print_note(describe(problem))
        if info.inheriting:
            print_note(f"warning: {inheriting_text(info.inheriting)}")
        if not info.limited:
            await note_status(port, info.problems, trusted=info.trusted)
        return info.mode != "readonly"

    sys.exit(0 if with_port(ctx, "read", work) else 7)
