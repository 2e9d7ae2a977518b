"""Many schedules on a real store: the cost of loading, the cost of one fire, the lateness of a batch.

    python benchmarks/bench_scheduler.py [--schedules 2000 10000 100000] [--batch 1000]

Each fire is claimed and its run created on disk (`synchronous=FULL`) before it counts. The clock is
advanced by hand, so the lateness of a fire is the work until its run is handed over: nothing is computed
or written before it is due, as in a loop that sees a batch in advance (`bench_batch.py`).
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from victor_engine.api import ENGINE_ACTOR, ScheduleSpec
from victor_engine.clock import FakeClock
from victor_engine.scheduling import schedule_commands
from victor_engine.scheduling.loop import SchedulerLoop
from victor_engine.store.db import Tx, open_store
from victor_engine.store.runs import Start

START = datetime(2026, 5, 4, tzinfo=UTC)
SINGLE = 200
CHUNK = 5000


def memory() -> float:
    """Return the maximum resident size so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def measure(directory: Path, count: int, batch: int) -> str:
    clock = FakeClock(START)
    store = open_store(directory / "victor.db", clock=clock)
    store.begin_epoch()
    store.start()
    handed: list[float] = []
    loop = SchedulerLoop(
        store,
        clock,
        resolve=lambda tx, workflow, version: Start(1, "a"),
        on_runs=lambda runs: handed.extend([time.perf_counter()] * len(runs)),
    )
    await store.write(
        lambda tx: tx.execute(
            "INSERT INTO definitions (id, workflow, version, checksum, content, text, registered_at)"
            " VALUES (1, 'w', '1.0.0', '', '{}', '', 0)"
        )
    )
    # A few alone, a batch in one second, and the rest on another day.
    at = [START + timedelta(seconds=10 * (n + 1)) for n in range(SINGLE)]
    at += [START + timedelta(hours=1)] * batch
    at += [START + timedelta(days=1, seconds=n) for n in range(count - len(at))]

    def add(tx: Tx, first: int) -> None:
        for n in range(first, min(first + CHUNK, count)):
            spec = ScheduleSpec(workflow="w", at=at[n], initial_state={"n": n})
            schedule_commands.add(tx, spec, actor=ENGINE_ACTOR, origin="python")

    for first in range(0, count, CHUNK):
        await store.write(lambda tx, first=first: add(tx, first))
    before, began = memory(), time.perf_counter()
    await loop.refresh()
    load, grown = time.perf_counter() - began, memory() - before
    single: list[float] = []
    cpu = time.process_time()
    for instant in at[:SINGLE]:
        clock.set_wall(instant)
        began = time.perf_counter()
        await loop.fire_due()
        single.append(time.perf_counter() - began)
    cpu_single = (time.process_time() - cpu) / SINGLE
    handed.clear()
    clock.set_wall(START + timedelta(hours=1))
    began, cpu = time.perf_counter(), time.process_time()
    await loop.fire_due()
    cpu_batch = (time.process_time() - cpu) / batch
    late = sorted((moment - began) * 1000 for moment in handed)
    fires = await store.read(lambda c: c.execute("SELECT count(*) FROM fires").fetchone()[0])
    await store.close()
    assert fires == SINGLE + batch == len(single) + len(late)
    return (
        f"{count:>8} schedules  load {load * 1000:7.1f} ms  +{grown:5.1f} MB"
        f"  one fire {statistics.median(single) * 1000:6.2f} ms ({cpu_single * 1000:5.2f} ms of processor time)"
        f"  {batch} at once: p50 {late[len(late) // 2]:6.1f} ms, p99 {late[int(len(late) * 0.99)]:6.1f} ms"
        f" ({cpu_batch * 1_000_000:4.0f} µs of processor time each)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--schedules", type=int, nargs="+", default=[2000, 10_000, 100_000])
    parser.add_argument("--batch", type=int, default=1000)
    given = parser.parse_args()
    for count in given.schedules:
        if count < SINGLE + given.batch:
            parser.error(f"{count} schedules are too few: {SINGLE + given.batch} of them fire")
        with tempfile.TemporaryDirectory() as directory:
            print(asyncio.run(measure(Path(directory), count, given.batch)), flush=True)


if __name__ == "__main__":
    main()
