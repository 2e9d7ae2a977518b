"""An engine without a terminal, which prints one line for each event."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

from victor_engine.api import EventInfo
from victor_engine.config import trust
from victor_engine.engine import Engine
from victor_engine.errors import VictorError
from victor_engine.identity import current_actor, local_actor
from victor_engine.service.connect import find, open_engine, wait_for_stop
from victor_engine.service.signals import Signals
from victor_engine.text import plain


async def run_headless(
    workspace: Path | str | None = None,
    state_dir: Path | str | None = None,
    *,
    out: Callable[[str], None] | None = None,
    limit: float = 300.0,
    config_file: Path | None = None,
) -> int:
    """Run the engine of a workspace, and print one line for each event.

    Return 0 when the first scheduled run without a request has succeeded, and 1 if it did not succeed or
    no such run finished within `limit` seconds.
    """
    say = out or (lambda line: print(plain(line), flush=True))
    current_actor.set(local_actor("cli"))
    with Signals() as signals:
        engine = await open_engine(find(workspace, state_dir), config_file=config_file)
        stopping = asyncio.ensure_future(wait_for_stop(engine, signals))
        finished = asyncio.ensure_future(_first_scheduled_run(engine, say))
        try:
            info = await engine.engine()
            say(f"engine of {info.workspace} (state in {info.state_dir}), {info.schedules} schedules")
            for schedule in sorted(
                await engine.schedules(), key=lambda s: (s.next_fire is None, s.next_fire)
            ):
                when = f"next {schedule.next_fire:%H:%M:%S} UTC" if schedule.next_fire else "no next fire"
                say(f"schedule {schedule.spec.workflow}: {schedule.summary}; {when}")
            await asyncio.wait({stopping, finished}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            if finished.done():
                return finished.result()
            say("stopped" if stopping.done() else f"no scheduled run finished within {limit:g} s")
            return 1
        finally:
            stopping.cancel()
            finished.cancel()
            await asyncio.gather(stopping, finished, return_exceptions=True)
            await engine.close()


async def _first_scheduled_run(engine: Engine, say: Callable[[str], None]) -> int:
    asked: set[str] = set()
    last = (await engine.engine()).last_event
    async for event in engine.subscribe(last):
        say(describe_event(event))
        if event.kind == "request.opened" and event.run_id:
            asked.add(event.run_id)
        if event.kind == "run.finished" and event.schedule_id and event.run_id not in asked:
            status = event.data.get("status")
            say(f"run {event.run_id} of {event.workflow}, started by its schedule, has finished: {status}")
            return 0 if status == "succeeded" else 1
    return 1


def describe_event(event: EventInfo) -> str:
    """Return an event as one line: time, kind, workflow, run, node and data."""
    return f"{event.at:%H:%M:%S} {event_text(event)}"


def event_text(event: EventInfo) -> str:
    """Return an event as one line without its time."""
    parts: list[str] = [event.kind]
    if event.workflow:
        parts.append(event.workflow)
    if event.run_id:
        parts.append(event.run_id)
    if event.node_id:
        parts.append(event.node_id)
    for key in ("status", "outcome", "reason", "branch", "message", "title", "version"):
        value = event.data.get(key)
        if isinstance(value, str | int | float | bool):
            parts.append(f"{key}={value}")
    return "".join(c if c.isprintable() else "?" for c in " ".join(parts))


def main() -> int:
    """Run `python -m victor_engine.service.headless`, which `make run` uses without a terminal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", type=Path)
    parser.add_argument("--state", type=Path)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--trust", action="store_true", help="trust the workspace and exit")
    arguments = parser.parse_args()
    try:
        if arguments.trust:
            trust(find(arguments.workspace, arguments.state).workspace)
            return 0
        return asyncio.run(run_headless(arguments.workspace, arguments.state, config_file=arguments.config))
    except VictorError as error:
        print(f"error: {plain(error.message)}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
