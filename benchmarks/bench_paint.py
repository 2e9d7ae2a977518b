"""The time from the key of a main screen to the frame with its rows, on a large store, compared with an empty screen.

    python -m benchmarks.bench_paint [--workflows 200] [--versions 50] [--schedules 2000] [--runs 2000]
                                     [--past 3000] [--processes 3] [--rounds 8]

The store has that many versions and schedules, runs that wait for an approval (each with its request), and
finished runs. The console runs on it in a pseudo-terminal of 120x40. The measured time is from the byte of the
key until the console has written the text of a row; processor time is that of all its threads until then.

* first: a screen that was not shown before in its process, two seconds after the console has shown its first;
* at once: the same, with the key as soon as the first screen has its rows, in a separate process for each screen;
* again: a return to the screen. All screens take turns, with an empty screen of Textual in the same console.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import os
import pty
import select
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks import paint_child
from victor_engine.api import ENGINE_ACTOR, ScheduleSpec
from victor_engine.config import trust
from victor_engine.definition.content import checksum
from victor_engine.definition.loader import load_text
from victor_engine.engine import Engine
from victor_engine.scheduling import schedule_commands
from victor_engine.store.db import Tx
from victor_engine.versioning import catalog

QUIET = 0.6
"""Seconds without output after which a frame is complete; not part of the measured time."""
NODES = 8


def _text(name: str, version: str) -> str:
    nodes = "".join(
        f'      - {{id: n{i}, type: transform, transform: "x{i} = 1", next: [n{i + 1}]}}\n'
        for i in range(NODES)
    )
    return (
        f'workflows:\n  {name}:\n    version: {version}\n    description: "Loads {name}, checks it, publishes it"\n'
        f'    nodes:\n{nodes}      - {{id: n{NODES}, type: transform, transform: "done = {version!r}"}}\n'
    )


def _name(number: int) -> str:
    return f"workflow_{number:03}"


QUESTIONS = """workflows:
  approval:
    version: 1.0.0
    nodes:
      - {id: ask, type: hitl, hitl_type: approval, prompt: "Publish this?", next: [done]}
      - {id: done, type: transform, transform: "x = 1"}
  bygone:
    version: 1.0.0
    nodes: [{id: only, type: transform, transform: "x = 1"}]
