"""The Versions screen on a store of 200 workflows with 50 versions each: from the key to the painted frame.

`python -m benchmarks.bench_versions [WORKFLOWS [VERSIONS]]` registers them in a temporary directory, starts
the console in a pseudo-terminal of 120x40, and measures from the byte of the key to the last byte of the
frame that shows the tree. The console is started once; the first time is that of a screen that was never
shown, the others come back to it from Schedules.
"""

from __future__ import annotations

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
from pathlib import Path

from victor_engine.config import trust
from victor_engine.definition.loader import checksum, load_text
from victor_engine.engine import Engine
from victor_engine.store.db import Tx
from victor_engine.store.runs import NewRun, insert_run
from victor_engine.versioning import catalog

TIMES = 8
"""How often the screen is opened."""
QUIET = 0.6
"""Seconds without output after which a frame is over; not part of what is measured."""
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


async def fill(root: Path, workflows: int, versions: int) -> None:
    """A store with that many versions, and a run that is queued on every fifth of them."""
    engine = await Engine.open(root, root / ".state", fire=False)
    for number in range(workflows):
        found = [_text(_name(number), f"{v // 10 + 1}.{v % 10}.0") for v in range(versions)]

        def transition(tx: Tx, found: list[str] = found) -> None:
            for place, text in enumerate(found):
                (definition,) = load_text(text).workflows.values()
                content = definition.content or {}
                known = catalog.register_definition(tx, definition, content, text, None, checksum(content))
                if place % 5 == 0:
                    run = NewRun(
                        workflow=definition.name, definition_id=known.definition_id, start_node="n0", state={}
                    )
                    key, _ = insert_run(tx, run)
                    tx.execute("UPDATE runs SET status = 'paused' WHERE key = ?", (key,))

        await engine.store.write(transition)
    began = time.perf_counter()
    heads = await engine.workflows(shown="heads")
    print(
        f"{sum(info.version_count for info in heads):,} versions of {len(heads)} workflows; the port lists"
        f" their heads in {(time.perf_counter() - began) * 1000:.0f} ms"
    )
    await engine.close()


class Console:
    """`victor-tui` in a pseudo-terminal."""

    def __init__(self, root: Path) -> None:
        self.master, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        environment = os.environ | {"TERM": "xterm-256color", "HOME": str(root.parent), "COLORTERM": ""}
        command = [
            sys.executable,
            "-m",
            "victor_tui",
            "--workspace",
            str(root),
            "--state",
            str(root / ".state"),
        ]
        self.process = subprocess.Popen(
            command, stdin=terminal, stdout=terminal, stderr=terminal, env=environment, start_new_session=True
        )
        os.close(terminal)

    def frame(self, wanted: bytes, timeout: float = 60.0) -> tuple[float, float]:
        """Read on until `wanted` was painted and it is quiet: when it came, and the processor time then."""
        seen, found, spent = b"", 0.0, 0.0
        deadline = time.perf_counter() + timeout
        while time.perf_counter() < deadline:
            ready, _, _ = select.select([self.master], [], [], QUIET if found else 1.0)
            if ready:
                seen += os.read(self.master, 65536)
                if not found and wanted in seen:
                    found, spent = time.perf_counter(), self.cpu()
            elif found:
                return found, spent
        raise TimeoutError(f"the console did not show {wanted!r}; the last it wrote: {seen[-500:]!r}")

    def cpu(self) -> float:
        """Seconds of processor time that the console has used: what is left of a busy machine's noise."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def press(self, key: str, wanted: bytes) -> tuple[float, float]:
        """Milliseconds from the key to the frame with the text, and of processor time until then."""
        used = self.cpu()
        pressed = time.perf_counter()
        os.write(self.master, key.encode())
        found, spent = self.frame(wanted)
        return (found - pressed) * 1000, (spent - used) * 1000

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(20)
        os.close(self.master)


def measure(root: Path) -> None:
    console = Console(root)
    try:
        console.frame(b"Schedules")
        first, used = console.press("5", _name(0).encode())
        print(f"the first time: the tree after {first:.0f} ms ({used:.0f} ms of processor time)")
        times, processor = [], []
        for _ in range(TIMES):
            console.press("1", b"Schedule")
            took, used = console.press("5", _name(0).encode())
            times.append(took)
            processor.append(used)
        print(
            f"again, {TIMES} times: the tree after {statistics.median(times):.0f} ms (median), {min(times):.0f} to"
            f" {max(times):.0f} ms ({statistics.median(processor):.0f} ms of processor time)"
        )
    finally:
        console.close()


def main() -> None:
    workflows = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    versions = int(sys.argv[2]) if len(sys.argv) > 2 else 50
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HOME"] = folder
        root = Path(folder) / "ws"
        (root / "workflows").mkdir(parents=True)
        trust(root)
        asyncio.run(fill(root, workflows, versions))
        measure(root)


if __name__ == "__main__":
    main()
