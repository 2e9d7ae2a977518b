"""A process that fires due schedules of a store and prints them: `firing.py STORE [slow] [hold FILE]`.

`slow` decides five schedules at a time slowly, and after `ENOUGH` runs waits until another engine has
taken over the store; then it continues. `hold FILE` stops in the middle of a transition, after the fire is
claimed and before its run is created, and creates FILE.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import time
from pathlib import Path

from victor_engine.scheduling import loop as loops
from victor_engine.scheduling.loop import SchedulerLoop
from victor_engine.store.db import Tx, open_store
from victor_engine.store.runs import RunBatch, Start

ENOUGH = 3000
"""How many runs a slow process starts before it waits for another."""


def hold(path: Path) -> None:
    """Stop before runs are inserted."""

    def flush(self: RunBatch) -> None:
        path.touch()
        while True:
            time.sleep(0.05)

    RunBatch.flush = flush  # type: ignore[method-assign]


def overtaken(path: Path, epoch: int) -> bool:
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)
    try:
        (value,) = connection.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()
        return int(value) > epoch
    finally:
        connection.close()


async def main() -> None:
    path, *words = sys.argv[1:]
    if "slow" in words:
        loops.BATCH = 5
    if "hold" in words:
        hold(Path(words[words.index("hold") + 1]))
    store = open_store(Path(path))
    store.begin_epoch()
    store.start()

    def resolve(tx: Tx, workflow: str, version: str | None) -> Start:
        time.sleep(0.02 if "slow" in words else 0.0)
        return Start(1, "a")

    started = 0

    def on_runs(runs: list[tuple[int, int]]) -> None:
        nonlocal started
        started += len(runs)
        if "slow" in words:
            # Between two transitions the file is unlocked for a moment; after `ENOUGH` runs, until the takeover.
            time.sleep(0.02)
            while started >= ENOUGH and not overtaken(Path(path), store.epoch):
                time.sleep(0.02)

    loop = SchedulerLoop(store, store.clock, resolve=resolve, on_runs=on_runs)
    print("ready", flush=True)
    await loop.start()
    assert loop._task is not None
    await loop._task  # ends when a newer engine has taken over
    print("fenced", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