"""


async def fill(root: Path, given: argparse.Namespace) -> None:
    """Fill a store with an engine, as the arguments say."""
    (root / "workflows" / "questions.yaml").write_text(QUESTIONS)
    engine = await Engine.open(root, root / ".state", fire=False)
    for number in range(given.workflows):
        found = [_text(_name(number), f"{v // 10 + 1}.{v % 10}.0") for v in range(given.versions)]

        def register(tx: Tx, found: list[str] = found) -> None:
            for text in found:
                (definition,) = load_text(text).workflows.values()
                content = definition.content or {}
                catalog.register_definition(tx, definition, content, text, None, checksum(content))

        await engine.store.write(register)

    def schedule(tx: Tx) -> None:
        anchor = datetime.now(UTC) + timedelta(days=10)
        for number in range(given.schedules):
            spec = ScheduleSpec(
                workflow=_name(given.workflows - 1), every_seconds=86400.0 + number, anchor=anchor
            )
            schedule_commands.add(tx, spec, actor=ENGINE_ACTOR, origin="python")

    await engine.store.write(schedule)
    for workflow, count in (("approval", given.runs), ("bygone", given.past)):
        await asyncio.gather(*(engine.start_run(workflow, None, {}, "") for _ in range(count)))
    while (now := await engine.engine()).running or now.queued or now.open_requests < given.runs:
        await asyncio.sleep(0.2)
    await engine.close()
    print(
        f"{given.workflows * given.versions:,} versions of {given.workflows} workflows, {given.schedules:,} schedules,"
        f" {given.runs:,} runs with an open request each, {given.past:,} runs that have ended"
    )


class Console:
    """`victor-tui` in a pseudo-terminal."""

    def __init__(self, root: Path, rows: int = 40, columns: int = 120) -> None:
        self.master, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        environment = os.environ | {"TERM": "xterm-256color", "HOME": str(root.parent), "COLORTERM": ""}
        command = [
            sys.executable,
            "-m",
            "benchmarks.paint_child",
            "--workspace",
            str(root),
            "--state",
            str(root / ".state"),
        ]
        self.process = subprocess.Popen(
            command, stdin=terminal, stdout=terminal, stderr=terminal, env=environment, start_new_session=True
        )
        os.close(terminal)

    def frame(self, *wanted: bytes, quiet: float = QUIET, timeout: float = 20.0) -> tuple[float, float]:
        """Read until one of `wanted` is painted and the output is quiet. Return its time and the processor time
        until then."""
        seen, found, spent = b"", 0.0, 0.0
        deadline = time.perf_counter() + timeout
        while time.perf_counter() < deadline:
            ready, _, _ = select.select([self.master], [], [], quiet if found else 1.0)
            if ready:
                seen += os.read(self.master, 65536)
                if not found and any(words in seen for words in wanted):
                    found, spent = time.perf_counter(), self.cpu()
            elif found:
                return found, spent
        raise TimeoutError(f"the console did not show {wanted!r}; its last output: {seen[-500:]!r}")

    def cpu(self) -> float:
        """Return the processor time of the console in seconds; it depends less on the load of the machine."""
        used = 0
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            with suppress(OSError):  # a thread that has just ended
                used += int((task / "schedstat").read_text().split()[0])
        return used / 1e9

    def press(self, key: str, *wanted: str) -> tuple[float, float]:
        """Return the milliseconds from the key to a frame with one of the texts, and of processor time until then."""
        used = self.cpu()
        pressed = time.perf_counter()
        os.write(self.master, key.encode())
        found, spent = self.frame(*(words.encode() for words in wanted))
        return (found - pressed) * 1000, (spent - used) * 1000

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(20)
        os.close(self.master)


@dataclass
class Taken:
    """Wall-clock time and processor time in milliseconds, one entry for each look."""

    clock: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def add(self, took: tuple[float, float]) -> None:
        self.clock.append(took[0])
        self.cpu.append(took[1])

    def row(self, beside: Taken) -> str:
        ratio = statistics.median(self.cpu) / statistics.median(beside.cpu)
        return (
            f"{statistics.median(self.clock):6.0f} {min(self.clock):6.0f} {max(self.clock):6.0f}"
            f" {statistics.median(self.cpu):6.0f} {ratio:6.1f}"
        )


Table = dict[str, Taken]


def looks(root: Path, given: argparse.Namespace) -> dict[str, Table]:
    """Return the measurements, by kind of look and screen."""
    shown = {
        "empty": (paint_child.KEY, paint_child.WORDS),
        "runs": ("2", "approval"),
        "inbox": ("3", "Publish"),
        # Each console that was opened before has left events of its engine above the runs.
        "history": ("4", "bygone", "engine"),
        "versions": ("5", _name(0)),
        "schedules": ("1", _name(given.workflows - 1)),
    }
    found: dict[str, Table] = {kind: defaultdict(Taken) for kind in ("first", "at once", "again")}
    ready = _name(given.workflows - 1).encode()
    for _ in range(given.processes):
        with opened(root) as console:
            console.frame(ready)
            time.sleep(2)
            for screen, (key, *words) in shown.items():
                kind = "again" if screen == "schedules" else "first"
                found[kind][screen].add(console.press(key, *words))
            for _ in range(given.rounds):
                for screen, (key, *words) in shown.items():
                    found["again"][screen].add(console.press(key, *words))
        for screen, (key, *words) in shown.items():
            if screen != "schedules":
                with opened(root) as console:
                    console.frame(ready, quiet=0.0)
                    found["at once"][screen].add(console.press(key, *words))
    return found


def started(root: Path, times: int) -> tuple[float, float]:
    """Return the medians of the milliseconds until the first frame, and until the first screen has rows."""
    drawn, filled = [], []
    for _ in range(times):
        began = time.perf_counter()
        with opened(root) as console:
            drawn.append(console.frame(b"Schedules", quiet=0.0)[0] - began)
            filled.append(console.frame(b"workflow_", quiet=0.0)[0] - began)
    return statistics.median(drawn) * 1000, statistics.median(filled) * 1000


@contextmanager
def opened(root: Path) -> Iterator[Console]:
    console = Console(root)
    try:
        yield console
    finally:
        console.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, count in (("workflows", 200), ("versions", 50), ("schedules", 2000), ("runs", 2000)):
        parser.add_argument(f"--{name}", type=int, default=count)
    for name, count in (("past", 3000), ("processes", 3), ("rounds", 8)):
        parser.add_argument(f"--{name}", type=int, default=count)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HOME"] = folder
        root = Path(folder) / "ws"
        (root / "workflows").mkdir(parents=True)
        trust(root)
        asyncio.run(fill(root, given))
        drawn, filled = started(root, given.processes)
        print(f"from the start to the first frame {drawn:.0f} ms, to the first rows {filled:.0f} ms")
        print("wall-clock ms: median, minimum, maximum; processor ms: median, ratio to the empty screen")
        for kind, table in looks(root, given).items():
            for screen, taken in table.items():
                print(f"{kind:8} {screen:10} {taken.row(table['empty'])}")


if __name__ == "__main__":
    main()
