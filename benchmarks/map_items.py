"""A map of 10,000 items whose engine is killed in the middle: ``python -m benchmarks.map_items``.

Each item appends its idempotency key to a file with one write. The engine is killed with SIGKILL when half of the items
have done so, and another engine continues the run. The benchmark checks that each item has its key in the file, that only
the items that were active at the kill are there twice, and that the results are in order. Then it prints the time, the
processor time and the memory of the map beside those of a loop of as many nodes, each without a kill.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks.running import database, running

EFFECTS = """
import asyncio, os

async def effect(payload):
    inputs = payload["inputs"]
    file = os.open(inputs["file"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, (payload["idempotency_key"] + "\\n").encode())
    finally:
        os.close(file)
    while inputs["n"] >= {held} and os.path.exists(inputs["file"] + ".hold"):
        await asyncio.sleep(0.05)
    return inputs["n"]
"""
CONFIG = "handlers: {effect: {python: 'map_effects:effect'}}\n"
WORKFLOWS = """
workflows:
  map:
    nodes:
      - {{id: each, type: map, over: $ctx.numbers, as: n, node: effect, max_concurrent: {at_once}, output: results}}
      - {{id: effect, type: compute, handler: effect, inputs: {{n: $ctx.n, file: {file}}}}}
  loop:
    max_iterations: 1000000
    nodes:
      - {{id: effect, type: compute, handler: effect, output: last, inputs: {{n: $ctx.n, file: {file}}}, next: [more]}}
      - {{id: more, type: transform, transform: "n = n + 1", next: [left]}}
      - {{id: left, type: condition, condition: "n < {items}", branches: {{true: effect, false: null}}}}
"""


async def execute(directory: Path, workflow: str, items: int, at_once: int) -> None:
    """Execute a run, or continue the one that is in the store. Print the seconds and the memory as JSON."""
    text = WORKFLOWS.format(at_once=at_once, items=items, file=directory / "effects")
    root = directory / "workspace"
    root.mkdir(exist_ok=True)
    (root / "map_effects.py").write_text(EFFECTS.replace("{held}", str(items * 2 // 3)))
    begun = database(directory).exists()
    async with running(directory, text, 1, CONFIG) as engine:
        _forget_peak()
        before, clock, cpu = _megabytes("VmRSS"), time.monotonic(), time.process_time()
        if begun:
            async with asyncio.timeout(600):
                while await engine.engine.store.read(_active):
                    await asyncio.sleep(0.05)
        else:
            await engine.run(
                workflow, {"n": 0, "numbers": [*range(items)]} if workflow == "map" else {"n": 0}
            )
        used = {"seconds": time.monotonic() - clock, "processor": time.process_time() - cpu}
        print(json.dumps({**used, "megabytes": _megabytes("VmHWM") - before}))


def _active(connection: sqlite3.Connection) -> bool:
    sql = "SELECT 1 FROM runs WHERE status NOT IN ('succeeded', 'failed', 'rejected', 'cancelled')"
    return connection.execute(sql).fetchone() is not None


def _megabytes(what: str) -> float:
    """Return the resident memory of the process: `VmRSS` now, or `VmHWM` at its highest since `_forget_peak`."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) / 1024


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _child(directory: Path, workflow: str, items: int, at_once: int) -> subprocess.Popen[bytes]:
    arguments = ["--child", str(directory), workflow, "--items", str(items), "--at-once", str(at_once)]
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.map_items", *arguments],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
    )


def killed(directory: Path, items: int, at_once: int) -> tuple[int, list[str]]:
    """Kill the engine in the middle of a map, and continue. Return the number of repeated items, and the problems."""
    effects, hold = directory / "effects", directory / "effects.hold"
    hold.touch()  # the last third of the items does not end before the kill
    child = _child(directory, "map", items, at_once)
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and _ended(directory) < items // 2:
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    hold.unlink()
    before = len(effects.read_text().splitlines())
    _child(directory, "map", items, at_once).communicate()
    problems = [] if items // 2 <= before < items else [f"{before} items had an effect before the kill"]
    return _checked(directory, items, at_once, problems)


def _ended(directory: Path) -> int:
    try:
        with sqlite3.connect(f"file:{database(directory)}?mode=ro", uri=True) as connection:
            sql = "SELECT COUNT(*) FROM attempts WHERE node_type = 'item' AND status = 'succeeded'"
            return int(connection.execute(sql).fetchone()[0])
    except sqlite3.OperationalError:
        return 0  # the store is being created


def _checked(directory: Path, items: int, at_once: int, problems: list[str]) -> tuple[int, list[str]]:
    keys = Counter(line for line in (directory / "effects").read_text().splitlines())
    with sqlite3.connect(database(directory)) as connection:
        run, status = connection.execute("SELECT id, status FROM runs").fetchone()
        patch = connection.execute(
            "SELECT patch FROM attempts WHERE node_id = 'each' AND status = 'succeeded'"
        ).fetchone()
        twice = connection.execute(
            "SELECT COUNT(*) FROM (SELECT 1 FROM attempts WHERE node_type = 'item' AND status = 'succeeded'"
            " GROUP BY node_id HAVING COUNT(*) > 1)"
        ).fetchone()[0]
    repeated = sum(count - 1 for count in keys.values())
    if status != "succeeded":
        problems.append(f"the run is {status}")
    if set(keys) != {f"{run}/effect.{n}/1" for n in range(items)}:
        problems.append(f"{len(keys)} keys are in the file")
    if repeated > at_once:
        problems.append(f"{repeated} items were repeated, and {at_once} were active")
    if twice:
        problems.append(f"{twice} items have two results")
    if patch is None or str([*range(items)]).replace(" ", "") not in patch[0].replace(" ", ""):
        problems.append("the results are not in order")
    return repeated, problems


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--at-once", type=int, default=50)
    parser.add_argument("--child", nargs=2, metavar=("DIRECTORY", "WORKFLOW"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child is not None:
        asyncio.run(execute(Path(given.child[0]), given.child[1], given.items, given.at_once))
        return
    with tempfile.TemporaryDirectory() as directory:
        repeated, problems = killed(Path(directory), given.items, given.at_once)
    if problems:
        raise SystemExit("\n".join(problems))
    print(f"{given.items} items, {given.at_once} at once: each has its effect once by its key")
    print(f"{repeated} of them were active when the engine was killed, and were tried again")
    for workflow in ("map", "loop"):
        with tempfile.TemporaryDirectory() as directory:
            said, _ = _child(Path(directory), workflow, given.items, given.at_once).communicate()
        found = json.loads(said)
        print(
            f"{workflow:4}  {found['seconds']:6.1f} s  {found['processor']:6.1f} s of processor time"
            f"  {found['megabytes']:6.1f} MB more memory"
        )


if __name__ == "__main__":
    main()
