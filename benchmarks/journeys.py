"""Record the number of files and functions in five journeys through the product.

    python -m benchmarks.journeys [--order]

Each journey runs on a real engine with a temporary store. During a journey, each call of a function of
`victor_engine` or `victor_tui` is recorded, in all threads. A *move* is a call in another file than the call
before it: the number of times that a reader of the code changes the file. The figures vary a little between runs,
because of the work in threads and timers.

`--order` also prints the files in the order of their first call.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from textwrap import dedent
from types import FrameType
from typing import Any

from victor_engine.api import MigrationSpec, RequestQuery, RunInfo, ScheduleSpec
from victor_engine.config import trust
from victor_engine.engine import Engine
from victor_engine.identity import acting_as, local_actor

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGES = ("victor_engine", "victor_tui")
ROOT = f"{REPOSITORY}/"
OURS = tuple(f"{ROOT}{package}/" for package in PACKAGES)
LONG = 400
"""Minimum number of lines of a listed module."""
PATIENCE = 60.0
"""Maximum seconds of each step of a journey."""

BEFORE: dict[str, tuple[int, int | None, int]] = {
    "an answer, from the key to the screen": (78, None, 827),
    "a scheduled fire, to the end of its run": (57, None, 463),
    "a reload of the workspace": (49, 251, 577),
    "a migration of a waiting run": (56, 272, 483),
    "a cancellation of a run at work": (36, 125, 130),
}
"""Files, functions and moves of each journey in version 0.1.0; None: not recorded."""

FILES = {
    "victor.yaml": """
        handlers:
          quick: {command: [echo, '{"a": 1}']}
          slow: {command: [sleep, "30"], grace: 1}
        """,
    "workflows/one.yaml": """
        workflows:
          short:
            nodes:
              - {id: x, type: compute, handler: quick, next: [y]}
              - {id: y, type: transform, transform: "z = a + 1"}
          long:
            nodes:
              - {id: x, type: compute, handler: slow}
          gate:
            version: 1.0.0
            nodes:
              - {id: ok, type: hitl, hitl_type: approval, prompt: "Go {v}?", next: [y]}
              - {id: y, type: transform, transform: "done = True"}
        """,
    "workflows/two.yaml": """
        workflows:
          gate:
            version: 1.1.0
            migrations:
              - {from: 1.0.0, to: 1.1.0, steps: [{type: add_field, field: extra, default: 1}]}
            nodes:
              - {id: ok, type: hitl, hitl_type: approval, prompt: "Go {v}?", next: [y]}
              - {id: y, type: transform, transform: "done = extra"}
        """,
}


@dataclass
class Recorder:
    """The calls of the current journey, as pairs of file and function."""

    calls: list[tuple[str, str]] = field(default_factory=list)
    recording: bool = False
    journeys: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if not self.recording or event != "call":
            return
        if (path := frame.f_code.co_filename).startswith(OURS):
            self.calls.append((path[len(ROOT) :], frame.f_code.co_qualname))

    @contextmanager
    def journey(self, name: str) -> Iterator[None]:
        self.calls = []
        self.recording = True
        try:
            yield
        finally:
            self.recording = False
            self.journeys[name] = self.calls


def figures(calls: list[tuple[str, str]]) -> tuple[int, int, int]:
    """Return the files, functions and moves of a journey."""
    stays = [name for name, _ in groupby(file for file, _ in calls)]
    return len(set(stays)), len(set(calls)), len(stays)


async def until(engine: Engine, run: RunInfo, *statuses: str, at: str | None = None) -> None:
    """Wait until a run has one of the statuses, and is at a node. Poll rarely, so that polls count little."""
    async with asyncio.timeout(PATIENCE):
        while True:
            found = (await engine.run(run.id)).run
            if found.status in statuses and (at is None or at in found.current):
                return
            await asyncio.sleep(0.05)


async def record(engine: Engine, recorder: Recorder) -> None:
    """Take the five journeys in turn."""
    answer, fire, reload, migration, cancellation = BEFORE
    await until(
        engine, await engine.start_run("short"), "succeeded"
    )  # loads everything that is loaded lazily

    with recorder.journey(reload):
        await engine.reload()

    added = await engine.add_schedule(ScheduleSpec(workflow="short", every_seconds=3.0))
    last = (await engine.engine()).last_event
    with recorder.journey(fire):
        async with asyncio.timeout(PATIENCE):
            async for event in engine.subscribe(last):
                if event.kind == "run.finished":
                    break
    await engine.remove_schedule(added.id)

    run = await engine.start_run("long")
    await until(engine, run, "running", at="x")
    with recorder.journey(cancellation):
        await engine.cancel_run(run.id)

    run = await engine.start_run("gate", "1.0.0", {"v": 1})
    await until(engine, run, "waiting")
    with recorder.journey(migration):
        report = await engine.migrate_runs(MigrationSpec("gate", "1.1.0", run_ids=(run.id,)))
    assert report.count("migrated") == 1, report

    await record_answer(engine, recorder, answer, run)


async def record_answer(engine: Engine, recorder: Recorder, name: str, run: RunInfo) -> None:
    """Answer in a console that embeds the engine, until the dialog has closed."""
    from victor_tui.app import VictorApp

    async def connect() -> Engine:
        return engine

    app = VictorApp(connect, interval=0.05)

    async def shows(dialog: bool) -> None:
        async with asyncio.timeout(PATIENCE):
            while (type(app.screen).__name__ == "AnswerDialog") != dialog:
                await asyncio.sleep(0.05)

    async with app.run_test(size=(100, 34)) as pilot:
        async with asyncio.timeout(PATIENCE):
            while not await engine.requests(RequestQuery(run_id=run.id)):
                await asyncio.sleep(0.05)
        await asyncio.sleep(1.0)
        await pilot.press("a")
        await shows(True)
        await asyncio.sleep(0.5)
        await pilot.press("left")  # only selects a choice
        await pilot.pause()
        with recorder.journey(name):
            await pilot.press("ctrl+s")
            await shows(False)


def long_modules() -> list[tuple[int, str]]:
    """Return the modules with more than `LONG` lines, the longest first."""
    found = [
        (len(path.read_text("utf-8").splitlines()), str(path.relative_to(REPOSITORY)))
        for package in PACKAGES
        for path in (REPOSITORY / package).rglob("*.py")
    ]
    return sorted(((lines, name) for lines, name in found if lines > LONG), reverse=True)


def show(recorder: Recorder, order: bool) -> None:
    print(f"{'':<42}{'version 0.1.0':>26}{'now':>28}")
    print(f"{'':<42}" + f"{'files':>8}{'functions':>11}{'moves':>8}" * 2 + f"{'moves':>9}")
    for name, before in BEFORE.items():
        now = figures(recorder.journeys[name])
        then = "".join(
            f"{'' if value is None else value:>{width}}"
            for value, width in zip(before, (8, 11, 8), strict=True)
        )
        print(f"{name:<42}{then}{now[0]:>8}{now[1]:>11}{now[2]:>8}{now[2] / before[2] - 1:>+9.0%}")
    if order:
        for name, calls in recorder.journeys.items():
            print(f"\n{name}:\n  " + "\n  ".join(dict.fromkeys(file for file, _ in calls)))
    modules = long_modules()
    print(f"\n{len(modules)} modules have more than {LONG} lines")
    for lines, name in modules:
        print(f"{lines:>6}  {name}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--order", action="store_true", help="print the files in the order of first entry")
    given = parser.parse_args()
    recorder = Recorder()
    with tempfile.TemporaryDirectory() as directory:
        os.environ.update(HOME=f"{directory}/home", XDG_CONFIG_HOME="", VICTOR_STATE="")
        root = Path(directory).resolve() / "ws"
        for name, text in FILES.items():
            target = root / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(dedent(text))
        trust(root)
        asyncio.run(take(recorder, root))
    show(recorder, given.order)


async def take(recorder: Recorder, root: Path) -> None:
    """Open an engine and take the journeys on it."""
    sys.setprofile(recorder)
    threading.setprofile(recorder)
    try:
        with acting_as(local_actor("cli")):
            engine = await Engine.open(root, root / ".state")
            try:
                await record(engine, recorder)
            finally:
                await engine.close()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


if __name__ == "__main__":
    main()
