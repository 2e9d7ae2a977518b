"""The time from a key to its frame in an inbox of 5,000 requests beside one of 50, and the memory of the console.

    python -m benchmarks.inbox [--few 50] [--many 5000] [--keys 400]

Both consoles run in pseudo-terminals of 80x24, each attached to a daemon on its own store, and take their keys in turn:
`down` through the list. The measured time is from the byte of the key until the console has written the question of the
row. 667 of the many requests are of one workflow. The memory is the resident memory of the console at the end, and its
maximum.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import select
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.bench_paint import Console
from victor_engine.api import RequestQuery
from victor_engine.config import trust
from victor_engine.engine import Engine
from victor_engine.service.connect import open_port

LIMIT_RATIO = 2.0
LIMIT_MEGABYTES = 120
WORKFLOWS = """workflows:
  deploy:
    nodes: [{id: ask, type: hitl, prompt: "host-{n} deploys, is that right?"}]
  bulk:
    nodes: [{id: ask, type: hitl, prompt: "host-{n} restarts, is that right?"}]
"""


class Side:
    """One inbox: its workspace, its daemon and its console. `marks` are the words of its questions in their order."""

    def __init__(self, folder: Path, count: int) -> None:
        self.root = folder / f"ws-{count}"
        self.count = count
        (self.root / "workflows").mkdir(parents=True)
        (self.root / "workflows" / "w.yaml").write_text(WORKFLOWS)
        trust(self.root)
        self.marks: list[str] = []
        self.taken: list[float] = []
        self.at = 0

    async def fill(self) -> None:
        """Open the requests with an engine, and read their order."""
        engine = await Engine.open(self.root, self.root / ".state", fire=False)
        for number in range(self.count):
            workflow = "deploy" if number < self.count * 667 // 5000 else "bulk"
            await engine.start_run(workflow, None, {"n": f"{number:05}"}, "")
        while (await engine.engine()).open_requests < self.count:
            await asyncio.sleep(0.2)
        while len(self.marks) < self.count:
            page = await engine.requests(RequestQuery(limit=500, offset=len(self.marks)))
            self.marks += [re.findall(r"host-\d+", request.prompt)[0] for request in page]
        await engine.close()

    def open(self, stack: ExitStack) -> None:
        """Start the daemon and the console, and show the inbox."""
        state = ["--workspace", str(self.root), "--state-dir", str(self.root / ".state")]
        command = [sys.executable, "-m", "victor_engine.cli.main", *state, "scheduler", "start", "--quiet"]
        daemon = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        stack.callback(daemon.wait, 30)
        stack.callback(daemon.terminate)
        asyncio.run(self._attached())
        self.console = Console(self.root, rows=24, columns=80)
        stack.callback(self.console.close)
        self.console.frame(b"Schedules")
        self.console.press("3", self.marks[0])

    async def _attached(self) -> None:
        end = time.monotonic() + 60
        while True:
            try:
                async with open_port(self.root, self.root / ".state", mode="attach"):
                    return
            except Exception:
                if time.monotonic() > end:
                    raise
                await asyncio.sleep(0.2)

    def down(self) -> None:
        """Press the key, and take the time."""
        self.at += 1
        if self.at == self.count:  # back to the top: not measured
            self.at = 0
            self.console.press("g", self.marks[0])
            return
        self.taken.append(self._timed(b"j", self.marks[self.at].encode()))

    def _timed(self, key: bytes, wanted: bytes) -> float:
        seen, end = b"", time.perf_counter() + 20
        pressed = time.perf_counter()
        os.write(self.console.master, key)
        while time.perf_counter() < end:
            if select.select([self.console.master], [], [], 1.0)[0]:
                seen += os.read(self.console.master, 65536)
                if wanted in seen:
                    return (time.perf_counter() - pressed) * 1000
        raise TimeoutError(f"the console did not show {wanted!r}; its last output: {seen[-500:]!r}")

    def memory(self, name: str) -> float:
        """Return a memory figure of the console in megabytes: `VmRSS` (now) or `VmHWM` (maximum)."""
        text = Path(f"/proc/{self.console.process.pid}/status").read_text()
        return int(re.findall(rf"{name}:\s+(\d+)", text)[0]) / 1024


def _percentile(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, count in (("few", 50), ("many", 5000), ("keys", 400)):
        parser.add_argument(f"--{name}", type=int, default=count)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        os.environ["HOME"] = folder
        few, many = Side(Path(folder), given.few), Side(Path(folder), given.many)
        for side in (few, many):
            asyncio.run(side.fill())
            side.open(stack)
        for _ in range(given.keys):
            few.down()
            many.down()
        print("key to frame in ms: median, p99")
        for side in (few, many):
            print(
                f"{side.count:6} open {statistics.median(side.taken):8.1f} {_percentile(side.taken, 0.99):8.1f}"
            )
        ratio = _percentile(many.taken, 0.99) / _percentile(few.taken, 0.99)
        print(f"ratio of p99 {ratio:.2f} (at most {LIMIT_RATIO:g})")
        many.console.press("G", many.marks[-1])
        resident, most = many.memory("VmRSS"), many.memory("VmHWM")
        print(f"resident memory {resident:.0f} MB, maximum {most:.0f} MB (at most {LIMIT_MEGABYTES})")
        if ratio > LIMIT_RATIO or most > LIMIT_MEGABYTES:
            sys.exit(1)


if __name__ == "__main__":
    main()
