"""A workspace without a terminal: what happens is printed line by line."""

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
from victor_engine.service.connect import find, open_engine, until_told
from victor_engine.service.signals import Signals
from victor_engine.text import plain


async def run_headless(
    workspace: Path | str | None = None,
    state_dir: Path | str | None = None,
    *,
    out: Callable[[str], None] | None = None,
    limit: float = 300.0,
) -> int:
    """Run a workspace without a terminal: one line an event.

    Ends with 0 after the first scheduled run that needed nobody has succeeded, and with 1 if none
    did within `limit` seconds or one that needed nobody failed.
    """
    say = out or (lambda line: print(plain(line), flush=True))
    current_actor.set(local_actor("cli"))
    with Signals() as signals:
        engine = await open_engine(find(workspace, state_dir))
        told = asyncio.ensure_future(until_told(engine, signals))
        finished = asyncio.ensure_future(_first_scheduled_run(engine, say))
        try:
            info = await engine.engine()
            say(f"engine of {info.workspace} (state in {info.state_dir}), {info.schedules} schedules")
            for schedule in sorted(
                await engine.schedules(), key=lambda s: (s.next_fire is None, s.next_fire)
            ):
                when = f"next {schedule.next_fire:%H:%M:%S} UTC" if schedule.next_fire else "no next fire"
                say(f"schedule {schedule.spec.workflow}: {schedule.summary}; {when}")
            await asyncio.wait({told, finished}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            if finished.done():
                return finished.result()
            say("stopped" if told.done() else f"no scheduled run has finished within {limit:g} s")
            return 1
        finally:
            told.cancel()
            finished.cancel()
            await asyncio.gather(told, finished, return_exceptions=True)
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
            say(f"run {event.run_id} of {event.workflow}, started by its schedule, has {status}")
            return 0 if status == "succeeded" else 1
    return 1


def describe_event(event: EventInfo) -> str:
    """One line: time, what, of whom, and the particulars."""
    parts = [f"{event.at:%H:%M:%S}", event.kind]
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
    """`python -m victor_engine.service.headless`: what `make run` does where there is no terminal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", type=Path)
    parser.add_argument("--state", type=Path)
    parser.add_argument("--trust", action="store_true", help="trust the workspace and end")
    arguments = parser.parse_args()
    try:
        if arguments.trust:
            trust(find(arguments.workspace, arguments.state).workspace)
            return 0
        return asyncio.run(run_headless(arguments.workspace, arguments.state))
    except VictorError as error:
        print(f"error: {plain(error.message)}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
